/** C509 of peers: certificates, requests, templates and COSE values; and DER that is to become C509. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decompressPoint } from '../../src/drivers/keys/software/points.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { parseC509Certificate } from '../../src/wire/c509/certificate.ts';
import { bareAnchor } from '../../src/wire/c509/bareAnchor.ts';
import { c509FromX509, x509FromC509 } from '../../src/wire/c509/convert.ts';
import { encodeCoseC509, parseC5t, parseCoseC509 } from '../../src/wire/c509/coseHeaders.ts';
import { prepareNativeCertificate } from '../../src/wire/c509/native.ts';
import { readBareAnchor, readNativeView } from '../../src/wire/c509/nativeView.ts';
import { c509FromPkcs10, parseC509Request, pkcs10FromC509 } from '../../src/wire/c509/request.ts';
import {
  encodeRequestTemplate,
  parseRequestTemplate,
} from '../../src/wire/c509/requestTemplate.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { fuzz } from '../support/fuzz.ts';
import { testKey, testPki, testRequest } from '../support/pki.ts';

const vectors = Object.values(
  JSON.parse(
    readFileSync(join(import.meta.dirname, '../vectors/c509/certificates.json'), 'utf8'),
  ) as Record<string, { readonly x509?: string; readonly c509: string }>,
);
const pki = testPki();
const ours = [pki.factory, pki.idevid('0123456789abcdef'), pki.serverIdentity()].map(
  ({ certificate }) => certificate.der,
);
const request = testRequest(testKey(), { challengePassword: 'x' });

fuzz({
  name: 'c509-certificate',
  read: (input) => {
    const { type, encoded, certificate } = parseC509Certificate(input, decompressPoint);
    if (type === 3) assert.deepEqual(x509FromC509(encoded, decompressPoint), certificate.der);
  },
  valid: [
    ...vectors.map(({ c509 }) => fromHex(c509)),
    ...ours.map((der) => c509FromX509(der, decompressPoint)),
  ],
});

fuzz({
  name: 'c509-native-view',
  read: (input) => {
    const view = readNativeView(input);
    assert.ok(view.tbs.length < input.length);
  },
  valid: [
    ...vectors.map(({ c509 }) => fromHex(c509)),
    ...ours.map((der) => {
      const unsigned = prepareNativeCertificate(parseCertificate(der));
      return unsigned.finish(pki.server.key.sign(unsigned.toBeSigned));
    }),
  ],
});

fuzz({
  name: 'c509-bare-anchor',
  read: readBareAnchor,
  valid: [bareAnchor(pki.server.certificate) ?? new Uint8Array()],
});

fuzz({
  name: 'c509-from-x509',
  read: (input) => {
    const encoded = c509FromX509(input, decompressPoint);
    assert.deepEqual(x509FromC509(encoded, decompressPoint), input);
  },
  valid: [...vectors.flatMap(({ x509 }) => (x509 === undefined ? [] : [fromHex(x509)])), ...ours],
});

fuzz({
  name: 'c509-request',
  read: (input) => parseC509Request(input, decompressPoint),
  valid: [c509FromPkcs10(request, decompressPoint)],
});

fuzz({
  name: 'c509-from-pkcs10',
  read: (input) => {
    const encoded = c509FromPkcs10(input, decompressPoint);
    assert.deepEqual(pkcs10FromC509(encoded, decompressPoint), input);
  },
  valid: [request],
});

fuzz({
  name: 'c509-request-template',
  read: (input) => {
    const template = parseRequestTemplate(input);
    assert.deepEqual(parseRequestTemplate(encodeRequestTemplate(template)), template);
  },
  valid: [
    fromHex('8700f7f7f7f7f7f7'),
    fromHex('87008202038200440001020384080101654d616b65728100f78302f401'),
    fromHex('870081028100840a0101f78101f7830ff401'),
  ],
});

fuzz({
  name: 'c509-cose',
  read: (input) => {
    assert.deepEqual(parseCoseC509(encodeCoseC509(parseCoseC509(input))), parseCoseC509(input));
  },
  valid: [encodeCoseC509(vectors.slice(0, 2).map(({ c509 }) => fromHex(c509)))],
});

fuzz({ name: 'c509-thumbprint', read: parseC5t, valid: [fromHex(`822f5820${'00'.repeat(32)}`)] });
