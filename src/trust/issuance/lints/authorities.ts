/** What makes an authority, and what an authority may not do (RFC 5280 §4.2.1.9, §4.2.1.10). */
import { equal } from '../../../wire/bytes/bytes.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { extensionOids } from '../../../wire/x509/extensions.ts';
import { encodeGeneralName, type GeneralName } from '../../../wire/x509/generalNames.ts';
import { allHosts } from '../prepare.ts';
import { extension, type Rule } from './rule.ts';

export const authorityRules: readonly Rule[] = [
  {
    id: 'basic-constraints',
    clause: 'RFC 5280 §4.2.1.9',
    fault: (subject) => {
      const found = extension(subject, extensionOids.basicConstraints);
      if (subject.profile.authority === undefined) {
        return found === undefined
          ? undefined
          : 'basic constraints in a certificate of no authority';
      }
      return found?.critical === true && subject.basicConstraints?.ca === true
        ? undefined
        : 'an authority without critical basic constraints';
    },
  },
  {
    id: 'path-length',
    clause: 'RFC 5280 §4.2.1.9, profile: path length',
    fault: ({ basicConstraints, profile }) =>
      basicConstraints?.pathLength === profile.authority?.pathLength
        ? undefined
        : 'the path length is not that of the profile',
  },
  {
    id: 'path-below-issuer',
    clause: 'RFC 5280 §6.1.4 (l), (m): self-issued certificates do not count',
    fault: ({ basicConstraints, issuer, certificate }) =>
      basicConstraints?.ca === true &&
      issuer.pathLength === 0 &&
      !equal(certificate.subject.der, issuer.subject.der)
        ? 'the issuer may have no authority below it'
        : undefined,
  },
  {
    id: 'cert-sign-means-authority',
    clause: 'RFC 5280 §4.2.1.3',
    fault: ({ keyUsage, basicConstraints }) =>
      (keyUsage?.has('keyCertSign') ?? false) === (basicConstraints?.ca ?? false)
        ? undefined
        : 'keyCertSign and cA go together',
  },
  {
    id: 'name-constraints',
    clause: 'RFC 5280 §4.2.1.10',
    fault: (subject) => {
      const found = extension(subject, extensionOids.nameConstraints);
      const constraints = subject.nameConstraints;
      if (subject.profile.authority?.excludesHosts !== true) {
        return found === undefined ? undefined : 'name constraints are not of its profile';
      }
      return found?.critical === true &&
        constraints?.permitted.length === 0 &&
        sameNames(constraints.excluded, allHosts)
        ? undefined
        : 'the certificate does not exclude every host, critically';
    },
  },
  {
    id: 'issuer-role',
    clause: 'profile: issued by',
    fault: ({ profile, issuer }) =>
      profile.issuedBy.includes(issuer.role)
        ? undefined
        : `profile ${profile.name} is not for the ${issuer.role} authority`,
  },
  {
    id: 'known-extensions',
    clause: 'profile: nothing that no rule looks at',
    fault: ({ certificate }) => {
      const unknown = certificate.extensions.find(({ oid }) => !judged.has(oid));
      return unknown === undefined ? undefined : `extension ${unknown.oid} is of no profile`;
    },
  },
];

/** Extensions that some rule here judges. */
const judged: ReadonlySet<string> = new Set([
  extensionOids.subjectKeyIdentifier,
  extensionOids.keyUsage,
  extensionOids.subjectAltName,
  extensionOids.basicConstraints,
  extensionOids.nameConstraints,
  extensionOids.authorityKeyIdentifier,
  extensionOids.extKeyUsage,
  extensionOids.cRLDistributionPoints,
  extensionOids.authorityInfoAccess,
  extensionOids.ocspNoCheck,
]);

function sameNames(left: readonly GeneralName[], right: readonly GeneralName[]): boolean {
  const text = (names: readonly GeneralName[]): string =>
    names.map((name) => toHex(encodeGeneralName(name))).join();
  return text(left) === text(right);
}
