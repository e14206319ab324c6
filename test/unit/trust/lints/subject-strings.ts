/** Names are short strings of the right type without control characters (RFC 5280 Appendix A.1). */
import { utf8 } from '../../../../src/wire/bytes/utf8.ts';
import { tags } from '../../../../src/wire/der/tags.ts';
import * as der from '../../../../src/wire/der/writer.ts';
import { encodeName } from '../../../../src/wire/x509/names.ts';
import {
  type Fixtures,
  attribute,
  deviceId,
  idevid,
  name,
  organization,
  web,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [
    [
      web,
      () => ({
        subject: encodeName(['organizationName', organization], ['commonName', 'x'.repeat(64)]),
      }),
    ],
  ],
  bad: [
    [
      web,
      () => ({ subject: encodeName(['organizationName', organization], ['commonName', 'a\0b']) }),
    ],
    [
      web,
      () => ({
        subject: encodeName(['organizationName', organization], ['commonName', 'x'.repeat(65)]),
      }),
    ],
    [
      web,
      () => ({
        subject: name(
          attribute('2.5.4.10', der.utf8String(organization)),
          attribute('2.5.4.3', der.element(tags.bmpString, utf8('ab'))),
        ),
      }),
    ],
    [
      idevid,
      () => ({
        subject: name(
          attribute('2.5.4.10', der.utf8String(organization)),
          attribute('2.5.4.5', der.utf8String(deviceId)),
        ),
      }),
    ],
  ],
};
