/**
 * Proof that an element holds the private half of its static agree key, for slots that may not sign:
 * a MAC under a key agreed with the authority's ephemeral of that ticket, after RFC 6955 §4. Elements do
 * the ECDH, hosts the rest.
 */
import { concat } from '../bytes/bytes.ts';
import { utf8 } from '../bytes/utf8.ts';
import type { Crypto, Secret } from '../crypto/crypto.ts';

export interface AgreeProofInput {
  /** x-coordinate of ECDH(element's agree key, authority's key of the ticket), 32 bytes. */
  readonly sharedSecret: Uint8Array | Secret;
  readonly ticketId: Uint8Array;
  /** Uncompressed points. */
  readonly authorityKey: Uint8Array;
  readonly agreeKey: Uint8Array;
  /** The request whose signature proves the other key: the MAC ties the two keys to one element. */
  readonly csr: Uint8Array;
}

/** 32 bytes. Compare with `equalConstantTime`. */
export function agreeProof(crypto: Crypto, input: AgreeProofInput): Uint8Array {
  // Both points go into the key derivation: x alone would give a point and its negative one proof.
  const info = concat(label, input.ticketId, input.authorityKey, input.agreeKey);
  const pseudoRandomKey: Secret = crypto.hkdfExtract('SHA-256', noSalt, input.sharedSecret);
  const key = crypto.secret(crypto.hkdfExpand('SHA-256', pseudoRandomKey, info, 32));
  return crypto.hmac('SHA-256', key, input.csr);
}

const label = utf8('birthmark agree proof 1\0');
const noSalt = new Uint8Array(0);
