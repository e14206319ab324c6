/** Names are those that the issuer may certify (RFC 5280 §4.2.1.10). */
import { constraintsOf } from '../../../../src/trust/issuance/permittedHosts.ts';
import * as ext from '../../../../src/wire/x509/extensions.ts';
import type { GeneralName } from '../../../../src/wire/x509/generalNames.ts';
import {
  type Fixtures,
  type Kind,
  replaced,
  web,
} from '../../../support/issuing/certificateParts.ts';

const permits = ['example', '192.0.2.0/24'];
const constrained: Kind = {
  ...web,
  issuer: { ...web.issuer, nameConstraints: constraintsOf({ excludesHosts: false, permits }) },
};
const address = (...octets: readonly number[]): readonly GeneralName[] => [
  { kind: 'iPAddress', address: Uint8Array.from(octets) },
];

export const fixtures: Fixtures = {
  good: [[web], [constrained], [constrained, replaced(ext.subjectAltName(address(192, 0, 2, 7)))]],
  bad: [
    [constrained, replaced(ext.subjectAltName([{ kind: 'dNSName', text: 'a.example.net' }]))],
    [constrained, replaced(ext.subjectAltName([{ kind: 'dNSName', text: 'anexample' }]))],
    [constrained, replaced(ext.subjectAltName(address(192, 0, 3, 7)))],
    [constrained, replaced(ext.subjectAltName(address(...new Uint8Array(16))))],
  ],
};
