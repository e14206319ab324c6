/** The authority key identifier names a key and nothing else. */
import * as der from '../../../../src/wire/der/writer.ts';
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  factory,
  idevid,
  replaced,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [
    [
      idevid,
      replaced({
        oid: ext.extensionOids.authorityKeyIdentifier,
        critical: false,
        value: der.sequence(
          der.implicit(0, der.octetString(factory.keyIdentifier)),
          der.element(0x82, Uint8Array.of(1)),
        ),
      }),
    ],
  ],
};
