/** Alternative names beside a subject are not critical (RFC 5280 §4.2.1.6). */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'san-criticality',
  clause: 'RFC 5280 §4.2.1.6',
  fault: (subject) => {
    const found = extension(subject, extensionOids.subjectAltName);
    return found === undefined || !found.critical
      ? undefined
      : 'alternative names are critical only beside an empty subject';
  },
};
