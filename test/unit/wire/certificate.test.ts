import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import { readDer } from '../../../src/wire/der/reader.ts';
import * as der from '../../../src/wire/der/writer.ts';
import { encodeSignatureAlgorithm } from '../../../src/wire/x509/algorithms.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import {
  encodeCertificate,
  encodeTbsCertificate,
  type TbsCertificateFields,
} from '../../../src/wire/x509/certificateWriter.ts';
import * as ext from '../../../src/wire/x509/extensions.ts';
import { hardwareModuleName } from '../../../src/wire/x509/generalNames.ts';
import { encodeDeviceName, encodeName, printName } from '../../../src/wire/x509/names.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import {
  compileTemplate,
  deviceNameEncoder,
  hardwareModuleNameEncoder,
  subjectKeyIdentifierEncoder,
} from '../../../src/wire/x509/templates.ts';
import { testKey, testPki } from '../../support/pki.ts';

const signatureAlgorithm = encodeSignatureAlgorithm('ecdsa-with-SHA256');
const key = testKey();

const fields: TbsCertificateFields = {
  serialNumber: fromHex('00c0ffee'),
  signatureAlgorithm,
  issuer: encodeName(['organizationName', 'Maker'], ['commonName', 'Factory']),
  notBeforeMs: Date.UTC(2026, 10, 22, 9, 5, 1),
  notAfterMs: noExpirationMs,
  subject: encodeDeviceName('Maker', '0123456789abcdef'),
  spki: key.spki,
  extensions: [ext.encodeExtension(ext.keyUsage('digitalSignature'))],
};

const signed = (changes: Partial<TbsCertificateFields> = {}): Uint8Array => {
  const tbs = encodeTbsCertificate({ ...fields, ...changes });
  return encodeCertificate(tbs, signatureAlgorithm, key.sign(tbs));
};

test('what is written is read back, and the platform reads the same', () => {
  const encoding = signed();
  const certificate = parseCertificate(encoding);
  assert.equal(certificate.version, 3);
  assert.deepEqual(certificate.serialNumber, fromHex('00c0ffee'));
  assert.equal(certificate.signatureAlgorithm.oid, '1.2.840.10045.4.3.2');
  assert.equal(certificate.notBeforeMs, fields.notBeforeMs);
  assert.equal(certificate.notAfterMs, noExpirationMs);
  assert.equal(printName(certificate.subject), 'serialNumber=0123456789abcdef,O=Maker');
  assert.deepEqual(certificate.publicKey.spki, key.spki);
  assert.deepEqual(certificate.extensions, [ext.keyUsage('digitalSignature')]);
  assert.deepEqual(certificate.der, encoding);
  const platform = new X509Certificate(encoding);
  assert.equal(platform.serialNumber, 'C0FFEE');
  assert.equal(platform.subject, 'O=Maker\nserialNumber=0123456789abcdef');
  assert.equal(platform.validToDate.getTime(), noExpirationMs);
  assert.ok(platform.verify(platform.publicKey));
});

test('a template writes the same bytes as the writer', () => {
  const fixed = [
    ext.keyUsage('digitalSignature'),
    ext.authorityKeyIdentifier(fromHex('aa'.repeat(20))),
  ];
  const template = compileTemplate({
    signatureAlgorithm,
    issuer: fields.issuer,
    extensions: fixed.map(ext.encodeExtension),
  });
  const subject = deviceNameEncoder('Maker');
  const moduleName = hardwareModuleNameEncoder('1.3.6.1.4.1.55555.1');
  const keyId = subjectKeyIdentifierEncoder();
  for (const [serialNumber, deviceId, uid] of [
    [fromHex('7f01'), '0123456789abcdef', fromHex('0102030405060708ee')],
    [fromHex('7f02'), 'zzzzzzzzzzzzzzzz', fromHex('0908070605040302ee')],
    [fromHex('ff'.repeat(16)), 'short', new Uint8Array(130)],
  ] as const) {
    const identifier = new Uint8Array(20).fill(uid[0] ?? 0);
    const module = hardwareModuleName({ hwType: '1.3.6.1.4.1.55555.1', hwSerialNum: uid });
    const variable = [ext.subjectKeyIdentifier(identifier), ext.subjectAltName([module])];
    assert.deepEqual(
      template({
        ...fields,
        serialNumber,
        subject: subject(deviceId),
        extensions: [keyId(identifier), moduleName(uid)],
      }),
      encodeTbsCertificate({
        ...fields,
        serialNumber,
        subject: encodeDeviceName('Maker', deviceId),
        extensions: [...fixed, ...variable].map(ext.encodeExtension),
      }),
    );
  }
  assert.throws(() => subject('no_underscore'), TypeError);
});

