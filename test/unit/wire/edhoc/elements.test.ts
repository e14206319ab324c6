/** Identifiers, EAD, ID_CRED, errors and carriage: the pieces that messages are made of. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../../src/wire/bytes/malformed.ts';
import { CborReader } from '../../../../src/wire/cbor/reader.ts';
import { carry, carryStart, readCarried } from '../../../../src/wire/edhoc/carriage.ts';
import { encodeEad, padding, readEad, unknownCritical } from '../../../../src/wire/edhoc/ead.ts';
import { encodeIdentifier, readIdentifier } from '../../../../src/wire/edhoc/identifiers.ts';
import {
  compactIdCred,
  kidIdCred,
  parseIdCred,
  readCompactIdCred,
} from '../../../../src/wire/edhoc/idCred.ts';
import {
  encodeError,
  errorMessageFor,
  parseError,
  refuse,
} from '../../../../src/wire/edhoc/refusal.ts';
import { selectSuite, suiteOf } from '../../../../src/wire/edhoc/suites.ts';

const malformed = (run: () => unknown): void => assert.throws(run, MalformedError);

test('RFC 9528 §3.3.2: identifiers that are one-byte integers travel as such', () => {
  for (const [identifier, encoded] of [
    ['21', '21'],
    ['0d', '0d'],
    ['18', '4118'],
    ['38', '4138'],
    ['abcd', '42abcd'],
    ['', '40'],
    ['00', '00'],
    ['17', '17'],
    ['1f', '411f'],
    ['20', '20'],
    ['37', '37'],
    ['40', '4140'],
    ['ff', '41ff'],
  ] as const) {
    assert.equal(toHex(encodeIdentifier(fromHex(identifier))), encoded);
    assert.equal(toHex(readIdentifier(new CborReader(fromHex(encoded)))), identifier);
  }
  for (const wrong of ['410d', '4121', '1818', '3818', '6100', 'f5', '584100'.repeat(65)]) {
    malformed(() => readIdentifier(new CborReader(fromHex(wrong))));
  }
  assert.throws(() => encodeIdentifier(new Uint8Array(65)), TypeError);
});

test('RFC 9528 §3.8: EAD items, criticality, padding', () => {
  const items = [
    { label: 1, critical: false },
    { label: 300, critical: true, value: fromHex('0102') },
  ];
  const encoded = encodeEad([...items, { label: 0, critical: false, value: fromHex('e9') }]);
  assert.equal(toHex(encoded), '0139012b4201020041e9');
  const field = readEad(new CborReader(encoded));
  assert.deepEqual(field.items, items);
  assert.deepEqual(field.bytes, encoded);
  assert.equal(unknownCritical(field.items, [1])?.label, 300);
  assert.equal(unknownCritical(field.items, [300]), undefined);
  assert.equal(encodeEad([]).length, 0);
  for (const wrong of ['f5', '01f5', '6101', '0141', '1801']) {
    malformed(() => readEad(new CborReader(fromHex(wrong))));
  }
  malformed(() => readEad(new CborReader(new Uint8Array(65))));
  assert.throws(() => encodeEad([{ label: -1, critical: false }]), TypeError);
  assert.throws(() => encodeEad([{ label: 0, critical: true }]), TypeError);
});

test('RFC 9528 §3.8.1: padding of every length', () => {
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(0xe9);
  assert.equal(toHex(encodeEad(padding(1, random))), '00');
  assert.equal(toHex(encodeEad(padding(2, random))), '0040');
  assert.equal(toHex(encodeEad(padding(3, random))), '0041e9');
  for (const length of [0, 24, 25, 26, 27, 258, 259, 260, 261, 262, 700, 65539, 65541]) {
    const encoded = encodeEad(padding(length, random));
    assert.equal(encoded.length, length);
    assert.deepEqual(readEad(new CborReader(encoded)).items, []);
  }
  assert.throws(() => padding(-1, random), TypeError);
});

test('RFC 9528 §3.5.3.2: a kid alone is compact in plaintexts, and only there', () => {
  for (const [map, compact] of [
    ['a10441ff', '41ff'],
    ['a1044121', '21'],
    ['a10440', '40'],
    ['a11822822e4879f2a41b510c1f9b', 'a11822822e4879f2a41b510c1f9b'],
    ['a20441321822822e41aa', 'a20441321822822e41aa'],
  ] as const) {
    assert.equal(toHex(compactIdCred(fromHex(map))), compact);
    assert.equal(toHex(readCompactIdCred(new CborReader(fromHex(compact)))), map);
  }
  assert.equal(toHex(kidIdCred(fromHex('32'))), 'a1044132');
  for (const wrong of ['a0', 'a10441ff', 'a2044132044133', '4132', '80', 'f6']) {
    malformed(() => readCompactIdCred(new CborReader(fromHex(wrong))));
  }
});

test('ID_CRED of every kind is read into references', () => {
  const read = (hex: string): unknown => parseIdCred(fromHex(hex));
  assert.deepEqual(read('a1044132'), [{ kind: 'kid', kid: fromHex('32') }]);
  const hash = fromHex('aabb');
  assert.deepEqual(read('a11822822e42aabb'), [{ kind: 'x5t', algorithm: -15, hash }]);
  assert.deepEqual(read('a116822f42aabb'), [{ kind: 'c5t', algorithm: -16, hash }]);
  assert.deepEqual(read('a118214130'), [{ kind: 'x5chain', certificates: [fromHex('30')] }]);
  assert.deepEqual(read('a118218241304131'), [
    { kind: 'x5chain', certificates: [fromHex('30'), fromHex('31')] },
  ]);
  assert.deepEqual(read('a11819418b'), [{ kind: 'c5c', certificates: [fromHex('8b')] }]);
  const uri = 'https://a.example';
  const uriHex = '71' + toHex(new TextEncoder().encode(uri));
  assert.deepEqual(read(`a11823d820${uriHex}`), [{ kind: 'x5u', uri }]);
  assert.deepEqual(read(`a117d820${uriHex}`), [{ kind: 'c5u', uri }]);
  assert.deepEqual(read(`a117${uriHex}`), [{ kind: 'c5u', uri }]);
  assert.deepEqual(read('a10ea10800'), [{ kind: 'kccs', item: fromHex('a10800') }]);
  assert.deepEqual(read('a10d8440a04040'), [{ kind: 'kcwt', item: fromHex('8440a04040') }]);
  assert.deepEqual(read('a20441320a01'), [
    { kind: 'kid', kid: fromHex('32') },
    { kind: 'other', label: 10, item: fromHex('01') },
  ]);
  for (const wrong of [
    'a0', // nothing
    'a10432', // kid no byte string
    'a11822812e', // hash of one member
    'a11821814130', // array of one certificate
    'a11821894130'.repeat(9), // chain too long
    'a11823d821' + uriHex, // another tag
    'a10e80', // claims set no map
    'a2044132044133', // label twice
    'a104413200', // trailing
  ]) {
    malformed(() => read(wrong));
  }
});

test('RFC 9528 §6: error messages of every code', () => {
  for (const [hex, error] of [
    ['016772656675736564', { code: 1, diagnostic: 'refused' }],
    ['0202', { code: 2, suitesR: [2] }],
    ['02820203', { code: 2, suitesR: [2, 3] }],
    ['03f5', { code: 3 }],
    ['1863820102', { code: 99, info: fromHex('820102') }],
    ['00f6', { code: 0, info: fromHex('f6') }],
  ] as const) {
    assert.deepEqual(parseError(fromHex(hex)), error);
    assert.equal(toHex(encodeError(error)), hex);
  }
  for (const wrong of ['', '01', '0100', '028102', '03f4', '03f500', '4100', '190001f5']) {
    malformed(() => parseError(fromHex(wrong)));
  }
  const long = encodeError({ code: 1, diagnostic: 'x'.repeat(1000) });
  const parsed = parseError(long);
  assert.ok('diagnostic' in parsed && parsed.diagnostic.length === 256);
});

test('the peer is told no more than RFC 9528 §6 asks for', () => {
  const told = (...refusal: Parameters<typeof refuse>): string | undefined => {
    const message = errorMessageFor(refuse(...refusal));
    return message && toHex(message);
  };
  const same = told('malformed', 'a');
  for (const code of [
    'unsupported',
    'critical-ead',
    'invalid-key',
    'unsuitable-credential',
    'own-identity',
    'same-identifiers',
    'not-authentic',
    'exhausted',
  ] as const) {
    assert.equal(told(code, 'b'), same);
  }
  assert.equal(told('unknown-credential', ''), '03f5');
  assert.equal(told('wrong-suite', '', { suitesR: [2, 3] }), '02820203');
  assert.equal(told('peer-error', ''), undefined);
});

test('suites: the next selection, and numbers that are not offered', () => {
  assert.equal(selectSuite([5, 6, 2, 3], [3, 2]), 2);
  assert.equal(selectSuite([2], [0, 1]), undefined);
  for (const number of [7, 23, 25, -24]) assert.throws(() => suiteOf(number), /not supported/);
});

test('RFC 9528 §3.4.1: messages with what finds their session', () => {
  const message = fromHex('52e562');
  assert.equal(toHex(carryStart(message)), 'f552e562');
  assert.equal(toHex(carry(fromHex('27'), message)), '2752e562');
  assert.equal(toHex(carry(fromHex('18'), message)), '411852e562');
  assert.deepEqual(readCarried(fromHex('f552e562')), { kind: 'start', message1: message });
  for (const [id, prefix] of [
    ['27', '27'],
    ['18', '4118'],
    ['', '40'],
    ['0a0b0c', '430a0b0c'],
  ] as const) {
    assert.deepEqual(readCarried(fromHex(`${prefix}52e562`)), {
      kind: 'continue',
      connectionId: fromHex(id),
      message,
    });
  }
  for (const wrong of ['', 'f5', '27', '412752', 'f652', '6152']) {
    malformed(() => readCarried(fromHex(wrong)));
  }
});
