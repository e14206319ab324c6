/** Names are those that the issuer may certify (RFC 5280 §4.2.1.10): nobody would believe others. */
import { excludedName } from '../../../peers/nameConstraints.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'san-permitted',
  clause: 'RFC 5280 §4.2.1.10, §6.1.3 (b), (c)',
  fault: ({ certificate, alternativeNames = [], issuer: { nameConstraints } }) => {
    if (nameConstraints === undefined) return undefined;
    const kind = excludedName(certificate, alternativeNames, [nameConstraints]);
    return kind === undefined ? undefined : `a ${kind} that the issuer may not certify`;
  },
};
