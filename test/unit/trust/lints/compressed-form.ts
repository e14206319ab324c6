/** The 72 bytes of a compressed certificate give it back, octet for octet. */
import * as der from '../../../../src/wire/der/writer.ts';
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  chip,
  chipSigner,
  dayMs,
  factory,
  type Fixtures,
  idevid,
  nowMs,
  replaced,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[chip], [idevid]],
  bad: [
    [chip, () => ({ notBefore: der.time(nowMs - 1000) })],
    [chip, () => ({ notAfter: der.time(nowMs + 365 * dayMs + 1000) })],
    // 29 February 2028, noon.
    [
      chip,
      () => ({
        notBefore: der.time(Date.UTC(2028, 1, 29, 12)),
        notAfter: der.time(Date.UTC(2056, 1, 29, 12)),
      }),
    ],
    [chip, () => ({ serial: der.unsignedInteger(new Uint8Array(16).fill(0x41)) })],
    [chip, replaced(ext.subjectKeyIdentifier(new Uint8Array(20)))],
    [chip, (p) => p, { ...chipSigner, signer: factory.signer }],
  ],
};
