/** Nobody guesses the next serial number. */
import * as der from '../../../../src/wire/der/writer.ts';
import { type Fixtures, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid, () => ({ serial: der.unsignedInteger(new Uint8Array(12).fill(1)) })]],
  bad: [[idevid, () => ({ serial: der.unsignedInteger(Uint8Array.of(1, 2, 3)) })]],
};
