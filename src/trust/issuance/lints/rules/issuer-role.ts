/** A profile is issued by the authority that it names. */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'issuer-role',
  clause: 'profile: issued by',
  fault: ({ profile, issuer }) =>
    profile.issuedBy.includes(issuer.role)
      ? undefined
      : `profile ${profile.name} is not for the ${issuer.role} authority`,
};
