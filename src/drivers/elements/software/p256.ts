/** P-256 inside the software element: node:crypto holds the keys, only public values come out. */
import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  ECDH,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';
import { concat } from '../../../wire/bytes/bytes.ts';
import type { Secret } from '../../../wire/crypto/crypto.ts';
import { nodeCrypto } from '../../keys/software/nodeCrypto.ts';

export interface P256KeyPair {
  readonly privateKey: KeyObject;
  /** Uncompressed point, 65 bytes. */
  readonly publicKey: Uint8Array;
}

export function generateP256(): P256KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curveName });
  return { privateKey, publicKey: pointOf(publicKey) };
}

/** PKCS#8 DER. The caller wipes the bytes. */
export function exportPkcs8(privateKey: KeyObject): Uint8Array {
  return privateKey.export({ format: 'der', type: 'pkcs8' });
}

/** Throws when the bytes are not PKCS#8 of a P-256 key. */
export function importPkcs8(pkcs8: Uint8Array): P256KeyPair {
  const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  return { privateKey, publicKey: pointOf(createPublicKey(privateKey)) };
}

/** ECDSA with SHA-256, DER of ECDSA-Sig-Value. */
export function signP256(privateKey: KeyObject, data: Uint8Array): Uint8Array {
  return plain(sign('sha256', data, privateKey));
}

/** `undefined` when `peerPublicKey` (x alone, compressed or uncompressed) is no point of the curve. */
export function agreeP256(privateKey: KeyObject, peerPublicKey: Uint8Array): Secret | undefined {
  const publicKey = importPoint(peerPublicKey);
  if (publicKey === undefined) return undefined;
  const x = diffieHellman({ privateKey, publicKey });
  const secret = nodeCrypto.secret(x);
  x.fill(0);
  return secret;
}

const curveName = 'prime256v1';
const coordinateBytes = 32;

/** DER of SubjectPublicKeyInfo up to the point (RFC 5480 §2). */
const spkiPrefix = Uint8Array.from(
  Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex'),
);

function pointOf(publicKey: KeyObject): Uint8Array {
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const point = plain(spki).subarray(spkiPrefix.length);
  if (point.length !== 1 + 2 * coordinateBytes) throw new TypeError('not a P-256 key');
  return point;
}

function importPoint(bytes: Uint8Array): KeyObject | undefined {
  // An agreement uses x alone, so that either y serves (RFC 9528 §3.7).
  const point = bytes.length === coordinateBytes ? concat(Uint8Array.of(2), bytes) : bytes;
  try {
    const uncompressed = ECDH.convertKey(point, curveName, undefined, undefined, 'uncompressed');
    if (typeof uncompressed === 'string') return undefined;
    const key = Buffer.concat([spkiPrefix, uncompressed]);
    return createPublicKey({ key, format: 'der', type: 'spki' });
  } catch {
    // OpenSSL throws on every encoding that is not a point of the curve.
    return undefined;
  }
}

/** A view of Node's Buffer as a plain Uint8Array; the memory is the same. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
