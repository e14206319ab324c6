/** A certificate lives as long as its profile says. */
import { noExpirationMs } from '../../../../wire/der/time.ts';
import { endOf } from '../../prepare.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'validity-profile',
  clause: 'profile: lifetime',
  fault: ({ certificate, profile, nowMs }) =>
    certificate.notAfterMs <= endOf(profile.lifetime, nowMs, certificate.notBeforeMs) &&
    (profile.lifetime.kind === 'unlimited') === (certificate.notAfterMs === noExpirationMs)
      ? undefined
      : 'it lives longer, or shorter, than its profile says',
};
