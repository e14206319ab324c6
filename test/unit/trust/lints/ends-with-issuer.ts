/** A leaf ends no later than its issuer, and begins no earlier. */
import {
  dayMs,
  type Fixtures,
  idevid,
  ldevid,
  nowMs,
  operational,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[ldevid, (p) => p, { ...operational, notAfterMs: nowMs + 365 * dayMs }], [idevid]],
  bad: [
    [ldevid, (p) => p, { ...operational, notAfterMs: nowMs + 364 * dayMs }],
    [ldevid, (p) => p, { ...operational, notBeforeMs: nowMs + 1 }],
  ],
};
