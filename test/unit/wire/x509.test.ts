import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import * as der from '../../../src/wire/der/writer.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import {
  addressText,
  encodeGeneralName,
  type GeneralName,
  parseAddress,
  readGeneralName,
} from '../../../src/wire/x509/generalNames.ts';
import { readDer } from '../../../src/wire/der/reader.ts';
import * as names from '../../../src/wire/x509/names.ts';
import { encodePem, findPem, parsePem } from '../../../src/wire/x509/pem.ts';
import { keyIdentifier, namedCurve, p256Point, parseSpki } from '../../../src/wire/x509/spki.ts';
import { testKey } from '../../support/pki.ts';

const malformed = (message: RegExp): { name: string; message: RegExp } => ({
  name: 'MalformedError',
  message,
});

test('RFC 4514 §4: names are shown least significant part first, escaped', () => {
  const shown = (...parts: readonly names.NamePart[]): string =>
    names.printName(names.name(...parts));
  assert.equal(
    shown(['domainComponent', 'net'], ['domainComponent', 'example'], ['userId', 'jsmith']),
    'UID=jsmith,DC=example,DC=net',
  );
  assert.equal(
    shown(['commonName', 'James "Jim" Smith, III']),
    String.raw`CN=James \"Jim\" Smith\, III`,
  );
  assert.equal(shown(['commonName', 'Before\rAfter']), String.raw`CN=Before\0dAfter`);
  assert.equal(shown(['commonName', ' #a ']), String.raw`CN=\ #a\ `);
  assert.equal(shown(['1.3.6.1.4.1.37244.2.1', 'FFF1']), '1.3.6.1.4.1.37244.2.1=FFF1');
  const octets = names.parseName(rdns([['1.3.6.1.4.1.1466.0', der.octetString(utf8('Hi'))]]));
  assert.equal(names.printName(octets), '1.3.6.1.4.1.1466.0=#04024869');
  const two = names.parseName(
    rdns([
      ['2.5.4.3', der.utf8String('J')],
      ['2.5.4.11', der.utf8String('S')],
    ]),
  );
  assert.equal(names.printName(two), 'CN=J+OU=S');
});

test('RFC 5280 §7.1: names are compared without case and runs of blanks', () => {
  const cn = (value: Uint8Array): ReturnType<typeof names.parseName> =>
    names.parseName(rdns([['2.5.4.3', value]]));
  assert.ok(names.sameName(cn(der.utf8String('Root  CA')), cn(der.printableString(' root ca'))));
  assert.ok(!names.sameName(cn(der.utf8String('Root CA')), cn(der.utf8String('RootCA'))));
  assert.ok(!names.sameName(cn(der.octetString(utf8('x'))), cn(der.octetString(utf8('X')))));
  assert.ok(names.sameName(cn(bmp('Root')), cn(der.utf8String('root'))));
  const one = names.name(['organizationName', 'A']);
  const longer = names.name(['organizationName', 'A'], ['commonName', 'B']);
  assert.ok(!names.sameName(one, longer));
  assert.ok(names.startsWithName(longer, one));
  assert.ok(!names.startsWithName(one, longer));
  assert.ok(names.isEmptyName(names.name()));
});

test('names with NUL, halves of characters or no text at all are read and have no text', () => {
  const text = (value: Uint8Array): string | undefined =>
    names.attributeText(names.parseName(rdns([['2.5.4.3', value]])), 'commonName');
  assert.equal(text(der.utf8String('a\0b')), 'a\0b');
  assert.equal(text(der.element(0x0c, fromHex('c328'))), undefined);
  assert.equal(text(der.element(0x1e, fromHex('d800'))), undefined);
  assert.equal(text(der.element(0x1e, fromHex('00'))), undefined);
  assert.equal(text(der.element(0x14, fromHex('e9'))), undefined);
  assert.equal(text(der.element(0x13, utf8('a&b@c'))), 'a&b@c');
  assert.equal(text(der.sequence(der.integer(1))), undefined);
  assert.throws(() => names.parseName(fromHex('30023100')), malformed(/empty Relative/));
  const many = Array.from({ length: 33 }, () => ['commonName', 'x'] as const);
  assert.throws(() => names.name(...many), malformed(/too many/));
});

test('RFC 5280 Appendix A.1: string types of attributes', () => {
  assert.equal(toHex(names.encodeName(['countryName', 'DE'])), '300d310b3009060355040613024445');
  assert.equal(toHex(names.encodeDeviceName('M', '7')).slice(-8), '05130137');
  assert.throws(() => names.encodeName(['serialNumber', 'ä']), TypeError);
});

