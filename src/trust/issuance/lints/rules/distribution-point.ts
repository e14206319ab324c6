/** The list that a certificate names is the one that it would be on (RFC 5280 §4.2.1.13). */
import { cRLDistributionPoints, extensionOids } from '../../../../wire/x509/extensions.ts';
import { listUriOf } from '../../distribution.ts';
import { distributionOf } from '../../statusExtensions.ts';
import { extension, sameExtension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'distribution-point',
  clause: 'RFC 5280 §4.2.1.13; docs/status.md: the list is chosen by the serial number',
  fault: (subject) => {
    const { profile, issuer, certificate } = subject;
    const distribution = distributionOf(profile, issuer);
    const expected =
      distribution && cRLDistributionPoints(listUriOf(distribution, certificate.serialNumber));
    return sameExtension(extension(subject, extensionOids.cRLDistributionPoints), expected)
      ? undefined
      : 'the distribution point is not the list that this certificate would be on';
  },
};
