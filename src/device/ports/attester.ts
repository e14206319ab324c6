/** What vouches for the state of the device: its own firmware, or something below it that measures it. */
import type { AttestationRequest } from '../../wire/edhoc/attestation.ts';

export interface Attester {
  /** Evidence types that it can give, as CoAP content formats. */
  readonly contentFormats: readonly number[];
  /**
   * COSE_Sign1 with tag 18 over an EAT with that nonce; its signature covers `binder` as external_aad
   * (draft-ietf-lake-ra). Rejects with the element's errors.
   */
  evidence(request: AttestationRequest, binder: Uint8Array): Promise<Uint8Array>;
}
