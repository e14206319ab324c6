/** A profile is issued by the authority that it names. */
import { factory, type Fixtures, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [[idevid, (p) => p, { ...factory, role: 'server' }]],
};