test('extensions: what is written is what the RFC prints, and read back', () => {
  assert.equal(toHex(ext.basicConstraints({ ca: true, pathLength: 0 }).value), '30060101ff020100');
  assert.equal(toHex(ext.basicConstraints({ ca: false }).value), '3000');
  assert.deepEqual(ext.decodeBasicConstraints(fromHex('30060101ff020100')), {
    ca: true,
    pathLength: 0,
  });
  assert.deepEqual(ext.decodeBasicConstraints(fromHex('3000')), { ca: false });
  assert.throws(() => ext.decodeBasicConstraints(fromHex('3003010100')), malformed(/written out/));
  assert.throws(() => ext.basicConstraints({ ca: false, pathLength: 1 }), TypeError);
  assert.equal(toHex(ext.keyUsage('keyCertSign', 'cRLSign').value), '03020106');
  assert.deepEqual([...ext.decodeKeyUsage(fromHex('03020106'))], ['keyCertSign', 'cRLSign']);
  assert.deepEqual([...ext.decodeKeyUsage(fromHex('03020780'))], ['digitalSignature']);
  const purposes = [ext.keyPurposes.clientAuth, ext.keyPurposes.serverAuth];
  assert.deepEqual(ext.decodeExtKeyUsage(ext.extKeyUsage(...purposes).value), purposes);
  assert.throws(() => ext.decodeExtKeyUsage(fromHex('3000')), malformed(/without members/));
  const keyId = fromHex('0102');
  assert.equal(toHex(ext.authorityKeyIdentifier(keyId).value), '300480020102');
  assert.deepEqual(ext.decodeAuthorityKeyIdentifier(fromHex('300480020102')), keyId);
  assert.equal(ext.decodeAuthorityKeyIdentifier(fromHex('3000')), undefined);
  const named = fromHex('300ea10982076578616d706c65820105');
  assert.equal(ext.decodeAuthorityKeyIdentifier(named), undefined);
  assert.deepEqual(ext.decodeSubjectKeyIdentifier(ext.subjectKeyIdentifier(keyId).value), keyId);
  const encoded = ext.encodeExtension(ext.keyUsage('digitalSignature'));
  assert.equal(toHex(encoded), '300e0603551d0f0101ff040403020780');
});

test('name constraints', () => {
  const constraints: ext.NameConstraints = {
    permitted: [{ kind: 'dNSName', text: 'example.com' }],
    excluded: [{ kind: 'iPAddress', address: new Uint8Array(8) }],
  };
  assert.deepEqual(ext.decodeNameConstraints(ext.nameConstraints(constraints).value), constraints);
  assert.throws(
    () => ext.decodeNameConstraints(fromHex('3000')),
    malformed(/empty name constraints/),
  );
  assert.throws(() => ext.decodeNameConstraints(fromHex('3002a000')), malformed(/without members/));
  assert.throws(() => ext.nameConstraints({ permitted: [], excluded: [] }), TypeError);
  // RFC 5280 §4.2.1.10: minimum and maximum are not used.
  assert.throws(
    () => ext.decodeNameConstraints(fromHex('300ba009300782026162810101')),
    malformed(/trailing/),
  );
});

test('places where status and issuers are found', () => {
  const uri = { kind: 'uniformResourceIdentifier', text: 'http://example.com/7.crl' } as const;
  assert.deepEqual(ext.decodeCRLDistributionPoints(ext.cRLDistributionPoints(uri.text).value), [
    uri,
  ]);
  const ocsp = { method: '1.3.6.1.5.5.7.48.1', location: uri };
  assert.deepEqual(ext.decodeAuthorityInfoAccess(ext.authorityInfoAccess(ocsp).value), [ocsp]);
  const relative = fromHex('300a3008a006a10406025504');
  assert.deepEqual(ext.decodeCRLDistributionPoints(relative), []);
});

test('general names of every kind are read back as they were written', () => {
  const kinds: readonly GeneralName[] = [
    { kind: 'otherName', typeId: '1.2.3', value: der.utf8String('x') },
    { kind: 'rfc822Name', text: 'a@example.com' },
    { kind: 'dNSName', text: 'example.com' },
    { kind: 'directoryName', name: names.name(['commonName', 'x']) },
    { kind: 'uniformResourceIdentifier', text: 'https://example.com' },
    { kind: 'iPAddress', address: fromHex('7f000001') },
    { kind: 'registeredID', oid: '1.2.3.4' },
    { kind: 'unread', tagNumber: 5, encoding: fromHex('a5028100') },
  ];
  for (const name of kinds) {
    assert.deepEqual(readDer(encodeGeneralName(name), readGeneralName), name);
  }
  assert.throws(() => readDer(fromHex('8900'), readGeneralName), malformed(/unknown kind/));
  assert.throws(() => readDer(fromHex('8201ff'), readGeneralName), malformed(/character outside/));
});

