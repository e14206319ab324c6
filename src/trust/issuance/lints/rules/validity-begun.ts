/** A certificate begins when it is made. */
import { longestBackdatingMs } from '../../prepare.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'validity-begun',
  clause: 'docs/authority.md: nothing is issued ahead of its time',
  fault: ({ certificate, nowMs }) =>
    certificate.notBeforeMs <= nowMs && certificate.notBeforeMs > nowMs - longestBackdatingMs
      ? undefined
      : 'it does not begin now',
};
