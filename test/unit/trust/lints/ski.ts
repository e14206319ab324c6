/** The subject key identifier is that of the key (RFC 5280 §4.2.1.2). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  idevid,
  replaced,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [
    [idevid, without(ext.extensionOids.subjectKeyIdentifier)],
    [idevid, replaced(ext.subjectKeyIdentifier(new Uint8Array(20)))],
  ],
};
