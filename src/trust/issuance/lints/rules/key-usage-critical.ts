/** Key usage is there and critical (RFC 5280 §4.2.1.3). */
import { extensionOids } from '../../../../wire/x509/extensions.ts';
import { extension, type Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'key-usage-critical',
  clause: 'RFC 5280 §4.2.1.3',
  fault: (subject) =>
    extension(subject, extensionOids.keyUsage)?.critical === true
      ? undefined
      : 'key usage is missing or not critical',
};
