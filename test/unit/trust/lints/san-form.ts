/** Alternative names are of the form that the profile wants. */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  idevid,
  ldevid,
  module,
  replaced,
  web,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [
    [idevid],
    [ldevid],
    [web, replaced(ext.subjectAltName([{ kind: 'iPAddress', address: new Uint8Array(4) }]))],
  ],
  bad: [
    [idevid, without(ext.extensionOids.subjectAltName)],
    [idevid, replaced(ext.subjectAltName([module, { kind: 'dNSName', text: 'a.example' }]))],
    [ldevid, replaced(ext.subjectAltName([{ kind: 'dNSName', text: 'a.example' }]))],
    [web, without(ext.extensionOids.subjectAltName)],
    [
      web,
      replaced(
        ext.subjectAltName([{ kind: 'uniformResourceIdentifier', text: 'https://a.example' }]),
      ),
    ],
  ],
};
