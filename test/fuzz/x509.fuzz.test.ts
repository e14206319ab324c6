/** DER, certificates, requests, PEM, and what EST carries. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SoftwareVerifier } from '../../src/drivers/keys/software/verifier.ts';
import { knownExtensions } from '../../src/trust/peers/knownExtensions.ts';
import { verifyPath } from '../../src/trust/peers/paths.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../src/wire/bytes/malformed.ts';
import { fromUtf8, utf8 } from '../../src/wire/bytes/utf8.ts';
import { derSignature, fixedSignature } from '../../src/wire/der/ecdsa.ts';
import { oidContent } from '../../src/wire/der/oid.ts';
import { DerReader } from '../../src/wire/der/reader.ts';
import * as der from '../../src/wire/der/writer.ts';
import { decodeBody, encodeBody } from '../../src/wire/est/body.ts';
import { decodeCsrAttributes, encodeCsrAttributes } from '../../src/wire/est/csrAttributes.ts';
import { decodeCertsOnly, encodeCertsOnly } from '../../src/wire/est/certsOnly.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { parseCertificationRequest } from '../../src/wire/x509/certificationRequest.ts';
import * as ext from '../../src/wire/x509/extensions.ts';
import { decodeHashOfRootKey, hashOfRootKey } from '../../src/wire/x509/hashOfRootKey.ts';
import { findHardwareModuleName } from '../../src/wire/x509/generalNames.ts';
import type { Certificate } from '../../src/wire/x509/model.ts';
import { printName } from '../../src/wire/x509/names.ts';
import { encodePem, findPem } from '../../src/wire/x509/pem.ts';
import { namedCurve, parseSpki } from '../../src/wire/x509/spki.ts';
import { exampleKeyWitnessOid, keyWitness, keyWitnessOf } from '../../src/wire/x509/keyWitness.ts';
import {
  decodeServerGeneration,
  exampleGenerationOid,
  serverGeneration,
} from '../../src/wire/x509/serverGeneration.ts';
import { fuzz, mutated } from '../support/fuzz.ts';
import { testKey, testNowMs, testPki, testRequest, testRoot } from '../support/pki.ts';

const pki = testPki();
const key = testKey();
const certificates = [
  pki.idevid('0123456789abcdef'),
  pki.ldevid('0123456789abcdef'),
  pki.serverIdentity(['example.com', '::1']),
  pki.factory,
  testRoot('Old', {
    moreExtensions: [
      ext.cRLDistributionPoints('http://example.com/1.crl'),
      ext.authorityInfoAccess({
        method: '1.3.6.1.5.5.7.48.1',
        location: { kind: 'uniformResourceIdentifier', text: 'http://example.com' },
      }),
    ],
  }),
].map(({ certificate }) => certificate.der);
const requests = [
  testRequest(key),
  testRequest(key, { challengePassword: 'x', extensions: [ext.keyUsage('digitalSignature')] }),
];

fuzz({
  name: 'hashOfRootKey',
  valid: [hashOfRootKey(new Uint8Array(32).fill(1)).value],
  read: decodeHashOfRootKey,
});

fuzz({
  name: 'der',
  valid: [
    ...certificates,
    der.sequence(der.integer(300), der.boolean(true), der.oid('2.25.12345678901234567890')),
    der.setOf(der.utf8String('ü'), der.time(0), der.namedBits([1, 9])),
  ],
  read: (input) => {
    const reader = new DerReader(input);
    while (!reader.atEnd) readAny(reader);
  },
});

/** Reads by type, and holds that there is one encoding of each value. */
function readAny(reader: DerReader): void {
  const start = reader.offset;
  const sameAs = (encoding: Uint8Array): void => {
    assert.equal(reader.offset - start, encoding.length);
  };
  switch (reader.peek() ?? 0) {
    case 0x01:
      sameAs(der.boolean(reader.boolean()));
      return;
    case 0x02:
      reader.integer();
      return;
    case 0x03:
      reader.bitString();
      return;
    case 0x06:
      sameAs(der.element(0x06, oidContent(reader.oid())));
      return;
    case 0x0c:
      sameAs(der.utf8String(reader.utf8String()));
      return;
    case 0x17:
      sameAs(der.utcTime(reader.time()));
      return;
    case 0x18:
      sameAs(der.generalizedTime(reader.time()));
      return;
    case 0x30:
      reader.sequenceOf(readAny);
      return;
    case 0x31:
      reader.setOf(readAny);
      return;
    default:
      reader.any();
  }
}

