/** Extensions need version 3 (RFC 5280 §4.1.2.1). */
import * as der from '../../../../src/wire/der/writer.ts';
import { type Fixtures, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [[idevid, () => ({ version: der.explicit(0, der.integer(1)), extensions: [] })]],
};
