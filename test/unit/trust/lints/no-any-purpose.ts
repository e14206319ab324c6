/** No certificate is for every purpose (RFC 5280 §4.2.1.12). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import { type Fixtures, ldevid, replaced } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[ldevid]],
  bad: [[ldevid, replaced(ext.extKeyUsage(ext.keyPurposes.anyExtendedKeyUsage))]],
};
