/** No extension that no rule looks at. */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { hashOfRootKeyOid } from '../../../../wire/x509/hashOfRootKey.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'known-extensions',
  clause: 'profile: nothing that no rule looks at',
  fault: ({ certificate, profile }) => {
    const unknown = certificate.extensions.find(
      ({ oid }) => !judged.has(oid) && oid !== profile.generationOid,
    );
    return unknown === undefined ? undefined : `extension ${unknown.oid} is of no profile`;
  },
};

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
  hashOfRootKeyOid,
]);
