/** Natively signed certificates by template, and C509 in COSE headers. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../src/wire/bytes/malformed.ts';
import { parseC509Certificate } from '../../../src/wire/c509/certificate.ts';
import {
  encodeC5t,
  encodeC5u,
  encodeCoseC509,
  matchesC5t,
  parseC5t,
  parseCoseC509,
} from '../../../src/wire/c509/coseHeaders.ts';
import {
  compileNativeTemplate,
  nativeDeviceName,
  nativeHardwareModuleName,
  nativeSubjectKeyIdentifier,
  prepareNativeCertificate,
} from '../../../src/wire/c509/native.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import {
  extensionOids,
  findExtension,
  subjectAltName,
  subjectKeyIdentifier,
} from '../../../src/wire/x509/extensions.ts';
import { hardwareModuleName } from '../../../src/wire/x509/generalNames.ts';
import type { Certificate } from '../../../src/wire/x509/model.ts';
import { encodeDeviceName, parseName } from '../../../src/wire/x509/names.ts';
import { testHwType, testPki, validFromMs } from '../../support/pki.ts';

const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../vectors/c509/certificates.json'), 'utf8'),
) as Record<string, { readonly c509: string }>;
const example = fromHex(vectors['rfc7925-native']?.c509 ?? '');
const sha256 = (data: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', data);

test('the template gives the bytes of the general way', () => {
  const pki = testPki();
  for (const deviceId of ['0123456789abcdef', 'zzzzzzzzzzzzzzzz', 'x']) {
    const { certificate, key } = pki.idevid('0123456789abcdef', { notAfterMs: noExpirationMs });
    const usage = findExtension(certificate.extensions, extensionOids.keyUsage);
    assert.ok(usage);
    const hwSerialNum = Uint8Array.of(1, 2, 3);
    const fields = {
      serialNumber: Uint8Array.of(0, 0x80, 2),
      notBeforeMs: validFromMs,
      notAfterMs: noExpirationMs,
    };
    const identifier = sha256(key.spki).slice(0, 20);
    const build = compileNativeTemplate({
      signatureAlgorithm: certificate.signatureAlgorithm,
      issuer: certificate.issuer,
      publicKeyAlgorithm: certificate.publicKey.algorithm,
      extensions: [usage],
      furtherExtensions: 2,
    });
    const byTemplate = build({
      ...fields,
      subject: nativeDeviceName('Test Maker')(deviceId),
      publicKey: certificate.publicKey.key,
      extensions: [
        nativeSubjectKeyIdentifier(identifier),
        nativeHardwareModuleName(testHwType)(hwSerialNum),
      ],
    });
    const general = prepareNativeCertificate({
      ...certificate,
      ...fields,
      subject: parseName(encodeDeviceName('Test Maker', deviceId)),
      extensions: [
        usage,
        subjectKeyIdentifier(identifier),
        subjectAltName([hardwareModuleName({ hwType: testHwType, hwSerialNum })]),
      ],
    });
    assert.equal(toHex(byTemplate.toBeSigned), toHex(general.toBeSigned));
    const encoded = byTemplate.finish(key.sign(byTemplate.toBeSigned));
    const read: Certificate = parseC509Certificate(encoded, decompressPoint).certificate;
    assert.equal(read.notAfterMs, noExpirationMs);
    assert.deepEqual(read.publicKey.spki, key.spki);
  }
});

test('a template holds what was announced', () => {
  const { certificate } = testPki().idevid('0123456789abcdef');
  const build = compileNativeTemplate({
    signatureAlgorithm: certificate.signatureAlgorithm,
    issuer: certificate.issuer,
    publicKeyAlgorithm: certificate.publicKey.algorithm,
    extensions: [],
    furtherExtensions: 1,
  });
  const fields = {
    serialNumber: Uint8Array.of(1),
    notBeforeMs: 0,
    notAfterMs: 1000,
    subject: nativeDeviceName('x')('y'),
    publicKey: certificate.publicKey.key,
  };
  assert.throws(() => build({ ...fields, extensions: [] }), TypeError);
  assert.throws(() => nativeDeviceName('x')('é'), TypeError);
});

test('C509CertData is a byte string around the array', () => {
  const value = encodeCoseC509([example]);
  assert.equal(toHex(value.subarray(0, 3)), '588d8b');
  assert.deepEqual(parseCoseC509(value), [example]);
  const chain = encodeCoseC509([example, example]);
  assert.equal(chain[0], 0x82);
  assert.deepEqual(parseCoseC509(chain), [example, example]);
});

test('sequences inside a byte string, as older drafts had them, are read as arrays', () => {
  const older = encodeCoseC509([example]).slice();
  const inner = older.subarray(3);
  assert.equal(inner.length, 140);
  const sequence = fromHex(`588c${toHex(inner)}`);
  assert.deepEqual(parseCoseC509(sequence), [example]);
});

test('c5t covers the array', () => {
  const full = { algorithm: -16, hash: sha256 } as const;
  const short = { algorithm: -15, hash: sha256 } as const;
  const value = encodeC5t(example, full);
  assert.equal(toHex(value), `822f5820${toHex(sha256(example))}`);
  assert.equal(toHex(encodeC5t(example, short)), `822e48${toHex(sha256(example).subarray(0, 8))}`);
  assert.deepEqual(encodeC5t(example.subarray(1), full), value);
  assert.deepEqual(parseC5t(value), { algorithm: -16, hash: sha256(example) });
  assert.ok(matchesC5t(value, example, full));
  assert.ok(!matchesC5t(value, example, short));
  assert.equal(toHex(encodeC5u('coap://a')), '68636f61703a2f2f61');
});

test('malformed header values are refused', () => {
  for (const text of ['80', '8140', '818241008100', '824041', '00', '4100', '588d']) {
    assert.throws(() => parseCoseC509(fromHex(text)), MalformedError, text);
  }
  for (const text of ['812f', '832f4000', '82f640', '822f00', '822f4000']) {
    assert.throws(() => parseC5t(fromHex(text)), MalformedError, text);
  }
  assert.throws(() => encodeCoseC509([]), TypeError);
  assert.throws(() => encodeCoseC509(Array.from({ length: 9 }, () => example)), TypeError);
});
