/** keyCertSign and cA go together (RFC 5280 §4.2.1.3). */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'cert-sign-means-authority',
  clause: 'RFC 5280 §4.2.1.3',
  fault: ({ keyUsage, basicConstraints }) =>
    (keyUsage?.has('keyCertSign') ?? false) === (basicConstraints?.ca ?? false)
      ? undefined
      : 'keyCertSign and cA go together',
};
