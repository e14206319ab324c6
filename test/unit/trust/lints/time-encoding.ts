/** Which of the two forms a date has (RFC 5280 §4.1.2.5). */
import * as der from '../../../../src/wire/der/writer.ts';
import { type Fixtures, idevid, ldevid, nowMs } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [ldevid]],
  bad: [[ldevid, () => ({ notBefore: der.generalizedTime(nowMs) })]],
};