test('a real hierarchy is read: names, dates, extensions', () => {
  const pki = testPki();
  const { certificate } = pki.factory;
  const constraints = ext.findExtension(certificate.extensions, ext.extensionOids.nameConstraints);
  assert.ok(constraints?.critical);
  const { excluded } = ext.decodeNameConstraints(constraints.value);
  assert.deepEqual(
    excluded.map(({ kind }) => kind),
    ['dNSName', 'iPAddress', 'iPAddress', 'uniformResourceIdentifier'],
  );
});

test('RFC 5280 §4.1: what breaks the structure is refused at its offset', () => {
  const good = signed();
  const tbs = parseCertificate(good).tbs;
  const wrap = (...parts: readonly Uint8Array[]): Uint8Array => der.sequence(...parts);
  const signature = der.bitString(new Uint8Array(70));
  const other = encodeSignatureAlgorithm('ecdsa-with-SHA384');
  const refused = (encoding: Uint8Array, problem: RegExp): void => {
    assert.throws(() => parseCertificate(encoding), { name: 'MalformedError', message: problem });
  };
  refused(wrap(tbs, other, signature), /signature algorithms differ/);
  refused(concat(good, Uint8Array.of(0)), /trailing bytes/);
  refused(good.subarray(0, good.length - 1), /longer than what holds it/);
  refused(new Uint8Array(70_000), /longer than 65536/);
  refused(wrap(tbs, signatureAlgorithm, fromHex('0303050000')), /unused bits|whole octets/);
  const extensions = [ext.keyUsage('digitalSignature'), ext.keyUsage('keyCertSign')];
  refused(signed({ extensions: extensions.map(ext.encodeExtension) }), /occurs twice/);
  const explicitFalse = fromHex('300b0603551d0f0101000401ff');
  refused(signed({ extensions: [explicitFalse] }), /FALSE is written out/);
  const emptyList = fromHex('a3023000');
  refused(
    resealed(tbs, (parts) => [...parts.slice(0, -1), emptyList]),
    /empty list/,
  );
  refused(
    resealed(tbs, (parts) => [fromHex('a003020100'), ...parts.slice(1)]),
    /unknown version/,
  );
  refused(
    resealed(tbs, (parts) => [fromHex('a003020103'), ...parts.slice(1)]),
    /unknown version/,
  );
  // Version 1 has no extensions: they are trailing bytes then.
  refused(
    resealed(tbs, (parts) => parts.slice(1)),
    /trailing bytes/,
  );
});

test('RFC 5280 §4.1.2.1: version 1 without extensions is read', () => {
  const { tbs } = parseCertificate(signed());
  const certificate = parseCertificate(resealed(tbs, (parts) => parts.slice(1, -1)));
  assert.equal(certificate.version, 1);
  assert.deepEqual(certificate.extensions, []);
});

test('dates: GeneralizedTime before 2050 is read, anything else than seconds and Z is not', () => {
  const { tbs } = parseCertificate(signed());
  const dated = (...dates: readonly Uint8Array[]): Uint8Array =>
    resealed(tbs, (parts) => parts.with(4, der.sequence(...dates)));
  const early = der.generalizedTime(Date.UTC(2018, 10, 8));
  assert.equal(parseCertificate(dated(early, early)).notBeforeMs, Date.UTC(2018, 10, 8));
  const withoutSeconds = der.element(0x17, new TextEncoder().encode('2611220905Z'));
  assert.throws(() => parseCertificate(dated(withoutSeconds, early)), /UTCTime is not/);
  assert.throws(() => parseCertificate(dated(early)), /missing|ends inside/);
});

test('a public key is written from its point', () => {
  const point = key.spki.subarray(26);
  assert.deepEqual(p256Spki(point), key.spki);
  assert.throws(() => p256Spki(point.subarray(1)), TypeError);
});

/** The certificate with the fields of its signed part changed; the signature is not valid. */
function resealed(
  tbs: Uint8Array,
  change: (parts: readonly Uint8Array[]) => readonly Uint8Array[],
): Uint8Array {
  const changed = der.sequence(...change(fieldsOf(tbs)));
  return encodeCertificate(changed, signatureAlgorithm, new Uint8Array(70));
}

function fieldsOf(sequence: Uint8Array): readonly Uint8Array[] {
  return readDer(sequence, (reader) => reader.sequenceOf((item) => item.element()));
}
