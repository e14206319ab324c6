/** Extensions need version 3 (RFC 5280 §4.1.2.1). */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'version-3',
  clause: 'RFC 5280 §4.1.2.1',
  fault: ({ certificate }) =>
    certificate.version === 3 ? undefined : 'a certificate with extensions is of version 3',
};
