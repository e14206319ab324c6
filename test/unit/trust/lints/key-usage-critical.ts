/** Key usage is there and critical (RFC 5280 §4.2.1.3). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  critical,
  idevid,
  replaced,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [
    [idevid, without(ext.extensionOids.keyUsage)],
    [idevid, replaced(critical(ext.keyUsage('digitalSignature'), false))],
  ],
};
