/**
 * Proof of possession for keys that cannot sign (§4.2, RFC 6955 §6): the requester and the verifier agree
 * on a secret by static Diffie-Hellman, and a MAC under it stands where the signature would. The
 * verifier's key is known beforehand, from a certificate.
 */
import { concat } from '../bytes/bytes.ts';
import type { Crypto, Secret } from '../crypto/crypto.ts';
import { readDer } from '../der/reader.ts';
import { tags } from '../der/tags.ts';
import * as der from '../der/writer.ts';
import type { AlgorithmIdentifier, Name } from '../x509/model.ts';
import { readName } from '../x509/names.ts';

export type PossessionHash = 'SHA-256' | 'SHA-384' | 'SHA-512';

/** Values 14 to 16 of the registry of signature algorithms. */
export const possessionAlgorithms: Readonly<Record<PossessionHash, AlgorithmIdentifier>> = {
  'SHA-256': { oid: '1.3.6.1.5.5.7.6.26' },
  'SHA-384': { oid: '1.3.6.1.5.5.7.6.27' },
  'SHA-512': { oid: '1.3.6.1.5.5.7.6.28' },
};

/**
 * The hash of leading info, shared secret and trailing info: the key of the MAC. The shared secret stays
 * with whoever agreed on it.
 */
export type PossessionKey = (
  hash: PossessionHash,
  leadingInfo: Uint8Array,
  trailingInfo: Uint8Array,
) => Secret;

export interface PossessionInput {
  readonly hash: PossessionHash;
  /** Of the certificate of the verifier's Diffie-Hellman key. */
  readonly verifierSubject: Name;
  readonly verifierIssuer: Name;
  /** What a signature would cover: the CBOR sequence of a native request, CertificationRequestInfo of PKCS#10. */
  readonly toBeSigned: Uint8Array;
}

export interface PossessionProof {
  readonly mac: Uint8Array;
  /** Issuer and serial number of the verifier's certificate, where it has several keys. */
  readonly verifier?: {
    readonly issuer: Name;
    /** Magnitude, most significant byte first. */
    readonly serialNumber: Uint8Array;
  };
}

/** The hash of the algorithm; `undefined` when it is a signature algorithm. */
export function possessionHash({ oid }: AlgorithmIdentifier): PossessionHash | undefined {
  const hashes = ['SHA-256', 'SHA-384', 'SHA-512'] as const;
  return hashes.find((hash) => possessionAlgorithms[hash].oid === oid);
}

/** The MAC. Verifiers compare it with `equalConstantTime`. */
export function possessionMac(
  crypto: Crypto,
  key: PossessionKey,
  { hash, verifierSubject, verifierIssuer, toBeSigned }: PossessionInput,
): Uint8Array {
  // RFC 6955 §4: names of the verifier's certificate around the secret bind the key to that certificate.
  return crypto.hmac(hash, key(hash, verifierSubject.der, verifierIssuer.der), toBeSigned);
}

/** For shared secrets that are at hand as bytes: the x-coordinate of the shared point. */
export function possessionKeyOf(crypto: Crypto, sharedSecret: Uint8Array): PossessionKey {
  return (hash, leadingInfo, trailingInfo) =>
    crypto.secret(crypto.hash(hash, concat(leadingInfo, sharedSecret, trailingInfo)));
}

/** DER of DhSigStatic: what stands as the signature, and what `UnsignedC509.finish` takes. */
export function encodePossessionProof({ mac, verifier }: PossessionProof): Uint8Array {
  if (verifier === undefined) return der.sequence(der.octetString(mac));
  const { issuer, serialNumber } = verifier;
  return der.sequence(
    der.sequence(issuer.der, der.unsignedInteger(serialNumber)),
    der.octetString(mac),
  );
}

/** Throws a `MalformedError`. */
export function readPossessionProof(signature: Uint8Array): PossessionProof {
  return readDer(signature, (reader) =>
    reader.sequence((content) => {
      const verifier = content.optional(tags.sequence, (field) =>
        field.sequence((pair) => {
          const issuer = readName(pair);
          const start = pair.offset;
          const serialNumber = pair.integer();
          if ((serialNumber[0] ?? 0) >= 0x80) pair.fail('negative serial number', start);
          return { issuer, serialNumber: serialNumber.subarray(serialNumber[0] === 0 ? 1 : 0) };
        }),
      );
      const mac = content.octetString();
      return verifier === undefined ? { mac } : { mac, verifier };
    }),
  );
}
