/** A leaf ends no later than its issuer, and begins no earlier. */
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'ends-with-issuer',
  clause: 'docs/authority.md: a leaf ends no later than its issuer',
  fault: ({ certificate, issuer, profile }) =>
    certificate.notAfterMs <= issuer.notAfterMs &&
    // What has to begin on the hour may begin within the hour in which its issuer did.
    (profile.compressed !== undefined || certificate.notBeforeMs >= issuer.notBeforeMs)
      ? undefined
      : 'it lives before or beyond its issuer',
};
