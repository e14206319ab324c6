/** A certificate begins when it is made. */
import * as der from '../../../../src/wire/der/writer.ts';
import { type Fixtures, dayMs, ldevid, nowMs } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[ldevid, () => ({ notBefore: der.time(nowMs - 300_000) })]],
  bad: [
    [ldevid, () => ({ notBefore: der.time(nowMs + 1000) })],
    [ldevid, () => ({ notBefore: der.time(nowMs - 2 * dayMs) })],
  ],
};
