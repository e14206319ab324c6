/** No certificate is for every purpose (RFC 5280 §4.2.1.12). */
import { keyPurposes } from '../../../../wire/x509/extensions.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'no-any-purpose',
  clause: 'RFC 5280 §4.2.1.12',
  fault: ({ keyPurposes: found = [] }) =>
    found.includes(keyPurposes.anyExtendedKeyUsage)
      ? 'anyExtendedKeyUsage opens every door'
      : undefined,
};
