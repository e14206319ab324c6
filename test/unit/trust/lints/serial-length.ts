/** A serial number fits 20 octets (RFC 5280 §4.1.2.2). */
import * as der from '../../../../src/wire/der/writer.ts';
import { type Fixtures, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid, () => ({ serial: der.unsignedInteger(new Uint8Array(20).fill(1)) })]],
  bad: [[idevid, () => ({ serial: der.unsignedInteger(new Uint8Array(21).fill(1)) })]],
};
