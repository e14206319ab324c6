/** Nobody asks for the status of responders, and of nobody else that is so (RFC 6960 §4.2.2.2.1). */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'no-check',
  clause: 'RFC 6960 §4.2.2.2.1, RFC 9919 §3.2.2',
  fault: (subject) => {
    const found = extension(subject, extensionOids.ocspNoCheck);
    return (found?.critical === false) === (subject.profile.noCheck === true)
      ? undefined
      : 'id-pkix-ocsp-nocheck goes with the profiles of responders, not critical';
  },
};
