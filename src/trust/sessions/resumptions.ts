/**
 * Resumption keys (draft-ietf-lake-edhoc-psk §6) at the server: one comes out of every handshake, and with it
 * the device can make the next session without its long-term key. The store deletes them by the rules of
 * the draft: the one that was never used with the fresh session, the older one once the newer is proven.
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { InitiatorVerified } from '../../wire/edhoc/completion.ts';
import { parseIdCred } from '../../wire/edhoc/idCred.ts';
import {
  type PskCredential,
  resumptionCredential,
  restorePskCredential,
  storePskCredential,
} from '../../wire/edhoc/psk.ts';
import type { PskNeeded } from '../../wire/edhoc/pskResponder.ts';
import { isEdhocRefusal } from '../../wire/edhoc/refusal.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import { InvariantError } from '../ports/faults.ts';
import type { Endpoint, StoredResumption } from '../ports/sessionStore.ts';
import type { FrameRefusal, SessionLimits, SessionPorts } from './ports.ts';

export interface AuthenticatedDevice {
  readonly deviceId: string;
  readonly verified: InitiatorVerified;
  /** When it last proved its long-term key. */
  readonly authenticatedMs: number;
  /** The session whose resumption key it used. */
  readonly usedKeyOf?: string;
}

export class Resumptions {
  readonly #ports: SessionPorts;
  readonly #limits: SessionLimits;

  constructor(ports: SessionPorts, limits: SessionLimits) {
    this.#ports = ports;
    this.#limits = limits;
  }

  /** Tries the keys that rKID may stand for: two bytes are not unique among all devices of a door. */
  async authenticate(
    needed: PskNeeded,
    { linkAddress }: Endpoint,
  ): Promise<AuthenticatedDevice | FrameRefusal> {
    const { clock, store } = this.#ports;
    const kid = kidOf(needed.references);
    if (kid === undefined) return 'unknown-credential';
    const oldestMs = clock.nowMs() - this.#limits.resumptionLifetimeMs;
    let tried = false;
    for (const stored of await store.resumptions(linkAddress, kid, maximumCandidates)) {
      const { deviceId, authenticatedMs, sessionId: usedKeyOf } = stored;
      if (authenticatedMs < oldestMs) continue;
      const verified = needed.accept(this.#open(stored));
      if (!isEdhocRefusal(verified)) {
        return { deviceId, verified, authenticatedMs, usedKeyOf };
      }
      if (needed.spent) return 'exhausted';
      tried = true;
    }
    return tried ? 'not-authentic' : 'unknown-credential';
  }

  /** What a session leaves for the next one. */
  derive(
    session: EdhocSession,
    owner: Pick<StoredResumption, 'sessionId' | 'deviceId' | 'linkAddress' | 'authenticatedMs'>,
  ): StoredResumption {
    const { crypto, sealing } = this.#ports;
    // Whoever began this session: it is the device that resumes.
    const credential = resumptionCredential(crypto, session, { initiates: false });
    const kid = kidOf(parseIdCred(credential.idCred));
    if (kid === undefined) throw new InvariantError('a resumption key without a kid');
    const { sessionId, deviceId, linkAddress, authenticatedMs } = owner;
    const plain = cbor.array(
      cbor.text(deviceId),
      cbor.bytes(storePskCredential(crypto, credential)),
    );
    const key = sealing.seal(plain, sealContext(sessionId));
    return { sessionId, deviceId, linkAddress, kid, authenticatedMs, key };
  }

  #open({ sessionId, deviceId, key }: StoredResumption): PskCredential {
    const { crypto, sealing } = this.#ports;
    const plain = sealing.open(key, sealContext(sessionId));
    const reader = new CborReader(plain ?? new Uint8Array(0));
    if (plain === undefined || reader.array() !== 2 || reader.text() !== deviceId) {
      throw new InvariantError('a stored resumption key cannot be opened');
    }
    return restorePskCredential(crypto, reader.bytes());
  }
}

const maximumCandidates = 16;

function kidOf(references: PskNeeded['references']): Uint8Array | undefined {
  const [reference, ...more] = references;
  return reference?.kind === 'kid' && more.length === 0 ? reference.kid : undefined;
}

function sealContext(sessionId: string): string {
  return `resumption/${sessionId}`;
}
