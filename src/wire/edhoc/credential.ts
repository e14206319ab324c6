/**
 * Authentication credentials as EDHOC uses them. Whether one may be believed (path, dates, revocation,
 * identity) was decided by whoever hands it in: EDHOC only proves possession of its private key.
 */
import { equal } from '../bytes/bytes.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import type { PublicKey } from '../crypto/crypto.ts';
import { type EdhocRefusal, refuse } from './refusal.ts';
import type { Authentication, Suite } from './suites.ts';

export interface Credential {
  /**
   * CRED_x: one CBOR item. A CCS or CWT as it is, untagged; DER wrapped in a byte string; a C509
   * certificate as its array. Of a chain the end entity alone (RFC 9528 §3.5.2). Never encoded again:
   * both sides need the same bytes.
   */
  readonly cred: Uint8Array;
  /** The authentication key in the credential. */
  readonly publicKey: PublicKey;
}

export interface OwnCredential extends Credential {
  /** ID_CRED_x: an encoded COSE header map, see `kidIdCred`. */
  readonly idCred: Uint8Array;
}

/** One side of a handshake, as the transcript has it. */
export interface Identity {
  readonly idCred: Uint8Array;
  readonly cred: Uint8Array;
  /** The authentication key as EDHOC would send it; no bytes where a PSK authenticates. */
  readonly publicKey: Uint8Array;
}

export function identityOf(idCred: Uint8Array, { cred, publicKey }: Credential): Identity {
  return { idCred, cred, publicKey: publicKey.bytes };
}

/** RFC 9528 §3.5.1: the key has to fit the method and the suite. */
export function fits(publicKey: PublicKey, suite: Suite, authentication: Authentication): boolean {
  const curve = authentication === 'static-dh' ? suite.curve : suite.signatureCurve;
  return publicKey.curve === curve;
}

/** What can be refused of a candidate for the peer before any cryptography. */
export function refuseCandidate(
  candidate: Credential,
  ephemeral: Uint8Array,
  suite: Suite,
  authentication: Authentication,
): EdhocRefusal | undefined {
  const { publicKey } = candidate;
  if (!fits(publicKey, suite, authentication)) {
    return refuse('unsuitable-credential', `a ${publicKey.curve} key for ${authentication}`);
  }
  if (equal(publicKey.bytes, ephemeral)) {
    return refuse('invalid-key', 'the ephemeral key is the long-term key of the peer');
  }
  return undefined;
}

/**
 * RFC 9528 §9.2: a completed handshake shows that somebody else was active only where nobody is allowed to
 * authenticate as ourselves; else a reflected handshake would end with us at both ends.
 */
export function refuseOwnIdentity(own: Identity, peer: Identity): EdhocRefusal | undefined {
  const sameKey = own.publicKey.length > 0 && equal(own.publicKey, peer.publicKey);
  if (!sameKey && !equal(own.cred, peer.cred)) return undefined;
  return refuse('own-identity', 'the peer authenticates as ourselves');
}

export function storeIdentity({ idCred, cred, publicKey }: Identity): Uint8Array {
  return cbor.array(cbor.bytes(idCred), cbor.bytes(cred), cbor.bytes(publicKey));
}

export function restoreIdentity(reader: CborReader): Identity {
  if (reader.array() !== 3) reader.fail('identity of three members expected');
  return {
    idCred: reader.bytes().slice(),
    cred: reader.bytes().slice(),
    publicKey: reader.bytes().slice(),
  };
}
