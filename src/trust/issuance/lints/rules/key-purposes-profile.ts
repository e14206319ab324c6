/** The key purposes are those of the profile (RFC 5280 §4.2.1.12). */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'key-purposes-profile',
  clause: 'RFC 5280 §4.2.1.12, profile: key purposes',
  fault: ({ keyPurposes: found = [], profile }) =>
    found.length === profile.keyPurposes.length &&
    profile.keyPurposes.every((purpose) => found.includes(purpose))
      ? undefined
      : 'the key purposes are not those of the profile',
};
