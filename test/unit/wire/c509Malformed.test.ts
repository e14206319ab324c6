/** C509 input of peers that is not as it must be: refused with the place of the first fault. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import { parseC509Certificate } from '../../../src/wire/c509/certificate.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';

const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../vectors/c509/certificates.json'), 'utf8'),
) as Record<string, { readonly x509?: string; readonly c509: string }>;

/** The same bytes but for one part of them. */
function altered(input: Uint8Array, from: string, to: string): Uint8Array {
  const text = toHex(input);
  assert.ok(text.includes(from), `${from} is not there`);
  return fromHex(text.replace(from, to));
}

/** The RFC 7925 example as items, to be altered. */
function example(): Uint8Array[] {
  return [
    '03',
    '4301f50d',
    '00',
    '6b5246432074657374204341',
    '1a63b0cd00',
    '1a6955b900',
    'd830460123456789ab',
    '01',
    '5821feb1216ab96e5b3b3340f5bdf02e693f16213a04525ed44450b1019c2dfd3838ab',
    '01',
    '5840d4320b1d6849e309219d30037e138166f2508247dddae76cceea55053c108e90d551f6d60106f1abb484cfbe6256c178e4ac3314ea19191e8b607da5ae3bda16',
  ].map(fromHex);
}

/** An x-coordinate that no point of P-256 has. */
function offCurve(): string {
  for (let x = 1; ; x++) {
    const text = x.toString(16).padStart(64, '0');
    if (decompressPoint('P-256', fromHex(`02${text}`)) === undefined) return text;
  }
}

test('malformed C509 is refused with its place', () => {
  const item = {
    type: 0,
    serial: 1,
    algorithm: 2,
    issuer: 3,
    notBefore: 4,
    notAfter: 5,
    subject: 6,
    keyAlgorithm: 7,
    key: 8,
    extensions: 9,
    signature: 10,
  } as const;
  const cases: Array<[keyof typeof item, string, RegExp]> = [
    ['type', '00', /type 0 is not known/],
    ['type', '01', /type 1 is not known/],
    ['type', '20', /type -1/],
    ['serial', '4200f5', /leading zero/],
    ['serial', '01', /bytes expected/],
    ['algorithm', '1863', /99 is not registered/],
    ['algorithm', '81482a8648ce3d040302', /\[oid, parameters\]/],
    ['issuer', 'd830460123456789ab', /the issuer is the subject and not null/],
    ['issuer', '8101', /without value/],
    ['issuer', '8218636161', /attribute 99 is not registered/],
    ['issuer', '8235616161', /not registered/],
    ['issuer', '40', /empty byte string/],
    ['issuer', 'd831460123456789ab', /tag 48/],
    ['issuer', 'd83043012345', /6 or 8 bytes/],
    ['issuer', '820063c3a961', /IA5String/],
    ['notBefore', '20', /unsigned expected/],
    ['notBefore', 'f6', /unsigned expected/],
    ['notAfter', '1b0000003afff4417f', /integer above/],
    ['subject', 'f6', /tag expected/],
    ['keyAlgorithm', '1863', /99 is not registered/],
    ['key', `5821fe${offCurve()}`, /not a point/],
    ['extensions', '820201', /key usage alone/],
    ['extensions', '8102', /without value/],
    ['extensions', '82088101', /two or more purposes/],
    ['extensions', '820382026161', /DNS name alone/],
    ['extensions', '8402010201', /occurs twice/],
    ['extensions', '820423', /-2, -1 or a path length/],
    ['signature', '4101', /equal length/],
    ['signature', `5840${'00'.repeat(64)}`, /zero/],
    ['signature', 'f6', /bytes expected/],
  ];
  for (const [name, replacement, problem] of cases) {
    const items = example();
    items[item[name]] = fromHex(replacement);
    const input = cbor.array(...items);
    assert.throws(
      () => parseC509Certificate(input, decompressPoint),
      (error) => error instanceof MalformedError && problem.test(error.message),
      `${name} ${replacement}: ${String(problem)}`,
    );
  }
  const unknown = example();
  unknown[item.extensions] = fromHex('82186201');
  assert.throws(
    () => parseC509Certificate(cbor.array(...unknown), decompressPoint),
    UnsupportedError,
  );
});

test('array length, trailing bytes, indefinite and overlong heads are refused', () => {
  const good = concat(...example());
  const cases = [
    concat(Uint8Array.of(0x8a), good),
    concat(Uint8Array.of(0x8b), good, Uint8Array.of(0)),
    concat(Uint8Array.of(0x9f), good, Uint8Array.of(0xff)),
    concat(Uint8Array.of(0x98, 0x0b), good),
    concat(good, Uint8Array.of(0)),
    good.subarray(0, good.length - 1),
    new Uint8Array(0),
    new Uint8Array(70_000),
  ];
  for (const input of cases) {
    assert.throws(() => parseC509Certificate(input, decompressPoint), MalformedError);
  }
});

test('re-encoded, the general form of an extension is read; natively signed, it is refused', () => {
  const items = example();
  items[9] = fromHex('8243551d0f4403020780');
  const { certificate } = parseC509Certificate(cbor.array(...items), decompressPoint);
  assert.deepEqual(certificate.extensions, [
    { oid: '2.5.29.15', critical: false, value: fromHex('03020780') },
  ]);
  items[9] = fromHex('8243551d0f814403020780');
  assert.equal(
    parseC509Certificate(cbor.array(...items), decompressPoint).certificate.extensions[0]?.critical,
    true,
  );
  const native = parseC509Certificate(
    fromHex(vectors['rfc7925-native']?.c509 ?? ''),
    decompressPoint,
  );
  const general = altered(native.encoded, '3838ab01', '3838ab8243551d0f4403020780');
  assert.throws(() => parseC509Certificate(general, decompressPoint), /general form/);
  const negative = altered(native.encoded, '6b52464320746573742043', '82206952464320746573742043');
  assert.throws(() => parseC509Certificate(negative, decompressPoint), MalformedError);
});
