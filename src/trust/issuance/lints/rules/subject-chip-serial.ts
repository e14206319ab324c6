/** A chip is called by its serial number, as a reader of its compressed certificate writes it. */
import { attributeText } from '../../../../wire/x509/names.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-chip-serial',
  clause: 'profile: subject; docs/ca.md: nine octets in upper-case hexadecimal',
  fault: ({ certificate, profile }) =>
    profile.subject !== 'chip' ||
    /^[0-9A-F]{18}$/.test(attributeText(certificate.subject, 'serialNumber') ?? '')
      ? undefined
      : 'the serialNumber of the subject is no serial number of a chip',
};
