/**
 * The primitives that protocol code is handed. Everything here is synchronous and pure but for
 * `random` and `generateKeyPair`. Long-term keys never come in: a signature or an agreement made by an
 * element is a state of the protocol (`toBeSigned` → `finish(signature)`).
 *
 * Keys are opaque: the bytes of a secret stay behind the object, so that they can neither be printed
 * nor imported again at every use, which is what makes AES-CCM slow in Node.
 */

export type HashAlgorithm = 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512';

/** Names as in the COSE registry (RFC 9053 §4). */
export type AeadAlgorithm =
  | 'AES-CCM-16-64-128'
  | 'AES-CCM-16-64-256'
  | 'AES-CCM-64-64-128'
  | 'AES-CCM-64-64-256'
  | 'AES-CCM-16-128-128'
  | 'AES-CCM-16-128-256'
  | 'AES-CCM-64-128-128'
  | 'AES-CCM-64-128-256'
  | 'A128GCM'
  | 'A192GCM'
  | 'A256GCM'
  | 'ChaCha20/Poly1305';

export type Curve = 'P-256' | 'P-384' | 'P-521' | 'X25519' | 'X448' | 'Ed25519' | 'Ed448';

/** A secret of HKDF or HMAC. Prints as `[secret]`. */
export interface Secret {
  readonly kind: 'secret';
  readonly length: number;
}

/** A key of one AEAD algorithm. Prints as `[secret]`. */
export interface AeadKey {
  readonly kind: 'aead';
  readonly algorithm: AeadAlgorithm;
}

/** A private key that lives for one handshake. Prints as `[secret]`. */
export interface EphemeralKey {
  readonly kind: 'ephemeral';
  readonly curve: Curve;
  /**
   * As EDHOC sends it: the x-coordinate alone for NIST curves (RFC 9528 §3.7), the u-coordinate for
   * X25519 and X448.
   */
  readonly publicKey: Uint8Array;
}

/** A checked public key: it is on its curve. */
export interface PublicKey {
  readonly kind: 'public';
  readonly curve: Curve;
  /** As EDHOC sends it, like `EphemeralKey.publicKey`: two keys with the same bytes agree on the same secrets. */
  readonly bytes: Uint8Array;
}

export interface Crypto {
  hash(algorithm: HashAlgorithm, data: Uint8Array): Uint8Array;

  /** Copies the bytes behind an opaque object; the caller should drop its own. */
  secret(bytes: Uint8Array): Secret;
  /** For the sealed state of a handshake that outlives the process, and for nothing else. */
  exportSecret(secret: Secret): Uint8Array;
  hmac(algorithm: HashAlgorithm, key: Secret, data: Uint8Array): Uint8Array;
  /** RFC 5869 §2.2. The result stays a secret. */
  hkdfExtract(algorithm: HashAlgorithm, salt: Uint8Array, inputKey: Uint8Array | Secret): Secret;
  /** RFC 5869 §2.3. */
  hkdfExpand(
    algorithm: HashAlgorithm,
    key: Secret,
    info: Uint8Array,
    lengthBytes: number,
  ): Uint8Array;

  aeadKey(algorithm: AeadAlgorithm, bytes: Uint8Array): AeadKey;
  /** Ciphertext followed by the tag. */
  seal(
    key: AeadKey,
    nonce: Uint8Array,
    additionalData: Uint8Array,
    plaintext: Uint8Array,
  ): Uint8Array;
  /** `undefined` when the tag is wrong; nothing of the plaintext gets out then. */
  open(
    key: AeadKey,
    nonce: Uint8Array,
    additionalData: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | undefined;

  random(lengthBytes: number): Uint8Array;
  generateKeyPair(curve: Curve): EphemeralKey;
  /**
   * The private key for the sealed state of a handshake, and for nothing else: the big-endian scalar of
   * NIST curves, the private key of RFC 7748 and RFC 8032 for the others.
   */
  exportEphemeral(key: EphemeralKey): Uint8Array;
  /** What `exportEphemeral` gave; `undefined` when it is no private key of that curve. */
  importEphemeral(curve: Curve, bytes: Uint8Array): EphemeralKey | undefined;
  /** The uncompressed point, for peers that take no x alone. A `TypeError` for curves without y. */
  publicPoint(key: EphemeralKey): Uint8Array;
  /**
   * Checks that the point is on the curve. NIST curves: x alone (either y serves, agreements use x only),
   * compressed or uncompressed points. `undefined` when it is not a public key of that curve.
   */
  importPublicKey(curve: Curve, bytes: Uint8Array): PublicKey | undefined;
  /** The x-coordinate of the shared point; `undefined` for a low-order point (RFC 7748 §6). */
  agree(privateKey: EphemeralKey, publicKey: PublicKey): Uint8Array | undefined;

  /** ECDSA signatures are r‖s of fixed length, Ed25519 as RFC 8032. */
  verify(
    publicKey: PublicKey,
    algorithm: SignatureAlgorithm,
    data: Uint8Array,
    signature: Uint8Array,
  ): boolean;
}

export type SignatureAlgorithm = 'ES256' | 'ES384' | 'ES512' | 'EdDSA';

export interface AeadParameters {
  readonly keyBytes: number;
  readonly nonceBytes: number;
  readonly tagBytes: number;
}

/** RFC 9053 §4.1 to §4.3. */
export const aeadParameters: Readonly<Record<AeadAlgorithm, AeadParameters>> = {
  'AES-CCM-16-64-128': lengths(16, 13, 8),
  'AES-CCM-16-64-256': lengths(32, 13, 8),
  'AES-CCM-64-64-128': lengths(16, 7, 8),
  'AES-CCM-64-64-256': lengths(32, 7, 8),
  'AES-CCM-16-128-128': lengths(16, 13, 16),
  'AES-CCM-16-128-256': lengths(32, 13, 16),
  'AES-CCM-64-128-128': lengths(16, 7, 16),
  'AES-CCM-64-128-256': lengths(32, 7, 16),
  A128GCM: lengths(16, 12, 16),
  A192GCM: lengths(24, 12, 16),
  A256GCM: lengths(32, 12, 16),
  'ChaCha20/Poly1305': lengths(32, 12, 16),
};

function lengths(keyBytes: number, nonceBytes: number, tagBytes: number): AeadParameters {
  return { keyBytes, nonceBytes, tagBytes };
}

export const hashBytes: Readonly<Record<HashAlgorithm, number>> = {
  'SHA-1': 20,
  'SHA-256': 32,
  'SHA-384': 48,
  'SHA-512': 64,
};
