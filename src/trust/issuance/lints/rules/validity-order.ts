/** A certificate begins before it ends (RFC 5280 §4.1.2.5). */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'validity-order',
  clause: 'RFC 5280 §4.1.2.5',
  fault: ({ certificate }) =>
    certificate.notBeforeMs < certificate.notAfterMs ? undefined : 'it ends before it begins',
};
