/** Whoever can tell from evidence whether a device is in a good state: the Verifier of remote attestation. */
import type { Refusal } from './faults.ts';

/** An EAT as a device sent it, with what binds it to the handshake that it came in. */
export interface PresentedEvidence {
  /** Whom EDHOC has authenticated: the evidence has to be this device's. */
  readonly deviceId: string;
  /** COSE_Sign1 with tag 18 (draft-ietf-lake-ra). */
  readonly evidence: Uint8Array;
  /** external_aad of its signature: without it evidence could be relayed from another handshake. */
  readonly binder: Uint8Array;
  /** What eat_nonce has to be. */
  readonly nonce: Uint8Array;
}

export type EvidenceRefusal =
  /** No EAT of the minimal claims set. */
  | 'malformed'
  /** Old, or made for somebody else's question. */
  | 'wrong-nonce'
  /** Not signed by the device, or not for this handshake. */
  | 'not-authentic'
  /** It is the device's, and its state is not good. */
  | 'not-acceptable';

export interface AttestationVerifier {
  /** Evidence types that it appraises, as CoAP content formats, the preferred one first. */
  readonly contentFormats: readonly number[];
  /** 8 to 64 bytes that were never given out before. */
  nonce(): Promise<Uint8Array>;
  /** `undefined` when all is well. Rejects with an `EnvironmentError` when it cannot tell now. */
  appraise(presented: PresentedEvidence): Promise<undefined | Refusal<EvidenceRefusal>>;
}
