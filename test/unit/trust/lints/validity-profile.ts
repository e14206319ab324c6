/** A certificate lives as long as its profile says. */
import { noExpirationMs } from '../../../../src/wire/der/time.ts';
import * as der from '../../../../src/wire/der/writer.ts';
import {
  type Fixtures,
  dayMs,
  idevid,
  ldevid,
  nowMs,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [ldevid, () => ({ notAfter: der.time(nowMs + dayMs) })]],
  bad: [
    [ldevid, () => ({ notAfter: der.time(nowMs + 366 * dayMs) })],
    [ldevid, () => ({ notAfter: der.time(noExpirationMs) })],
    [idevid, () => ({ notAfter: der.time(nowMs + dayMs) })],
  ],
};
