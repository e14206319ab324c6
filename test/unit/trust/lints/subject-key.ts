/** Which keys may be certified (RFC 5480 §2.1.1, §2.2). */
import {
  type Fixtures,
  authority,
  compressed,
  idevid,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [authority]],
  bad: [[idevid, (p) => ({ spki: compressed(p.spki) })]],
};
