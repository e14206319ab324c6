import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { fromUtf8, utf8 } from '../../../src/wire/bytes/utf8.ts';
import * as der from '../../../src/wire/der/writer.ts';
import { decodeBody, encodeBody } from '../../../src/wire/est/body.ts';
import { decodeCertsOnly, encodeCertsOnly } from '../../../src/wire/est/certsOnly.ts';
import { estPath, isEstLabel, parseEstPath } from '../../../src/wire/est/path.ts';
import { channelBinding, linkingPassword, linksTo } from '../../../src/wire/est/popLinking.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { printName } from '../../../src/wire/x509/names.ts';
import { encodePem } from '../../../src/wire/x509/pem.ts';
import { testPki } from '../../support/pki.ts';

const vector = (name: string): Uint8Array =>
  fromHex(
    readFileSync(new URL(`../../vectors/rfc9148/${name}.hex`, import.meta.url), 'utf8').replaceAll(
      '\n',
      '',
    ),
  );

test('RFC 9148 Appendix A.1 and A.2: certs-only messages are read', () => {
  const [root = fromHex(''), ...none] = decodeCertsOnly(vector('cacerts-response'));
  assert.equal(none.length, 0);
  assert.equal(
    printName(parseCertificate(root).subject),
    'CN=Root CA,OU=certification,O=Example Inc,L=LA,ST=CA,C=US',
  );
  const [device = fromHex('')] = decodeCertsOnly(vector('enroll-response'));
  const certificate = parseCertificate(device);
  assert.equal(certificate.notAfterMs, noExpirationMs);
  assert.equal(device.length, 577);
});

test('certs-only messages are written in the given order and read back', () => {
  const pki = testPki();
  const certificates = [
    pki.server.certificate.der,
    pki.root.certificate.der,
    pki.factory.certificate.der,
  ];
  assert.deepEqual(decodeCertsOnly(encodeCertsOnly(certificates)), certificates);
  assert.deepEqual(decodeCertsOnly(encodeCertsOnly([])), []);
});

test('messages that are anything else than certificates are refused', () => {
  const refused = (message: Uint8Array, problem: RegExp): void => {
    assert.throws(() => decodeCertsOnly(message), { name: 'MalformedError', message: problem });
  };
  const data = '1.2.840.113549.1.7.1';
  const wrapped = (...parts: readonly Uint8Array[]): Uint8Array =>
    der.sequence(der.oid('1.2.840.113549.1.7.2'), der.explicit(0, der.sequence(...parts)));
  const empty = der.setOf();
  const content = der.sequence(der.oid(data));
  assert.deepEqual(decodeCertsOnly(wrapped(der.integer(1), empty, content, empty)), []);
  refused(der.sequence(der.oid(data)), /content type 1.2.840.113549.1.7.2 expected/);
  refused(wrapped(der.integer(1), empty, content, der.setOf(der.sequence())), /signers/);
  refused(wrapped(der.integer(1), der.setOf(der.sequence()), content, empty), /digest algorithms/);
  const text = der.sequence(der.oid(data), der.explicit(0, der.octetString(utf8('x'))));
  refused(wrapped(der.integer(1), empty, text, empty), /trailing/);
  const attribute = der.element(0xa0, der.explicit(2, der.sequence()));
  refused(wrapped(der.integer(1), empty, content, attribute, empty), /not a certificate/);
  refused(encodeCertsOnly(Array.from({ length: 33 }, () => der.sequence())), /more than 32/);
  refused(new Uint8Array(300_000), /longer than/);
});

test('every framing that clients in the field use is read', () => {
  const content = vector('enroll-request');
  const text = fromUtf8(encodeBody(content)) ?? '';
  const lines = fromUtf8(encodeBody(content, 'wrap64')) ?? '';
  assert.match(text, /^[A-Za-z0-9+/=]+\n$/);
  assert.match(lines, /^([A-Za-z0-9+/=]{64}\n)+[A-Za-z0-9+/=]{1,64}\n$/);
  for (const framed of [
    text,
    text.trimEnd(),
    lines,
    lines.replaceAll('\n', '\r\n'),
    `\r\n \t${lines.replaceAll('\n', ' \n\t')}`,
    encodePem('CERTIFICATE REQUEST', content),
    encodePem('CERTIFICATE REQUEST', content).replaceAll('\n', '\r\n'),
    `Certificate Request:\n${encodePem('CERTIFICATE REQUEST', content)}`,
  ]) {
    assert.deepEqual(decodeBody(utf8(framed)), content, framed.slice(0, 40));
  }
  assert.deepEqual(decodeBody(content), content);
});

test('bodies that are no base64 are refused', () => {
  const refused = (body: Uint8Array, problem: RegExp): void => {
    assert.throws(() => decodeBody(body), { name: 'MalformedError', message: problem });
  };
  refused(fromHex(''), /not base64/);
  refused(utf8(' \n'), /not base64/);
  refused(utf8('MII*'), /not base64/);
  refused(utf8('MII'), /not base64/);
  refused(utf8('MIIB\v'), /not base64/);
  refused(utf8('MIIé'), /not base64 at byte 3/);
  refused(new Uint8Array(70_000).fill(65), /too long/);
  const block = encodePem('CERTIFICATE REQUEST', fromHex('3000'));
  refused(utf8(block + block), /not one PEM block/);
  refused(utf8('-----BEGIN X-----\nAAAA'), /no end/);
});

test('RFC 7030 §3.2.2: paths with and without label', () => {
  assert.deepEqual(parseEstPath('/.well-known/est/cacerts'), { operation: 'cacerts' });
  assert.deepEqual(parseEstPath('/.well-known/est/eu-1/simpleenroll'), {
    label: 'eu-1',
    operation: 'simpleenroll',
  });
  for (const path of [
    '/.well-known/est',
    '/.well-known/est/',
    '/.well-known/est/x',
    '/.well-known/est//cacerts',
    '/.well-known/est/a/b/cacerts',
    '/.well-known/est/csrattrs/cacerts',
    '/.well-known/est/%41/cacerts',
    '/.well-known/est/cacerts/',
    '/est/cacerts',
    `/.well-known/est/${'x'.repeat(65)}/cacerts`,
  ]) {
    assert.equal(parseEstPath(path), undefined, path);
  }
  assert.ok(isEstLabel('a'));
  assert.equal(estPath({ operation: 'csrattrs' }), '/.well-known/est/csrattrs');
  assert.equal(estPath({ label: 'x', operation: 'cacerts' }), '/.well-known/est/x/cacerts');
});

test('RFC 9266 §2: the password that names a connection', () => {
  assert.deepEqual(channelBinding, { label: 'EXPORTER-Channel-Binding', lengthBytes: 32 });
  const exported = fromHex('00'.repeat(31) + 'ff');
  const password = linkingPassword(exported);
  assert.equal(password, 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAP8=');
  assert.ok(linksTo(password, exported));
  assert.ok(!linksTo(password, fromHex('00'.repeat(32))));
  assert.ok(!linksTo('', exported));
});
