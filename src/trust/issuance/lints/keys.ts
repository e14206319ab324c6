/** The subject's key, key identifiers, and what the key may be used for (RFC 5280 §4.1.2.7, §4.2.1.1 to §4.2.1.3, §4.2.1.12). */
import { equal } from '../../../wire/bytes/bytes.ts';
import { extensionOids, keyPurposes } from '../../../wire/x509/extensions.ts';
import { keyTypeOids, signatureAlgorithmOids } from '../../../wire/x509/algorithms.ts';
import type { PublicKeyInfo } from '../../../wire/x509/model.ts';
import { namedCurve } from '../../../wire/x509/spki.ts';
import { extension, type Rule } from './rule.ts';

export const keyRules: readonly Rule[] = [
  {
    id: 'subject-key',
    clause: 'RFC 5480 §2.1.1, §2.2',
    fault: ({ certificate: { publicKey }, profile }) => {
      if (
        namedCurve(publicKey) === 'P-256' &&
        publicKey.key.length === 65 &&
        publicKey.key[0] === 4
      )
        return undefined;
      return profile.authority === undefined
        ? 'the key is no uncompressed point on P-256'
        : faultOfAuthorityKey(publicKey);
    },
  },
  {
    id: 'subject-key-is-not-the-issuers',
    clause: 'docs/authority.md: an authority certifies no leaf of its own key',
    fault: ({ certificate, issuer }) =>
      issuer.role === 'self' || !equal(certificate.publicKey.spki, issuer.signer.publicKeySpki)
        ? undefined
        : 'the key is the authority’s own',
  },
  {
    id: 'ski',
    clause: 'RFC 5280 §4.2.1.2, RFC 7093 §2',
    fault: (subject) => {
      const found = extension(subject, extensionOids.subjectKeyIdentifier);
      const identifier = subject.subjectKeyIdentifier;
      return found?.critical === false &&
        identifier !== undefined &&
        equal(identifier, subject.keyIdentifier)
        ? undefined
        : 'the subject key identifier is missing, critical or of another key';
    },
  },
  {
    id: 'aki',
    clause: 'RFC 5280 §4.2.1.1',
    fault: (subject) => {
      const found = extension(subject, extensionOids.authorityKeyIdentifier);
      if (subject.issuer.role === 'self') {
        return found === undefined ? undefined : 'a root needs no authority key identifier';
      }
      const identifier = subject.authorityKeyIdentifier;
      return found?.critical === false &&
        identifier !== undefined &&
        equal(identifier, subject.issuer.keyIdentifier)
        ? undefined
        : 'the authority key identifier is missing, critical or of another key';
    },
  },
  {
    id: 'aki-key-only',
    clause:
      'docs/authority.md: issuer and serial number would block a new certificate of the issuer',
    fault: (subject) => {
      const found = extension(subject, extensionOids.authorityKeyIdentifier);
      // SEQUENCE { [0] 20 octets } and nothing more.
      return found === undefined || found.value.length === 24
        ? undefined
        : 'the authority key identifier names more than the key';
    },
  },
  {
    id: 'key-usage-critical',
    clause: 'RFC 5280 §4.2.1.3',
    fault: (subject) =>
      extension(subject, extensionOids.keyUsage)?.critical === true
        ? undefined
        : 'key usage is missing or not critical',
  },
  {
    id: 'key-usage-profile',
    clause: 'profile: key usage',
    fault: ({ keyUsage, profile }) =>
      keyUsage?.size === profile.keyUsage.length &&
      profile.keyUsage.every((usage) => keyUsage.has(usage))
        ? undefined
        : 'the key usage is not that of the profile',
  },
  {
    id: 'key-purposes-profile',
    clause: 'RFC 5280 §4.2.1.12, profile: key purposes',
    fault: ({ keyPurposes: found = [], profile }) =>
      found.length === profile.keyPurposes.length &&
      profile.keyPurposes.every((purpose) => found.includes(purpose))
        ? undefined
        : 'the key purposes are not those of the profile',
  },
  {
    id: 'no-any-purpose',
    clause: 'RFC 5280 §4.2.1.12',
    fault: ({ keyPurposes: found = [] }) =>
      found.includes(keyPurposes.anyExtendedKeyUsage)
        ? 'anyExtendedKeyUsage opens every door'
        : undefined,
  },
];

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
