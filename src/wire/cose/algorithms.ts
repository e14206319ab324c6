/** Numbers of the COSE Algorithms registry (RFC 9053) for the names that `wire/crypto` uses. */
import type { AeadAlgorithm, HashAlgorithm, SignatureAlgorithm } from '../crypto/crypto.ts';

export const signatureAlgorithmNumbers: Readonly<Record<SignatureAlgorithm, number>> = {
  ES256: -7,
  EdDSA: -8,
  ES384: -35,
  ES512: -36,
};

export const aeadAlgorithmNumbers: Readonly<Record<AeadAlgorithm, number>> = {
  A128GCM: 1,
  A192GCM: 2,
  A256GCM: 3,
  'AES-CCM-16-64-128': 10,
  'AES-CCM-16-64-256': 11,
  'AES-CCM-64-64-128': 12,
  'AES-CCM-64-64-256': 13,
  'ChaCha20/Poly1305': 24,
  'AES-CCM-16-128-128': 30,
  'AES-CCM-16-128-256': 31,
  'AES-CCM-64-128-128': 32,
  'AES-CCM-64-128-256': 33,
};

/** RFC 9054: hash algorithms, used in x5t and c5t. -15 is SHA-256 cut to its first eight bytes. */
export const hashAlgorithmNumbers: Readonly<Record<HashAlgorithm | 'SHA-256/64', number>> = {
  'SHA-1': -14,
  'SHA-256/64': -15,
  'SHA-256': -16,
  'SHA-384': -43,
  'SHA-512': -44,
};

/** `undefined` for a number that stands for no signature algorithm of ours. */
export function signatureAlgorithmOf(number: number): SignatureAlgorithm | undefined {
  return signatureNames.get(number);
}

/** `undefined` for a number that stands for no AEAD algorithm of ours. */
export function aeadAlgorithmOf(number: number): AeadAlgorithm | undefined {
  return aeadNames.get(number);
}

/** `undefined` for a number that stands for no hash algorithm of ours. */
export function hashAlgorithmOf(number: number): HashAlgorithm | 'SHA-256/64' | undefined {
  return hashNames.get(number);
}

const signatureNames = new Map<number, SignatureAlgorithm>([
  [-7, 'ES256'],
  [-8, 'EdDSA'],
  [-35, 'ES384'],
  [-36, 'ES512'],
]);

const aeadNames = new Map<number, AeadAlgorithm>([
  [1, 'A128GCM'],
  [2, 'A192GCM'],
  [3, 'A256GCM'],
  [10, 'AES-CCM-16-64-128'],
  [11, 'AES-CCM-16-64-256'],
  [12, 'AES-CCM-64-64-128'],
  [13, 'AES-CCM-64-64-256'],
  [24, 'ChaCha20/Poly1305'],
  [30, 'AES-CCM-16-128-128'],
  [31, 'AES-CCM-16-128-256'],
  [32, 'AES-CCM-64-128-128'],
  [33, 'AES-CCM-64-128-256'],
]);

const hashNames = new Map<number, HashAlgorithm | 'SHA-256/64'>([
  [-14, 'SHA-1'],
  [-15, 'SHA-256/64'],
  [-16, 'SHA-256'],
  [-43, 'SHA-384'],
  [-44, 'SHA-512'],
]);
