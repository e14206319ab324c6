/** The 72 bytes of the published leaf and of its signer, and what has no compressed form. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import { templateFrom } from '../../../src/wire/manifest/certificateTemplate.ts';
import {
  certificateSerial,
  compressCertificate,
  rebuildCertificate,
} from '../../../src/wire/manifest/compressedCertificate.ts';
import { readEntry } from '../../../src/wire/manifest/entry.ts';
import { EntrySplitter } from '../../../src/wire/manifest/splitter.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';

const vector = join(import.meta.dirname, '../../vectors/microchip-manifest');
const [text] = new EntrySplitter().push(readFileSync(join(vector, 'manifest.json')));
assert.ok(text);
const { record } = readEntry(text);
const [leaf, signer] = record.keys[0]?.certificates ?? [];
assert.ok(leaf && signer);
const signerKey = parseCertificate(signer).publicKey.key;
const rootKey = parseCertificate(
  Buffer.from(
    readFileSync(join(vector, 'root-ca-002.pem'), 'utf8').replaceAll(/-----.*-----|\s/g, ''),
    'base64',
  ),
).publicKey.key;

/** SOURCE.md of the vector. */
const compressedLeaf = fromHex(
  '34b4f32b9e9be546041def58c2a22ceae4da9e6c763ab07a87f4180ec20e5ac3' +
    '8bd43b25c6052ef3cc68cb280c4a02fd5fc95c1f9073f5100325a9887ffb902a' +
    '98e21cf60020a000',
);
const device = { templateId: 2, chainId: 0, serialSource: 'key-and-dates' } as const;
const leafInputs = {
  chipSerial: record.uniqueId,
  publicKey: record.keys[0]?.point ?? new Uint8Array(),
  authorityKey: signerKey,
};

test('the leaf compresses to the published 72 bytes', () => {
  assert.deepEqual(compressCertificate(leaf, device, leafInputs, nodeCrypto), compressedLeaf);
});

test('the places found are those of the published device template 2', () => {
  const template = templateFrom(leaf, record.uniqueId);
  const offsets = {
    serialNumber: template.serialNumber.offset,
    signerId: template.signerId.offset,
    notBefore: template.notBefore.offset,
    notAfter: template.notAfter.offset,
    chipSerials: template.chipSerials.map(({ offset }) => offset),
    publicKey: template.publicKey.offset,
    subjectKeyId: template.subjectKeyId?.offset,
    authorityKeyId: template.authorityKeyId?.offset,
  };
  assert.deepEqual(offsets, {
    serialNumber: 15,
    signerId: 120,
    notBefore: 128,
    notAfter: 143,
    chipSerials: [206],
    publicKey: 256,
    subjectKeyId: 366,
    authorityKeyId: 399,
  });
});

test('a template of another chip of the family rebuilds the leaf byte for byte', () => {
  // The same template with every variable octet overwritten: only constants may be used.
  const other = leaf.slice();
  const template = templateFrom(leaf, record.uniqueId);
  const { subjectKeyId, authorityKeyId, publicKey, serialNumber } = template;
  for (const place of [subjectKeyId, authorityKeyId, publicKey, serialNumber]) {
    assert.ok(place);
    other.fill(4, place.offset, place.offset + place.length);
  }
  other.set(Buffer.from('FFFFFFFFFFFFFFFFFF'), 206);
  const foreign = templateFrom(other, new Uint8Array(9).fill(255));
  assert.deepEqual(rebuildCertificate(foreign, compressedLeaf, leafInputs, nodeCrypto), leaf);
});

test('serial rule A holds for leaf and signer', () => {
  assert.equal(
    toHex(certificateSerial(compressedLeaf, leafInputs, nodeCrypto)),
    '542bbc7ecbc0a77c9db279d2697c2081',
  );
  const label = { ...device, templateId: 1 };
  const inputs = { chipSerial: new Uint8Array(), authorityKey: rootKey };
  const compressed = compressCertificate(signer, label, inputs, nodeCrypto);
  assert.equal(toHex(compressed.subarray(64)), '963a7ff60010a000');
  const all = { ...inputs, publicKey: signerKey };
  assert.equal(
    toHex(certificateSerial(compressed, all, nodeCrypto)),
    '790aa7d57d73dce96d65db668b76b25e',
  );
  const template = templateFrom(signer, new Uint8Array());
  assert.deepEqual(rebuildCertificate(template, compressed, all, nodeCrypto), signer);
});

