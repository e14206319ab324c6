/** The path length is that of the profile (RFC 5280 §4.2.1.9). */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'path-length',
  clause: 'RFC 5280 §4.2.1.9, profile: path length',
  fault: ({ basicConstraints, profile }) =>
    basicConstraints?.pathLength === profile.authority?.pathLength
      ? undefined
      : 'the path length is not that of the profile',
};
