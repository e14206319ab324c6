/**
 * A verifier of evidence beside the server: the attestation key of a device is the sign key that it was born
 * with, and what it has to have measured is told by whoever knows its firmware.
 */
import { equalConstantTime } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import {
  type Evidence,
  type Measurement,
  parseEvidence,
  ueidOfKey,
  verifyEvidence,
} from '../../wire/edhoc/attestation.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import type {
  AttestationVerifier,
  EvidenceRefusal,
  PresentedEvidence,
} from '../ports/attestation.ts';
import { type Refusal, refuse } from '../ports/faults.ts';

export interface EvidenceVerifierPorts {
  readonly crypto: Crypto;
  /** CoAP content formats of evidence, the preferred one first. */
  readonly contentFormats: readonly number[];
  /** DER of SubjectPublicKeyInfo; `undefined` for a device that nobody knows. */
  readonly signKeyOf: (deviceId: string) => Promise<Uint8Array | undefined>;
  /** Whether this is what the device should be running. */
  readonly isGood: (deviceId: string, measurements: readonly Measurement[]) => Promise<boolean>;
}

const nonceBytes = 8;

export class EvidenceVerifier implements AttestationVerifier {
  readonly contentFormats: readonly number[];
  readonly #ports: EvidenceVerifierPorts;

  constructor(ports: EvidenceVerifierPorts) {
    this.#ports = ports;
    this.contentFormats = ports.contentFormats;
  }

  async nonce(): Promise<Uint8Array> {
    return this.#ports.crypto.random(nonceBytes);
  }

  async appraise({
    deviceId,
    evidence,
    binder,
    nonce,
  }: PresentedEvidence): Promise<undefined | Refusal<EvidenceRefusal>> {
    const { crypto, isGood } = this.#ports;
    const parsed = readable(evidence);
    if (parsed === undefined) return refuse('malformed', 'no EAT of the minimal claims set');
    const { claims } = parsed;
    if (!equalConstantTime(claims.nonce, nonce)) {
      return refuse('wrong-nonce', 'the evidence answers another question');
    }
    const key = await this.#keyOf(deviceId);
    const isDevices = key !== undefined && equal(claims.ueid, ueidOfKey(crypto, key));
    if (!isDevices || !verifyEvidence(crypto, key, parsed, binder)) {
      return refuse('not-authentic', 'not signed by this device for this handshake');
    }
    return (await isGood(deviceId, claims.measurements))
      ? undefined
      : refuse('not-acceptable', 'the device runs something else than it should');
  }

  async #keyOf(deviceId: string): Promise<PublicKey | undefined> {
    const spki = await this.#ports.signKeyOf(deviceId);
    return spki && this.#ports.crypto.importPublicKey('P-256', p256Point(spki));
  }
}

function readable(evidence: Uint8Array): Evidence | undefined {
  try {
    return parseEvidence(evidence);
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
