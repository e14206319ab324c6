/**
 * The COSE_Sign1 around every message of the line. Requests are signed by the station, tickets and
 * answers by the authority's order key; whoever relays them can neither read a promise into them nor
 * answer in the authority's place.
 */
import { MalformedError } from '../bytes/malformed.ts';
import { empty } from '../bytes/bytes.ts';
import { signatureAlgorithmNumbers } from '../cose/algorithms.ts';
import {
  parseSign1,
  prepareSign1,
  type Sign1,
  type UnsignedSign1,
  verifySign1,
} from '../cose/sign1.ts';
import type { Crypto, PublicKey } from '../crypto/crypto.ts';
import { lineLimits } from './fields.ts';

/** Parsed, not yet believed: `payload` means nothing before `isSignedBy` said yes. */
export interface SignedMessage {
  readonly payload: Uint8Array;
  readonly sign1: Sign1;
}

/** Sign `toBeSigned` with P-256 and SHA-256, then `finish(fixedSignature(der, 32))`. */
export function prepareSigned(payload: Uint8Array, binding: Uint8Array = empty): UnsignedSign1 {
  return prepareSign1({ protected: { algorithm }, payload, externalAad: binding });
}

/**
 * An answer is signed with the hash of its request as external data: an answer to another request, or an
 * older one, does not verify.
 */
export function bindingTo(crypto: Crypto, request: Uint8Array): Uint8Array {
  return crypto.hash('SHA-256', request);
}

/** Throws a `MalformedError` or, for another algorithm or a critical header, an `UnsupportedError`. */
export function parseSigned(bytes: Uint8Array): SignedMessage {
  if (bytes.length > lineLimits.message) {
    throw new MalformedError('line', lineLimits.message, 'message too long');
  }
  const sign1 = parseSign1(bytes);
  if (sign1.payload === undefined) throw new MalformedError('line', 0, 'payload missing');
  return { payload: sign1.payload, sign1 };
}

export function isSignedBy(
  crypto: Crypto,
  publicKey: PublicKey,
  message: SignedMessage,
  binding: Uint8Array = empty,
): boolean {
  return (
    message.sign1.protectedHeaders.algorithm === algorithm &&
    verifySign1(crypto, publicKey, message.sign1, { externalAad: binding })
  );
}

const algorithm = signatureAlgorithmNumbers.ES256;