test('addresses', () => {
  const cases: ReadonlyArray<readonly [string, string]> = [
    ['127.0.0.1', '7f000001'],
    ['::1', '00000000000000000000000000000001'],
    ['2001:db8::8:800:200c:417a', '20010db80000000000080800200c417a'],
    ['::', '00'.repeat(16)],
    ['::ffff:129.144.52.38', '00000000000000000000ffff81903426'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
  ];
  for (const [text, hex] of cases)
    assert.equal(toHex(parseAddress(text) ?? fromHex('')), hex, text);
  for (const text of [
    '1.2.3',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4.5',
    'x',
    '',
    ':',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    'fe80::1%eth0',
    '1:2:3:4:5:6:7::8',
  ]) {
    assert.equal(parseAddress(text), undefined, text);
  }
  assert.equal(addressText(fromHex('7f000001')), '127.0.0.1');
  assert.equal(addressText(fromHex('20010db8000000000000000000000001')), '2001:db8:0:0:0:0:0:1');
  assert.equal(addressText(fromHex('00')), undefined);
});

test('public keys', () => {
  const spki = testKey().spki;
  const info = parseSpki(spki);
  assert.equal(namedCurve(info), 'P-256');
  assert.deepEqual(p256Point(spki), info.key);
  assert.equal(namedCurve(parseSpki(testKey('ecdsa-with-SHA384').spki)), 'P-384');
  assert.equal(namedCurve(parseSpki(testKey('Ed25519').spki)), undefined);
  assert.throws(() => p256Point(testKey('Ed25519').spki), {
    name: 'MalformedError',
    format: 'spki',
  });
  const hybrid = spki.slice();
  hybrid[26] = 6;
  assert.throws(() => p256Point(hybrid), { name: 'MalformedError', offset: 26 });
  assert.equal(keyIdentifier(info, () => new Uint8Array(32).fill(7)).length, 20);
});

test('RFC 7468: PEM is written in lines of 64 and read strictly', () => {
  const content = Uint8Array.from({ length: 100 }, (_, index) => index);
  const text = encodePem('CERTIFICATE', content);
  assert.match(
    text,
    /^-----BEGIN CERTIFICATE-----\n(.{64}\n){2}.{8}\n-----END CERTIFICATE-----\n$/,
  );
  assert.deepEqual(parsePem(text, 'CERTIFICATE'), content);
  assert.deepEqual(parsePem(text.replaceAll('\n', '\r\n'), 'CERTIFICATE'), content);
  assert.deepEqual(
    parsePem(encodePem('PKCS7', content.subarray(0, 48)), 'PKCS7'),
    content.subarray(0, 48),
  );
  const refused = (wrong: string, message: RegExp): void => {
    assert.throws(() => parsePem(wrong, 'CERTIFICATE'), {
      name: 'MalformedError',
      format: 'pem',
      message,
    });
  };
  refused(text + text, /not one block/);
  refused('', /not one block/);
  refused(`subject=x\n${text}`, /text before/);
  refused(`${text}x`, /text behind/);
  refused(encodePem('PUBLIC KEY', content), /CERTIFICATE expected/);
  refused(text.replace('\n', ' \n'), /not base64/);
  refused(text.replace('END CERT', 'END KERT'), /no end/);
  refused('-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n', /not base64/);
});

test('PEM of others is read as people have it', () => {
  const block = '-----BEGIN X509 CRL-----\r\n  AAEC\t\r\nAw==\r\n-----END X509 CRL-----';
  const text = `Bag Attributes\n${encodePem('CERTIFICATE', fromHex('0a'))}\n\n${block}\ntail`;
  assert.deepEqual(findPem(text), [
    { label: 'CERTIFICATE', der: fromHex('0a') },
    { label: 'X509 CRL', der: fromHex('00010203') },
  ]);
  assert.deepEqual(findPem('nothing here'), []);
  assert.throws(
    () => findPem('-----BEGIN A-B-----\nAA==\n-----END A-B-----'),
    malformed(/no label/),
  );
  assert.throws(() => findPem('-----BEGIN X-----\n!!!!\n-----END X-----'), malformed(/not base64/));
  assert.throws(() => findPem('-----BEGIN '), malformed(/no label/));
});

/** A name of one RDN with these attributes. */
function rdns(attributes: ReadonlyArray<readonly [string, Uint8Array]>): Uint8Array {
  return der.sequence(
    der.setOf(...attributes.map(([type, value]) => der.sequence(der.oid(type), value))),
  );
}

function bmp(text: string): Uint8Array {
  return der.element(0x1e, Uint8Array.from([...utf8(text)].flatMap((octet) => [0, octet])));
}
