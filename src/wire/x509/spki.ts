/** SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 5480) and the identifiers made from keys. */
import { concat } from '../bytes/bytes.ts';
import { fromHex } from '../bytes/hex.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { type DerReader, readDer } from '../der/reader.ts';
import { tags } from '../der/tags.ts';
import { curveOids, keyTypeOids, readAlgorithmIdentifier } from './algorithms.ts';
import type { PublicKeyInfo } from './model.ts';

export function readSpki(reader: DerReader): PublicKeyInfo {
  const { value, der } = reader.recorded((outer) =>
    outer.sequence((content) => ({
      algorithm: readAlgorithmIdentifier(content),
      key: content.bitStringOctets(),
    })),
  );
  return { spki: der, ...value };
}

export function parseSpki(spki: Uint8Array): PublicKeyInfo {
  return readDer(spki, readSpki);
}

/** Name of the curve of an elliptic curve key; `undefined` for other keys and curves. */
export function namedCurve(publicKey: PublicKeyInfo): keyof typeof curveOids | undefined {
  const { oid, parameters } = publicKey.algorithm;
  if (oid !== keyTypeOids.ecPublicKey || parameters?.[0] !== tags.oid) return undefined;
  const curve = readDer(parameters, (reader) => reader.oid());
  if (curve === curveOids['P-256']) return 'P-256';
  if (curve === curveOids['P-384']) return 'P-384';
  return curve === curveOids['P-521'] ? 'P-521' : undefined;
}

/** SPKI of an uncompressed P-256 point (65 bytes, 04‖x‖y). Throws a `TypeError` on any other length. */
export function p256Spki(point: Uint8Array): Uint8Array {
  if (point.length !== p256PointBytes || point[0] !== 4) {
    throw new TypeError('not an uncompressed P-256 point');
  }
  return concat(p256Prefix, point);
}

/**
 * The uncompressed point of a P-256 SPKI, a view of it. Whether it is on the curve is for whoever
 * computes with it. Throws a `MalformedError` on any other key, compressed points included: RFC 5480
 * §2.2 makes their support optional, and two encodings of one key would be two keys to a registry.
 */
export function p256Point(spki: Uint8Array): Uint8Array {
  const fits = spki.length === p256Prefix.length + p256PointBytes;
  if (!fits || !p256Prefix.every((octet, index) => spki[index] === octet)) {
    throw new MalformedError('spki', 0, 'not an uncompressed P-256 key');
  }
  const point = spki.subarray(p256Prefix.length);
  if (point[0] !== 4)
    throw new MalformedError('spki', p256Prefix.length, 'not an uncompressed point');
  return point;
}

/**
 * First 160 bits of a hash over the key's bits: with SHA-1 method 1 of RFC 5280 §4.2.1.2, with SHA-256
 * method 1 of RFC 7093 §2.
 */
export function keyIdentifier(
  publicKey: PublicKeyInfo,
  hash: (data: Uint8Array) => Uint8Array,
): Uint8Array {
  return hash(publicKey.key).slice(0, 20);
}

const p256PointBytes = 65;
const p256Prefix = fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200');
