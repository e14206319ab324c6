/** A root's commitment to the key of the next one (RFC 8649 §3): the hash of a SubjectPublicKeyInfo that nobody has seen yet. */
import { readDer } from '../der/reader.ts';
import * as der from '../der/writer.ts';
import { readAlgorithmIdentifier } from './algorithms.ts';
import type { Extension } from './model.ts';

export const hashOfRootKeyOid = '1.3.6.1.4.1.51483.2.1';

/** SHA-256. */
const sha256Oid = '2.16.840.1.101.3.4.2.1';

export interface HashedRootKey {
  /** Dotted, of the hash algorithm. */
  readonly algorithm: string;
  readonly hash: Uint8Array;
}

/** `sha256`: over the DER of the next root's SubjectPublicKeyInfo. */
export function hashOfRootKey(sha256: Uint8Array): Extension {
  // HashAlgorithm of PKIX1-PSS-OAEP-Algorithms-2009: parameters of SHA-2 are better absent.
  const value = der.sequence(der.sequence(der.oid(sha256Oid)), der.octetString(sha256));
  // RFC 8649 §3: MUST NOT be critical.
  return { oid: hashOfRootKeyOid, critical: false, value };
}

/** Throws a `MalformedError` with the offset of the first fault. */
export function decodeHashOfRootKey(value: Uint8Array): HashedRootKey {
  return readDer(value, (reader) =>
    reader.sequence((content) => ({
      algorithm: readAlgorithmIdentifier(content).oid,
      hash: content.octetString(),
    })),
  );
}

/** The SHA-256 that a root has committed to; `undefined` for a hash of another kind, which is not judged here. */
export function committedSha256(value: Uint8Array): Uint8Array | undefined {
  const { algorithm, hash } = decodeHashOfRootKey(value);
  return algorithm === sha256Oid && hash.length === 32 ? hash : undefined;
}
