/** Responder and issuer are where the authority has them (RFC 5280 §4.2.2.1). */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { informationAccess } from '../../statusExtensions.ts';
import { extension, sameExtension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'information-access',
  clause: 'RFC 5280 §4.2.2.1',
  fault: (subject) => {
    const [expected] = informationAccess(subject.profile, subject.issuer);
    return sameExtension(extension(subject, extensionOids.authorityInfoAccess), expected)
      ? undefined
      : 'responder and issuer are not where this authority has them';
  },
};
