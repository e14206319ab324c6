/**
 * Signatures of certificates and requests checked with node:crypto. The keys of issuers come back with
 * every certificate, and importing one costs a fifth of a verification, so the last ones used are kept.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import type { SignatureVerifier } from '../../../trust/ports/keys.ts';
import { signatureAlgorithmOids } from '../../../wire/x509/algorithms.ts';
import { publicKeyText } from './publicKeyText.ts';

/** Keys that are kept; every hierarchy in use has a handful. */
const maximumKeys = 64;

/** RSA stays readable for the chains of others; below 2048 bits it is broken, above 8192 a burden. */
const rsaBits = { least: 2048, most: 8192 };

export class SoftwareVerifier implements SignatureVerifier {
  /** Insertion order is order of use, oldest first. `undefined`: tried before, and no key. */
  readonly #keys = new Map<string, KeyObject | undefined>();

  verify(spki: Uint8Array, algorithmOid: string, data: Uint8Array, signature: Uint8Array): boolean {
    const algorithm = algorithms.get(algorithmOid);
    if (algorithm === undefined) return false;
    const key = this.#keyOf(spki);
    if (key === undefined || !fits(key, algorithm)) return false;
    try {
      return verify(algorithm.digest, data, key, signature);
    } catch {
      // OpenSSL throws on some signatures that are not even of their form.
      return false;
    }
  }

  /** The same answer for keys that are met once, as in certification requests: they are not kept. */
  verifyOnce(
    spki: Uint8Array,
    algorithmOid: string,
    data: Uint8Array,
    signature: Uint8Array,
  ): boolean {
    const prepared = prepareOnce(spki, algorithmOid);
    if (prepared === undefined) return false;
    try {
      return verify(prepared.algorithm.digest, data, prepared.key, signature);
    } catch {
      return false;
    }
  }

  /** As `verifyOnce`, from the thread pool: many calls in flight use all cores. */
  verifyInPool(
    spki: Uint8Array,
    algorithmOid: string,
    data: Uint8Array,
    signature: Uint8Array,
  ): Promise<boolean> {
    const prepared = prepareOnce(spki, algorithmOid);
    if (prepared === undefined) return Promise.resolve(false);
    const { algorithm, key } = prepared;
    return new Promise((resolve) => {
      try {
        verify(algorithm.digest, data, key, signature, (error, valid) => {
          resolve(error === null && valid);
        });
      } catch {
        resolve(false);
      }
    });
  }

  #keyOf(spki: Uint8Array): KeyObject | undefined {
    const name = Buffer.from(spki.buffer, spki.byteOffset, spki.length).toString('latin1');
    const known = this.#keys.has(name);
    const key = known ? this.#keys.get(name) : importKey(spki);
    this.#keys.delete(name);
    this.#keys.set(name, key);
    const [oldest] = this.#keys.keys();
    if (this.#keys.size > maximumKeys && oldest !== undefined) this.#keys.delete(oldest);
    return key;
  }
}

interface Algorithm {
  /** `null`: the algorithm hashes by itself. */
  readonly digest: string | null;
  readonly keyType: string;
}

const oids = signatureAlgorithmOids;

/** By dotted OID. */
const algorithms: ReadonlyMap<string, Algorithm> = new Map<string, Algorithm>([
  [oids['ecdsa-with-SHA256'], { digest: 'sha256', keyType: 'ec' }],
  [oids['ecdsa-with-SHA384'], { digest: 'sha384', keyType: 'ec' }],
  [oids['ecdsa-with-SHA512'], { digest: 'sha512', keyType: 'ec' }],
  [oids.Ed25519, { digest: null, keyType: 'ed25519' }],
  [oids['ML-DSA-44'], { digest: null, keyType: 'ml-dsa-44' }],
  [oids['ML-DSA-65'], { digest: null, keyType: 'ml-dsa-65' }],
  [oids['ML-DSA-87'], { digest: null, keyType: 'ml-dsa-87' }],
  [oids['SLH-DSA-SHA2-128s'], { digest: null, keyType: 'slh-dsa-sha2-128s' }],
  [oids.sha256WithRSAEncryption, { digest: 'sha256', keyType: 'rsa' }],
  [oids.sha384WithRSAEncryption, { digest: 'sha384', keyType: 'rsa' }],
  [oids.sha512WithRSAEncryption, { digest: 'sha512', keyType: 'rsa' }],
]);

const curves = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

function fits(key: KeyObject, { keyType }: Algorithm): boolean {
  const { asymmetricKeyType, asymmetricKeyDetails } = key;
  if (asymmetricKeyType !== keyType) return false;
  if (keyType === 'ec') return curves.has(asymmetricKeyDetails?.namedCurve ?? '');
  if (keyType !== 'rsa') return true;
  const bits = asymmetricKeyDetails?.modulusLength ?? 0;
  return bits >= rsaBits.least && bits <= rsaBits.most;
}

/**
 * `undefined` for an algorithm that is not known and a key that does not fit it. P-256 is seen from outside
 * and stays as it is: a KeyObject that nobody keeps costs its making, what node:crypto tells about it, and a
 * finalizer behind the call. A point off the curve makes the verification throw.
 */
function prepareOnce(
  spki: Uint8Array,
  algorithmOid: string,
): { readonly key: KeyObject | string; readonly algorithm: Algorithm } | undefined {
  const algorithm = algorithms.get(algorithmOid);
  if (algorithm === undefined) return undefined;
  if (algorithm.keyType === 'ec' && isP256(spki)) return { key: publicKeyText(spki), algorithm };
  const key = importKey(spki);
  return key !== undefined && fits(key, algorithm) ? { key, algorithm } : undefined;
}

/** The AlgorithmIdentifier of RFC 5480 §2.1.1 in front of an uncompressed point. */
function isP256(spki: Uint8Array): boolean {
  return spki.length === p256Bytes && p256Prefix.every((octet, index) => spki[index] === octet);
}

const p256Prefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
const p256Bytes = 91;

/** `undefined` for what is no key, or a point off its curve. */
function importKey(spki: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey(publicKeyText(spki));
  } catch {
    return undefined;
  }
}
