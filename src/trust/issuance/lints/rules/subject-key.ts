/** Which keys may be certified (RFC 5480 §2.1.1, §2.2). */
import { keyTypeOids, signatureAlgorithmOids } from '../../../../wire/x509/algorithms.ts';
import type { PublicKeyInfo } from '../../../../wire/x509/model.ts';
import { namedCurve } from '../../../../wire/x509/spki.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-key',
  clause: 'RFC 5480 §2.1.1, §2.2',
  fault: ({ certificate: { publicKey }, profile }) => {
    if (namedCurve(publicKey) === 'P-256' && publicKey.key.length === 65 && publicKey.key[0] === 4)
      return undefined;
    return profile.authority === undefined
      ? 'the key is no uncompressed point on P-256'
      : faultOfAuthorityKey(publicKey);
  },
};

/** Bytes of the public keys that authorities may have besides P-256 (RFC 5480, RFC 8410, RFC 9881 §4, RFC 9909 §4). */
const authorityKeyBytes: ReadonlyMap<string, number> = new Map<string, number>([
  [keyTypeOids.Ed25519, 32],
  [signatureAlgorithmOids['ML-DSA-44'], 1312],
  [signatureAlgorithmOids['ML-DSA-65'], 1952],
  [signatureAlgorithmOids['ML-DSA-87'], 2592],
  [signatureAlgorithmOids['SLH-DSA-SHA2-128s'], 32],
]);

function faultOfAuthorityKey(publicKey: PublicKeyInfo): string | undefined {
  const { key, algorithm } = publicKey;
  if (namedCurve(publicKey) === 'P-384' && key.length === 97 && key[0] === 4) return undefined;
  const plain = algorithm.parameters === undefined;
  return plain && authorityKeyBytes.get(algorithm.oid) === key.length
    ? undefined
    : 'the key is of no kind that an authority may have';
}
