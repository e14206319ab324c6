/** A serial number is above zero (RFC 5280 §4.1.2.2). */
import { tags } from '../../../../src/wire/der/tags.ts';
import * as der from '../../../../src/wire/der/writer.ts';
import { type Fixtures, idevid } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid, () => ({ serial: der.unsignedInteger(new Uint8Array(16).fill(0x80)) })]],
  bad: [
    [idevid, () => ({ serial: der.element(tags.integer, Uint8Array.of(0)) })],
    [idevid, () => ({ serial: der.element(tags.integer, new Uint8Array(16).fill(0x80)) })],
  ],
};
