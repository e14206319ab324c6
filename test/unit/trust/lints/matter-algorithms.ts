/** Matter knows one curve and one signature. */
import * as der from '../../../../src/wire/der/writer.ts';
import { encodeSignatureAlgorithm } from '../../../../src/wire/x509/algorithms.ts';
import {
  type Fixtures,
  idevid,
  matterAuthority,
  matterDevice,
  pai,
} from '../../../support/issuing/certificateParts.ts';

// The identifier of P-384 before a point of its length.
const p384Spki = der.sequence(
  der.sequence(der.oid('1.2.840.10045.2.1'), der.oid('1.3.132.0.34')),
  der.bitString(Uint8Array.from({ length: 97 }, (_, index) => (index === 0 ? 4 : index))),
);
const sha384 = encodeSignatureAlgorithm('ecdsa-with-SHA384');

export const fixtures: Fixtures = {
  good: [[matterDevice], [matterAuthority], [idevid]],
  bad: [
    [matterDevice, () => ({ algorithm: sha384 }), { ...pai, signatureAlgorithm: sha384 }],
    [matterDevice, () => ({ spki: p384Spki })],
  ],
};