fuzz({
  name: 'certificate',
  valid: certificates,
  read: (input) => {
    const certificate = parseCertificate(input);
    assert.ok(certificate.der.length === input.length);
    printName(certificate.subject);
    namedCurve(certificate.publicKey);
    for (const { value } of certificate.extensions) readExtension(value);
    return knownExtensions(certificate);
  },
});

fuzz({ name: 'extension-value', valid: extensionValues(), read: readExtension });

/** One value, by every reader of extensions: most of them refuse it. */
function readExtension(value: Uint8Array): void {
  for (const read of [
    ext.decodeBasicConstraints,
    ext.decodeKeyUsage,
    ext.decodeExtKeyUsage,
    ext.decodeSubjectKeyIdentifier,
    ext.decodeAuthorityKeyIdentifier,
    ext.decodeNameConstraints,
    ext.decodeCRLDistributionPoints,
    ext.decodeAuthorityInfoAccess,
    (names: Uint8Array) => findHardwareModuleName(ext.decodeSubjectAltName(names)),
  ]) {
    try {
      read(value);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
    }
  }
}

function extensionValues(): readonly Uint8Array[] {
  return certificates.flatMap((encoding) =>
    parseCertificate(encoding).extensions.map(({ value }) => value),
  );
}

fuzz({ name: 'certification-request', valid: requests, read: parseCertificationRequest });

fuzz({
  name: 'public-key',
  valid: [key.spki, testKey('Ed25519').spki],
  read: (input) => namedCurve(parseSpki(input)),
});

fuzz({
  name: 'ecdsa-signature',
  valid: [key.sign(utf8('a')), key.sign(utf8('b'))],
  read: (input) => assert.deepEqual(derSignature(fixedSignature(input, 32)), input),
});

fuzz({
  name: 'pem',
  valid: [utf8(pki.factory.pem + pki.root.pem), utf8(encodePem('PUBLIC KEY', key.spki))],
  read: (input) => {
    for (const { der: content } of findPem(fromUtf8(input) ?? '')) assert.ok(content.length > 0);
  },
});

fuzz({
  name: 'est-body',
  valid: [
    ...requests.map((request) => encodeBody(request)),
    ...requests.map((request) => encodeBody(request, 'wrap64')),
    ...requests.map((request) => utf8(encodePem('CERTIFICATE REQUEST', request))),
  ],
  read: (input) => parseCertificationRequest(decodeBody(input)),
});

fuzz({
  name: 'csr-attributes',
  valid: [
    encodeCsrAttributes([
      { oid: '1.2.840.113549.1.9.7' },
      { type: '2.5.4.3', values: ['2.5.4.5'] },
    ]),
    encodeCsrAttributes([
      { template: { subject: [{ type: '2.5.4.5' }], key: { algorithm: '1.3.101.112' } } },
    ]),
  ],
  read: decodeCsrAttributes,
});

fuzz({
  name: 'certs-only',
  valid: [encodeCertsOnly(certificates), encodeCertsOnly([])],
  read: (input) => decodeCertsOnly(input).map(parseCertificate),
});

test('no changed certificate has a path, whatever was changed', () => {
  const [, leaf = fromHex('')] = certificates;
  const anchors = [{ certificate: pki.operational.certificate, kinds: ['ldevid'] as const }];
  const verifier = new SoftwareVerifier();
  const verified = (certificate: Certificate): boolean =>
    !isRefusal(verifyPath([certificate], { anchors, intermediates: [] }, verifier, testNowMs));
  assert.ok(verified(parseCertificate(leaf)));
  fc.assert(
    fc.property(mutated([leaf]), (input) => {
      try {
        assert.ok(equal(input, leaf) || !verified(parseCertificate(input)));
      } catch (error) {
        if (!(error instanceof MalformedError)) throw error;
      }
    }),
    { numRuns: 2000 },
  );
});

fuzz({
  name: 'server-generation',
  valid: [
    { generation: 0, floor: 0 },
    { generation: 0xffff_ffff, floor: 128 },
    { generation: 256, floor: 255, statusKey: new Uint8Array(33).fill(2) },
  ].map((values) => serverGeneration(values, exampleGenerationOid).value),
  // DER has one encoding of a value: what is taken is what would be written.
  read: (input) =>
    assert.deepEqual(
      serverGeneration(decodeServerGeneration(input), exampleGenerationOid).value,
      input,
    ),
});

const witness = keyWitness(new Uint8Array(70)).get(exampleKeyWitnessOid) ?? new Uint8Array();
fuzz({
  name: 'key-witness',
  valid: [witness],
  read: (input) => keyWitnessOf([{ type: exampleKeyWitnessOid, values: [input] }]),
});
