/** The list that a certificate names is the one that it would be on (RFC 5280 §4.2.1.13). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import {
  critical,
  distribution,
  type Fixtures,
  idevid,
  listBase,
  listed,
  ownList,
  replaced,
  responder,
  server,
  without,
} from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [[listed], [responder], [idevid]],
  bad: [
    [idevid, replaced(ext.cRLDistributionPoints('http://a.example'))],
    [listed, without(ext.extensionOids.cRLDistributionPoints)],
    [listed, replaced(ext.cRLDistributionPoints(`${listBase}/2.crl`))],
    [listed, replaced(critical(ownList, true))],
    [listed, (p) => p, { ...server, distribution: undefined }],
    [listed, (p) => p, { ...server, distribution: { ...distribution, shards: 32 } }],
    [responder, replaced(ownList)],
  ],
};
