import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { readDer } from '../../../src/wire/der/reader.ts';
import * as der from '../../../src/wire/der/writer.ts';
import {
  parseCertificationRequest,
  prepareCertificationRequest,
} from '../../../src/wire/x509/certificationRequest.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import { findHardwareModuleName } from '../../../src/wire/x509/generalNames.ts';
import { encodeName, printName } from '../../../src/wire/x509/names.ts';
import { testKey, testRequest } from '../../support/pki.ts';

const vector = (name: string): Uint8Array =>
  fromHex(
    readFileSync(new URL(`../../vectors/rfc9148/${name}.hex`, import.meta.url), 'utf8').replaceAll(
      '\n',
      '',
    ),
  );

test('RFC 9148 Appendix A.2: a request with password and hardwareModuleName', () => {
  const request = parseCertificationRequest(vector('enroll-request'));
  assert.equal(
    printName(request.subject),
    'serialNumber=Wt1234,OU=IoT,O=example Inc,L=LA,ST=CA,C=US',
  );
  assert.equal(toHex(utf8(request.challengePassword ?? '')).slice(0, 20), '76437630292a264a4b4a');
  assert.deepEqual(
    request.requestedExtensions.map(({ oid }) => oid),
    ['2.5.29.17'],
  );
  const names = ext.decodeSubjectAltName(request.requestedExtensions[0]?.value ?? fromHex(''));
  assert.deepEqual(findHardwareModuleName(names), {
    hwType: '1.3.6.1.4.1.6715.10.1',
    hwSerialNum: fromHex('01020304'),
  });
  assert.deepEqual(
    request.attributes.map(({ type }) => type),
    ['1.2.840.113549.1.9.7', '1.2.840.113549.1.9.14'],
  );
});

test('RFC 9148 Appendix A.3: a request without attributes', () => {
  const request = parseCertificationRequest(vector('serverkeygen-request'));
  assert.deepEqual(request.attributes, []);
  assert.deepEqual(request.requestedExtensions, []);
  assert.equal('challengePassword' in request, false);
});

test('RFC 9148 Appendix A.2 is written again, byte for byte', () => {
  const request = parseCertificationRequest(vector('enroll-request'));
  const prepared = prepareCertificationRequest({
    subject: request.subject.der,
    spki: request.publicKey.spki,
    challengePassword: request.challengePassword ?? '',
    extensions: request.requestedExtensions,
  });
  assert.deepEqual(prepared.toBeSigned, request.info);
  assert.deepEqual(prepared.finish('ecdsa-with-SHA256', request.signature), request.der);
});

test('attributes may be missing altogether, and unsorted', () => {
  const key = testKey();
  const signed = (...parts: readonly Uint8Array[]): Uint8Array =>
    der.sequence(
      der.sequence(der.integer(0), encodeName(), key.spki, ...parts),
      algorithm,
      signature,
    );
  assert.deepEqual(parseCertificationRequest(signed()).attributes, []);
  const [first, second] = [
    attribute('1.2.3', der.nullElement),
    attribute('1.2.2', der.nullElement),
  ];
  const unsorted = der.element(0xa0, first, second);
  assert.equal(parseCertificationRequest(signed(unsorted)).attributes.length, 2);
});

test('what breaks the structure of a request is refused', () => {
  const refused = (encoding: Uint8Array, problem: RegExp): void => {
    assert.throws(() => parseCertificationRequest(encoding), {
      name: 'MalformedError',
      message: problem,
    });
  };
  const withAttributes = (...attributes: readonly Uint8Array[]): Uint8Array => {
    const info = der.sequence(
      der.integer(0),
      encodeName(),
      testKey().spki,
      der.element(0xa0, ...attributes),
    );
    return der.sequence(info, algorithm, signature);
  };
  const password = (...values: readonly Uint8Array[]): Uint8Array =>
    attribute('1.2.840.113549.1.9.7', ...values);
  const good = testRequest(testKey(), { challengePassword: 'secret' });
  refused(concat(good, fromHex('00')), /trailing bytes/);
  refused(new Uint8Array(40_000), /longer than 32768/);
  refused(
    withAttributes(password(der.utf8String('a')), password(der.utf8String('b'))),
    /occurs twice/,
  );
  refused(
    withAttributes(password(der.utf8String('a'), der.utf8String('b'))),
    /wrong number of values/,
  );
  refused(withAttributes(password()), /wrong number of values/);
  refused(withAttributes(password(der.octetString(fromHex('00')))), /not a text/);
  refused(withAttributes(attribute('1.2.840.113549.1.9.14', der.sequence())), /empty list/);
  const many = Array.from({ length: 17 }, (_, arc) => attribute(`1.2.${arc}`, der.nullElement));
  refused(withAttributes(...many), /too many attributes/);
  const version1 = der.sequence(der.integer(1), encodeName(), testKey().spki);
  refused(der.sequence(version1, algorithm, signature), /INTEGER above 0/);
});

test('what is signed is the first element, as it stands', () => {
  const key = testKey();
  const encoding = testRequest(key, { extensions: [ext.keyUsage('digitalSignature')] });
  const { info } = parseCertificationRequest(encoding);
  const first = readDer(encoding, (reader) => reader.sequenceOf((item) => item.element())[0]);
  assert.deepEqual(info, first);
});

const algorithm = der.sequence(der.oid('1.2.840.10045.4.3.2'));
const signature = der.bitString(new Uint8Array(70));

function attribute(type: string, ...values: readonly Uint8Array[]): Uint8Array {
  return der.sequence(der.oid(type), der.setOf(...values));
}
