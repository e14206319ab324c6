/** Where the status of a certificate is found (RFC 5280 §4.2.1.13, §4.2.2.1, RFC 6960 §4.2.2.2.1). */
import { equal } from '../../../wire/bytes/bytes.ts';
import { cRLDistributionPoints, extensionOids } from '../../../wire/x509/extensions.ts';
import type { Extension } from '../../../wire/x509/model.ts';
import { listUriOf } from '../distribution.ts';
import { distributionOf, informationAccess } from '../statusExtensions.ts';
import { extension, type Rule } from './rule.ts';

export const statusRules: readonly Rule[] = [
  {
    id: 'distribution-point',
    clause: 'RFC 5280 §4.2.1.13; docs/status.md: the list is chosen by the serial number',
    fault: (subject) => {
      const { profile, issuer, certificate } = subject;
      const distribution = distributionOf(profile, issuer);
      const expected =
        distribution && cRLDistributionPoints(listUriOf(distribution, certificate.serialNumber));
      return same(extension(subject, extensionOids.cRLDistributionPoints), expected)
        ? undefined
        : 'the distribution point is not the list that this certificate would be on';
    },
  },
  {
    id: 'information-access',
    clause: 'RFC 5280 §4.2.2.1',
    fault: (subject) => {
      const [expected] = informationAccess(subject.profile, subject.issuer);
      return same(extension(subject, extensionOids.authorityInfoAccess), expected)
        ? undefined
        : 'responder and issuer are not where this authority has them';
    },
  },
  {
    id: 'no-check',
    clause: 'RFC 6960 §4.2.2.2.1, RFC 9919 §3.2.2',
    fault: (subject) => {
      const found = extension(subject, extensionOids.ocspNoCheck);
      return (found?.critical === false) === (subject.profile.noCheck === true)
        ? undefined
        : 'id-pkix-ocsp-nocheck goes with the profiles of responders, not critical';
    },
  },
];

/** Compared as encoded: another reader of the same words might read them otherwise. */
function same(found: Extension | undefined, expected: Extension | undefined): boolean {
  if (found === undefined || expected === undefined) return found === expected;
  return found.critical === expected.critical && equal(found.value, expected.value);
}
