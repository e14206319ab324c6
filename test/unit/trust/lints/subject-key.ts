/** Which keys may be certified (RFC 5480 §2.1.1, §2.2). */
import * as der from '../../../../src/wire/der/writer.ts';
import {
  type Fixtures,
  authority,
  compressed,
  idevid,
} from '../../../support/issuing/certificateParts.ts';

const point = (form: number, lengthBytes: number): Uint8Array =>
  der.bitString(new Uint8Array(lengthBytes).fill(form, 0, 1));

function p384Spki(form: number, lengthBytes: number): Uint8Array {
  const algorithm = der.sequence(der.oid('1.2.840.10045.2.1'), der.oid('1.3.132.0.34'));
  return der.sequence(algorithm, point(form, lengthBytes));
}

export const fixtures: Fixtures = {
  good: [[idevid], [authority]],
  bad: [
    [idevid, (p) => ({ spki: compressed(p.spki) })],
    // Of an authority: half a point on P-384, and as many bytes under another identifier.
    [authority, () => ({ spki: p384Spki(2, 49) })],
    [authority, () => ({ spki: p384Spki(4, 96) })],
    [
      authority,
      () => ({ spki: der.sequence(der.sequence(der.oid('1.3.132.0.35')), point(4, 97)) }),
    ],
  ],
};
