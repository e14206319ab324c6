/**
 * Whose a credential of a handshake is: by kid among the devices it may stand for, by the key in a claims
 * set, or by certificate.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { parseCcs } from '../../wire/cose/ccs.ts';
import { publicKeyBytes } from '../../wire/cose/key.ts';
import { deviceCredential } from '../../wire/edhoc/agreeCredential.ts';
import type { Credential } from '../../wire/edhoc/credential.ts';
import type { CredentialReference } from '../../wire/edhoc/idCred.ts';
import { type EdhocRefusal, isEdhocRefusal } from '../../wire/edhoc/refusal.ts';
import type { Endpoint } from '../ports/sessionStore.ts';
import { CertificateCredentials } from './certificateCredentials.ts';
import { isRoaming } from './handshakeRows.ts';
import type { FrameRefusal, SessionPorts } from './ports.ts';

/** A state of either role that waits for the peer's credential. */
export interface CredentialNeeded<Verified extends object> {
  readonly references: readonly CredentialReference[];
  readonly spent: boolean;
  accept(credential: Credential): Verified | EdhocRefusal;
}

export interface Recognized<Verified> {
  readonly deviceId: string;
  readonly verified: Verified;
  /** When it last proved its long-term key. */
  readonly authenticatedMs: number;
}

export class DeviceCredentials {
  readonly #ports: SessionPorts;
  readonly #certificates: CertificateCredentials | undefined;

  constructor(ports: SessionPorts) {
    this.#ports = ports;
    const { crypto, certificates } = ports;
    this.#certificates =
      certificates === undefined ? undefined : new CertificateCredentials(crypto, certificates);
  }

  /** `proof`: what the method asks of the device. */
  async recognize<Verified extends object>(
    read: CredentialNeeded<Verified>,
    proof: 'signature' | 'static-dh',
    endpoint: Endpoint,
  ): Promise<Recognized<Verified> | FrameRefusal> {
    const [reference, ...more] = read.references;
    if (reference === undefined) return 'unknown-credential';
    if (reference.kind !== 'kid' && reference.kind !== 'kccs') {
      return this.#byCertificate(read, proof);
    }
    // These keys are for agreement alone: a signature by one of them is no proof.
    if (more.length > 0 || proof !== 'static-dh') return 'unknown-credential';
    return reference.kind === 'kid'
      ? this.#byKid(read, reference.kid, endpoint)
      : this.#byValue(read, reference.item);
  }

  /**
   * RFC 9528 §3.5.2 has CRED_I be the set as it was sent. Nothing in it is proven but the key (§9.8), so it
   * has to be, byte for byte, what we would have built for the device of this key: no claim is believed.
   */
  async #byValue<Verified extends object>(
    read: CredentialNeeded<Verified>,
    ccs: Uint8Array,
  ): Promise<Recognized<Verified> | FrameRefusal> {
    const { crypto, clock, registry } = this.#ports;
    const point = agreeKeyIn(ccs);
    const device = point === undefined ? undefined : await registry.candidateByKey(point);
    if (point === undefined || device === undefined) return 'unknown-credential';
    const { deviceId } = device;
    const credential = deviceCredential(crypto, deviceId, point);
    if (credential === undefined || !equal(credential.cred, ccs)) return 'unknown-credential';
    const verified = read.accept(credential);
    if (isEdhocRefusal(verified)) return 'not-authentic';
    return { deviceId, verified, authenticatedMs: clock.nowMs() };
  }

  async #byCertificate<Verified extends object>(
    read: CredentialNeeded<Verified>,
    proof: 'signature' | 'static-dh',
  ): Promise<Recognized<Verified> | FrameRefusal> {
    const use = proof === 'signature' ? 'signature' : 'agreement';
    const resolved = await this.#certificates?.resolve(read.references, use);
    if (resolved === undefined) return 'unknown-credential';
    if (typeof resolved === 'string') return resolved;
    const { deviceId, credential, accepted } = resolved;
    const verified = read.accept(credential);
    if (isEdhocRefusal(verified)) return 'not-authentic';
    await accepted();
    return { deviceId, verified, authenticatedMs: this.#ports.clock.nowMs() };
  }

  /** Tries the devices that the kid may stand for: it is a byte, so there are several. */
  async #byKid<Verified extends object>(
    read: CredentialNeeded<Verified>,
    kid: Uint8Array,
    endpoint: Endpoint,
  ): Promise<Recognized<Verified> | FrameRefusal> {
    const { crypto, clock, registry } = this.#ports;
    const linkAddress = isRoaming(endpoint) ? undefined : endpoint.linkAddress;
    let tried = false;
    for (const { deviceId, agreeKey } of await registry.candidates(kid, linkAddress)) {
      const credential =
        agreeKey === undefined ? undefined : deviceCredential(crypto, deviceId, agreeKey);
      if (credential === undefined) continue;
      const verified = read.accept(credential);
      if (!isEdhocRefusal(verified)) {
        return { deviceId, verified, authenticatedMs: clock.nowMs() };
      }
      if (read.spent) return 'exhausted';
      tried = true;
    }
    return tried ? 'not-authentic' : 'unknown-credential';
  }
}

/** Whether it is a point at all is seen when it is imported. */
function agreeKeyIn(ccs: Uint8Array): Uint8Array | undefined {
  try {
    return publicKeyBytes(parseCcs(ccs).key);
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
