/**
 * Expected refusals of OSCORE. A code says what the endpoint may do next; what a peer is told is decided
 * at the door, which must not become an oracle (RFC 8613 §8.2).
 */

export type OscoreRefusalCode =
  /** No OSCORE option, or one that does not decompress (RFC 8613 §8.2 step 2). */
  | 'not-oscore'
  | 'malformed'
  /** The kid or kid context is not of this context. */
  | 'unknown-context'
  /** The Partial IV was received before, or is older than the window reaches (RFC 8613 §7.4). */
  | 'replay'
  | 'decryption-failed'
  /** It verified, but what was inside is no CoAP message of the expected kind. */
  | 'plaintext-malformed'
  /** The answer to this request was accepted before. */
  | 'already-answered'
  /** A key update message (KUDOS) outside a key update. */
  | 'unexpected-key-update'
  /** A key reached its limit of encryptions or of failed verifications: make a new context. */
  | 'key-worn-out'
  /** The message is longer than the AEAD's limit allows: use block-wise transfer. */
  | 'message-too-long'
  /** No reserved sequence number is left: reserve durably, then try again. */
  | 'reservation-needed'
  /** The sequence number space of the context is used up: make a new context. */
  | 'sequence-exhausted';

/** The shape of every refusal in the system, so that `isRefusal` tells it from a result. */
export interface OscoreRefusal<Code extends OscoreRefusalCode = OscoreRefusalCode> {
  readonly refused: Code;
  readonly reason: string;
}

export function refuse<Code extends OscoreRefusalCode>(code: Code): OscoreRefusal<Code> {
  return { refused: code, reason: `OSCORE: ${code}` };
}

/** Tells a refusal from a result. */
export function isRefused(outcome: object): outcome is OscoreRefusal {
  return 'refused' in outcome;
}
