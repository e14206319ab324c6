/** Every certificate names its subject (RFC 5280 §4.1.2.6). */
import * as der from '../../../../src/wire/der/writer.ts';
import { type Fixtures, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [[idevid, () => ({ subject: der.sequence() })]],
};
