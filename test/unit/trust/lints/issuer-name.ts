/** The issuer is named as it names itself (RFC 5280 §4.1.2.4). */
import { type Fixtures, idevid, root } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [[idevid, () => ({ issuer: root.subject.der })]],
};
