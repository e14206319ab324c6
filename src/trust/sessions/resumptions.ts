/**
 * Resumption keys (draft-ietf-lake-edhoc-psk §6) at the server: one comes out of every handshake, and with it
 * the device can make the next session without its long-term key. The store deletes them by the rules of
 * the draft: the one that was never used with the fresh session, the older one once the newer is proven.
 */
import { empty } from '../../wire/bytes/bytes.ts';
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
  /** `AttestationPolicy.demandOf` when its evidence was good; absent where none was demanded. */
  readonly attestedUnder?: string | undefined;
}

/** Whose key it is, and what the next session rests on. */
interface Owner extends Pick<
  StoredResumption,
  'sessionId' | 'deviceId' | 'linkAddress' | 'authenticatedMs'
> {
  readonly attestedUnder: string | undefined;
}

interface OpenedKey {
  readonly credential: PskCredential;
  readonly attestedUnder: string | undefined;
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
      const { credential, attestedUnder } = this.#open(stored);
      // As if it were unknown: the device makes a full handshake, where evidence is asked for.
      if (!(await this.#isAttested(deviceId, attestedUnder))) continue;
      const verified = needed.accept(credential);
      if (!isEdhocRefusal(verified)) {
        return { deviceId, verified, authenticatedMs, usedKeyOf, attestedUnder };
      }
      if (needed.spent) return 'exhausted';
      tried = true;
    }
    return tried ? 'not-authentic' : 'unknown-credential';
  }

  /** What a session leaves for the next one. */
  derive(session: EdhocSession, owner: Owner): StoredResumption {
    const { crypto, sealing } = this.#ports;
    // Whoever began this session: it is the device that resumes.
    const credential = resumptionCredential(crypto, session, { initiates: false });
    const kid = kidOf(parseIdCred(credential.idCred));
    if (kid === undefined) throw new InvariantError('a resumption key without a kid');
    const { sessionId, deviceId, linkAddress, authenticatedMs, attestedUnder } = owner;
    const plain = cbor.array(
      cbor.text(deviceId),
      cbor.bytes(storePskCredential(crypto, credential)),
      ...(attestedUnder === undefined ? [] : [cbor.text(attestedUnder)]),
    );
    const key = sealing.seal(plain, sealContext(sessionId));
    return { sessionId, deviceId, linkAddress, kid, authenticatedMs, key };
  }

  async #isAttested(deviceId: string, attestedUnder: string | undefined): Promise<boolean> {
    const demand = await this.#ports.attestation?.demandOf(deviceId);
    return demand === undefined || demand === attestedUnder;
  }

  #open({ sessionId, deviceId, key }: StoredResumption): OpenedKey {
    const { crypto, sealing } = this.#ports;
    const plain = sealing.open(key, sealContext(sessionId));
    const reader = new CborReader(plain ?? empty);
    const members = plain === undefined ? 0 : reader.array();
    if (members < 2 || members > 3 || reader.text() !== deviceId) {
      throw new InvariantError('a stored resumption key cannot be opened');
    }
    const credential = restorePskCredential(crypto, reader.bytes());
    return { credential, attestedUnder: members > 2 ? reader.text() : undefined };
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
