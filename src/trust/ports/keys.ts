/** Long-term private keys, wherever they live: an encrypted file, a PKCS#11 token, an element. */

/** Signature algorithms of certificates, by the names of their standards. */
export type CertificateSignatureAlgorithm =
  | 'ecdsa-with-SHA256'
  | 'ecdsa-with-SHA384'
  | 'Ed25519'
  | 'ML-DSA-44'
  | 'ML-DSA-65'
  | 'ML-DSA-87'
  | 'SLH-DSA-SHA2-128s';

export interface Signer {
  readonly algorithm: CertificateSignatureAlgorithm;
  /** DER of SubjectPublicKeyInfo. */
  readonly publicKeySpki: Uint8Array;
  /**
   * Signs the data itself, not a hash of it. ECDSA results are DER (ECDSA-Sig-Value). Rejects with an
   * `EnvironmentError` when the key cannot be reached; whether the key was used is then unknown.
   */
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** A static Diffie-Hellman key. */
export interface KeyAgreement {
  readonly curve: 'P-256';
  /** Uncompressed point, 65 bytes. */
  readonly publicKey: Uint8Array;
  /**
   * The x-coordinate of the shared point. `peerPublicKey` is x alone, compressed or uncompressed; it is
   * checked to be on the curve, and `undefined` returned when it is not.
   */
  agree(peerPublicKey: Uint8Array): Promise<Uint8Array | undefined>;
}

/** Checks of signatures made by others. Synchronous: public keys need no waiting. */
export interface SignatureVerifier {
  /**
   * `algorithmOid` in dotted form. False for a wrong signature, a key that does not fit the algorithm, a
   * point off its curve, and an algorithm that is not known.
   */
  verify(spki: Uint8Array, algorithmOid: string, data: Uint8Array, signature: Uint8Array): boolean;
}

/** Encrypts what is stored: session secrets, pending handshakes. The key never leaves the port. */
export interface SealingKey {
  /** `context` is authenticated and not stored: table and row, so that rows cannot be exchanged. */
  seal(plaintext: Uint8Array, context: string): Uint8Array;
  /** `undefined` when the bytes were altered or belong to another context or key. */
  open(sealed: Uint8Array, context: string): Uint8Array | undefined;
}

/** Checks proofs of possession: keys that are met once, many at a time. */
export interface ProofVerifier {
  /** As `SignatureVerifier.verify`, beside whatever else the process does. */
  verifyInPool(
    spki: Uint8Array,
    algorithmOid: string,
    data: Uint8Array,
    signature: Uint8Array,
  ): Promise<boolean>;
}
