/** No authority stands below one that may have none (RFC 5280 §6.1.4). */
import {
  authority,
  factory,
  type Fixtures,
  idevid,
  root,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[authority], [idevid, (p) => p, { ...factory, pathLength: 0 }]],
  bad: [[authority, (p) => p, { ...root, pathLength: 0 }]],
};