test('the other serial rules', () => {
  const withSource = (source: number): Uint8Array => {
    const compressed = compressedLeaf.slice();
    compressed[70] = source << 4;
    return compressed;
  };
  const serial = (source: number) =>
    toHex(certificateSerial(withSource(source), leafInputs, nodeCrypto));
  assert.equal(serial(8), '400123f1822c38dd7a01');
  assert.equal(serial(9), '40f600');
  const hashed = nodeCrypto.hash(
    'SHA-256',
    Buffer.concat([record.uniqueId, compressedLeaf.subarray(64, 67)]),
  );
  assert.equal(serial(11).slice(2), toHex(hashed.subarray(1, 16)));
  assert.equal(Number.parseInt(serial(11).slice(0, 2), 16) >> 6, 1);
  assert.throws(() => serial(0), UnsupportedError);
});

test('what cannot be rebuilt is refused, never changed', () => {
  const another = { ...device, serialSource: 'chip-and-dates' } as const;
  assert.throws(() => compressCertificate(leaf, another, leafInputs, nodeCrypto), UnsupportedError);
  const wrongAuthority = { ...leafInputs, authorityKey: rootKey };
  assert.throws(
    () => compressCertificate(leaf, device, wrongAuthority, nodeCrypto),
    UnsupportedError,
  );
  const halfPast = leaf.slice();
  halfPast.set(Buffer.from('30'), 128 + 8);
  assert.throws(
    () => compressCertificate(halfPast, device, leafInputs, nodeCrypto),
    /whole years from a full hour/,
  );
  const longer = leaf.slice();
  longer.set(Buffer.from('0225'), 143 + 4);
  assert.throws(() => compressCertificate(longer, device, leafInputs, nodeCrypto), /whole years/);
});

test('impossible compressed bytes are refused', () => {
  const template = templateFrom(leaf, record.uniqueId);
  const rebuild = (change: (bytes: Uint8Array) => void) => () => {
    const compressed = compressedLeaf.slice();
    change(compressed);
    return rebuildCertificate(template, compressed, leafInputs, nodeCrypto);
  };
  const cases: Array<[(bytes: Uint8Array) => void, new (...none: never[]) => Error]> = [
    [(bytes) => bytes.fill(0, 0, 32), MalformedError],
    [(bytes) => bytes.fill(0xff, 64, 67), MalformedError],
    [(bytes) => (bytes[71] = 1), MalformedError],
    [(bytes) => (bytes[71] = 0x10), MalformedError],
    [(bytes) => (bytes[70] = 0xa2), UnsupportedError],
    [(bytes) => (bytes[70] = 0x70), UnsupportedError],
    // 40‖chip serial has 10 bytes, the template's serial number 16.
    [(bytes) => (bytes[70] = 0x80), UnsupportedError],
  ];
  for (const [change, error] of cases) assert.throws(rebuild(change), error);
  assert.throws(
    () => rebuildCertificate(template, compressedLeaf.subarray(1), leafInputs, nodeCrypto),
    MalformedError,
  );
  // 2020-02-29 and one year of life.
  const leapDay = rebuild((bytes) => bytes.set([0xa1, 0x74, 0x01], 64));
  assert.throws(leapDay, /no such date/);
});

test('extended dates reach 2127', () => {
  const template = templateFrom(leaf, record.uniqueId);
  const compressed = compressedLeaf.slice();
  // 2019 + 32 years, 28 + 32 years of life.
  compressed.set([0xa1, 0x50], 70);
  const { notBeforeMs, notAfterMs } = parseCertificate(
    rebuildCertificate(template, compressed, leafInputs, nodeCrypto).slice(),
  );
  assert.equal(new Date(notAfterMs).toISOString(), '2111-01-24T16:00:00.000Z');
  assert.equal(new Date(notBeforeMs).getUTCMonth(), 0);
});
