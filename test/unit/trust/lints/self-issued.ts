/** Subject and issuer are the same in a root and in a link, and nowhere else (RFC 5280 §3.2). */
import {
  type Fixtures,
  authority,
  idevid,
  root,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[authority], [idevid]],
  bad: [[authority, () => ({ subject: root.subject.der })]],
};
