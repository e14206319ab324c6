/** Every certificate names its subject (RFC 5280 §4.1.2.6). */
import { isEmptyName } from '../../../../wire/x509/names.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'subject-present',
  clause: 'RFC 5280 §4.1.2.6',
  fault: ({ certificate }) =>
    isEmptyName(certificate.subject) ? 'the subject is empty' : undefined,
};
