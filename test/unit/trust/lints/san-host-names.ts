/** Hosts are called as hosts may be (RFC 5280 §4.2.1.6). */
import * as ext from '../../../../src/wire/x509/extensions.ts';
import { type Fixtures, replaced, web } from '../../../support/issuing/certificateParts.ts';

export const fixtures: Fixtures = {
  good: [
    [web, replaced(ext.subjectAltName([{ kind: 'dNSName', text: 'a-1.Example' }]))],
    [web, replaced(ext.subjectAltName([{ kind: 'iPAddress', address: new Uint8Array(16) }]))],
  ],
  bad: [
    [web, replaced(ext.subjectAltName([{ kind: 'dNSName', text: 'a b.example' }]))],
    [web, replaced(ext.subjectAltName([{ kind: 'dNSName', text: '*.example' }]))],
    [web, replaced(ext.subjectAltName([{ kind: 'dNSName', text: '' }]))],
    [web, replaced(ext.subjectAltName([{ kind: 'iPAddress', address: new Uint8Array(5) }]))],
  ],
};
