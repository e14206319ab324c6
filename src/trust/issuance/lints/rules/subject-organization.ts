/** An authority speaks for one organization. */
import { attributeText } from '../../../../wire/x509/names.ts';
import { organizationOf } from '../../issuer.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-organization',
  clause: 'profile: an authority speaks for one organization',
  fault: ({ certificate, issuer, profile: { authority } }) =>
    attributeText(certificate.subject, 'organizationName') ===
    (authority?.organization ?? organizationOf(issuer))
      ? undefined
      : 'the organization is not that of the issuer, or of the profile',
};
