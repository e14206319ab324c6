/** The key purposes are those of the profile (RFC 5280 §4.2.1.12). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  idevid,
  ldevid,
  replaced,
  web,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid], [ldevid], [web]],
  bad: [
    [ldevid, without(ext.extensionOids.extKeyUsage)],
    [ldevid, replaced(ext.extKeyUsage(ext.keyPurposes.serverAuth))],
    [idevid, replaced(ext.extKeyUsage(ext.keyPurposes.clientAuth))],
  ],
};
