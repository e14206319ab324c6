/** Points of NIST curves from their compressed form, by OpenSSL. */
import { ECDH } from 'node:crypto';
import type { PointDecompressor } from '../../../wire/c509/publicKey.ts';

const curveNames = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const;

export const decompressPoint: PointDecompressor = (curve, compressed) => {
  try {
    const point = ECDH.convertKey(
      compressed,
      curveNames[curve],
      undefined,
      undefined,
      'uncompressed',
    );
    return typeof point === 'string' ? undefined : new Uint8Array(point);
  } catch {
    // OpenSSL throws when no point of the curve has that x-coordinate.
    return undefined;
  }
};
