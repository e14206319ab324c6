/** No authority certifies a leaf of its own key. */
import { type Fixtures, factoryKey, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [[idevid, () => ({ spki: factoryKey.publicKeySpki })]],
};
