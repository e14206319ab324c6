/** No authority stands below one that may have none (RFC 5280 §6.1.4). */
import { equal } from '../../../../wire/bytes/bytes.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'path-below-issuer',
  clause: 'RFC 5280 §6.1.4 (l), (m): self-issued certificates do not count',
  fault: ({ basicConstraints, issuer, certificate }) =>
    basicConstraints?.ca === true &&
    issuer.pathLength === 0 &&
    !equal(certificate.subject.der, issuer.subject.der)
      ? 'the issuer may have no authority below it'
      : undefined,
};
