/** Which of the two forms a date has (RFC 5280 §4.1.2.5). */
import { tags } from '../../../../wire/der/tags.ts';
import { firstGeneralizedTimeMs } from '../../../../wire/der/time.ts';
import type { Rule } from '../rule.ts';

export const rule: Rule = {
  id: 'time-encoding',
  clause: 'RFC 5280 §4.1.2.5',
  fault: ({ certificate, dateTags }) => {
    const right = [certificate.notBeforeMs, certificate.notAfterMs].every(
      (dateMs, index) =>
        dateTags[index] === (dateMs < firstGeneralizedTimeMs ? tags.utcTime : tags.generalizedTime),
    );
    return right ? undefined : 'UTCTime goes through 2049, GeneralizedTime from 2050';
  },
};
