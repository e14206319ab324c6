/** Algorithm identifiers of certificates: signature algorithms and key types, by the names of their standards. */
import { equal } from '../bytes/bytes.ts';
import type { DerReader } from '../der/reader.ts';
import * as der from '../der/writer.ts';
import type { AlgorithmIdentifier } from './model.ts';

export const signatureAlgorithmOids = {
  // RFC 5758 §3.2, RFC 8410 §3: parameters are absent.
  'ecdsa-with-SHA256': '1.2.840.10045.4.3.2',
  'ecdsa-with-SHA384': '1.2.840.10045.4.3.3',
  'ecdsa-with-SHA512': '1.2.840.10045.4.3.4',
  Ed25519: '1.3.101.112',
  // RFC 9881 §2: parameters are absent.
  'ML-DSA-44': '2.16.840.1.101.3.4.3.17',
  'ML-DSA-65': '2.16.840.1.101.3.4.3.18',
  'ML-DSA-87': '2.16.840.1.101.3.4.3.19',
  // RFC 9909 §3: parameters are absent.
  'SLH-DSA-SHA2-128s': '2.16.840.1.101.3.4.3.20',
  // RFC 4055 §5: parameters are NULL.
  sha256WithRSAEncryption: '1.2.840.113549.1.1.11',
  sha384WithRSAEncryption: '1.2.840.113549.1.1.12',
  sha512WithRSAEncryption: '1.2.840.113549.1.1.13',
} as const;

export type SignatureAlgorithmName = keyof typeof signatureAlgorithmOids;

export const keyTypeOids = {
  ecPublicKey: '1.2.840.10045.2.1',
  rsaEncryption: '1.2.840.113549.1.1.1',
  Ed25519: '1.3.101.112',
} as const;

/** Named curves of RFC 5480 §2.1.1.1. */
export const curveOids = {
  'P-256': '1.2.840.10045.3.1.7',
  'P-384': '1.3.132.0.34',
  'P-521': '1.3.132.0.35',
} as const;

/** DER of the AlgorithmIdentifier of a signature algorithm. */
export function encodeSignatureAlgorithm(name: SignatureAlgorithmName): Uint8Array {
  const oid = der.oid(signatureAlgorithmOids[name]);
  return name.endsWith('RSAEncryption') ? der.sequence(oid, der.nullElement) : der.sequence(oid);
}

export function readAlgorithmIdentifier(reader: DerReader): AlgorithmIdentifier {
  return reader.sequence((content) => {
    const oid = content.oid();
    return content.atEnd ? { oid } : { oid, parameters: content.element() };
  });
}

export function sameAlgorithm(left: AlgorithmIdentifier, right: AlgorithmIdentifier): boolean {
  if (left.oid !== right.oid) return false;
  if (left.parameters === undefined || right.parameters === undefined) {
    return left.parameters === right.parameters;
  }
  return equal(left.parameters, right.parameters);
}
