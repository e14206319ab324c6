/** The key is for what its profile says. */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'key-usage-profile',
  clause: 'profile: key usage',
  fault: ({ keyUsage, profile }) =>
    keyUsage?.size === profile.keyUsage.length &&
    profile.keyUsage.every((usage) => keyUsage.has(usage))
      ? undefined
      : 'the key usage is not that of the profile',
};
