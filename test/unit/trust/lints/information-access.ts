/** Responder and issuer are where the authority has them (RFC 5280 §4.2.2.1). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  access,
  idevid,
  listed,
  replaced,
  responder,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[listed], [responder], [idevid]],
  bad: [
    [listed, without(ext.extensionOids.authorityInfoAccess)],
    [listed, replaced(access('http://other.example/ocsp/server'))],
    [idevid, replaced(access('http://status.example/ocsp/factory'))],
    [responder, replaced(access('http://status.example/ocsp/server'))],
  ],
};
