/**
 * Credentials of static Diffie-Hellman keys: a CWT Claims Set by reference of a kid, as both sides build it
 * from what they hold anyway. A device's is made of its deviceId and its agree key, which the server knows
 * from the manifest; the server's is written into the element at birth.
 */
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { encodeCcs, parseCcs } from '../cose/ccs.ts';
import { ec2KeyOfPoint, importKey } from '../cose/key.ts';
import type { Crypto } from '../crypto/crypto.ts';
import type { OwnCredential } from './credential.ts';
import { kidIdCred } from './idCred.ts';

export interface AgreeCredential extends OwnCredential {
  readonly kid: Uint8Array;
}

/**
 * The kid of an agree key: one byte that EDHOC sends as a one-byte integer (RFC 9528 §3.3.2), of 48, by
 * the SHA-256 of the uncompressed point. Many devices share it: it selects candidates and proves nothing.
 */
export function kidOfAgreeKey(crypto: Crypto, point: Uint8Array): Uint8Array {
  const place = (crypto.hash('SHA-256', point)[0] ?? 0) % 48;
  return Uint8Array.of(place < 24 ? place : 0x20 + place - 24);
}

/** CRED_I of a device. `point` is its agree key, 65 bytes; `undefined` when that is not on the curve. */
export function deviceCredential(
  crypto: Crypto,
  deviceId: string,
  point: Uint8Array,
): AgreeCredential | undefined {
  const kid = kidOfAgreeKey(crypto, point);
  const publicKey = crypto.importPublicKey('P-256', point);
  if (publicKey === undefined) return undefined;
  return { kid, idCred: kidIdCred(kid), cred: credOf(deviceId, point, kid), publicKey };
}

/** What an element stores as `server-identity`, CRED_R: `name` tells a person whose server it is. */
export function encodeServerIdentity(crypto: Crypto, name: string, point: Uint8Array): Uint8Array {
  return credOf(name, point, kidOfAgreeKey(crypto, point));
}

/** Throws a `MalformedError` or `UnsupportedError` when the bytes are no credential with a P-256 key and a kid. */
export function readServerIdentity(crypto: Crypto, bytes: Uint8Array): AgreeCredential {
  const claims = parseCcs(bytes);
  if (claims.key.type !== 'EC2' || claims.key.curve !== 'P-256') {
    throw new UnsupportedError('server-identity', 'a key that is not on P-256');
  }
  const publicKey = importKey(crypto, claims.key);
  const { kid } = claims.key;
  if (publicKey === undefined || kid === undefined) {
    throw new MalformedError('server-identity', 0, 'no point or no kid');
  }
  return { kid, idCred: kidIdCred(kid), cred: claims.bytes, publicKey };
}

/** CRED_x. */
function credOf(subject: string, point: Uint8Array, kid: Uint8Array): Uint8Array {
  return encodeCcs({ subject, key: ec2KeyOfPoint('P-256', point, kid) });
}
