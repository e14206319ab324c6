/** Nobody asks for the status of responders, and of nobody else that is so (RFC 6960 §4.2.2.2.1). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  critical,
  ldevid,
  replaced,
  responder,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[responder], [ldevid]],
  bad: [
    [responder, without(ext.extensionOids.ocspNoCheck)],
    [responder, replaced(critical(ext.ocspNoCheck(), true))],
    [ldevid, replaced(ext.ocspNoCheck())],
  ],
};
