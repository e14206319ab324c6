/** The authority key identifier is that of the issuer (RFC 5280 §4.2.1.1). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  type Fixtures,
  critical,
  factory,
  idevid,
  replaced,
  root,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[idevid]],
  bad: [
    [idevid, without(ext.extensionOids.authorityKeyIdentifier)],
    [idevid, replaced(ext.authorityKeyIdentifier(root.keyIdentifier))],
    [idevid, replaced(critical(ext.authorityKeyIdentifier(factory.keyIdentifier), true))],
  ],
};
