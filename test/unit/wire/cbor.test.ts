import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { CborReader } from '../../../src/wire/cbor/reader.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';

test('RFC 8949 Appendix A: integers', () => {
  for (const [value, encoding] of [
    [0, '00'],
    [10, '0a'],
    [23, '17'],
    [24, '1818'],
    [100, '1864'],
    [1000, '1903e8'],
    [1000000, '1a000f4240'],
    [1000000000000, '1b000000e8d4a51000'],
    [-1, '20'],
    [-10, '29'],
    [-100, '3863'],
    [-1000, '3903e7'],
  ] as const) {
    assert.equal(toHex(cbor.integer(value)), encoding);
    assert.equal(new CborReader(fromHex(encoding)).integer(), value);
  }
});

test('RFC 8949 Appendix A: strings, arrays, maps, tags, simple values', () => {
  assert.equal(toHex(cbor.bytes(fromHex('01020304'))), '4401020304');
  assert.equal(toHex(cbor.text('ü')), '62c3bc');
  assert.equal(toHex(cbor.text('\ud800\udd51')), '64f0908591');
  assert.equal(
    toHex(cbor.array(cbor.integer(1), cbor.array(cbor.integer(2), cbor.integer(3)))),
    '8201820203',
  );
  assert.equal(
    toHex(cbor.map([cbor.text('b'), cbor.integer(2)], [cbor.text('a'), cbor.integer(1)])),
    'a2616101616202',
  );
  assert.equal(toHex(cbor.tag(1, cbor.integer(1363896240))), 'c11a514b67b0');
  assert.equal(new CborReader(fromHex('f5')).boolean(), true);
  assert.equal(new CborReader(fromHex('f6')).takeNull(), true);
  assert.equal(new CborReader(fromHex('f7')).takeNull(), false);
  assert.equal(new CborReader(fromHex('f8ff')).simple(), 255);
});

test('RFC 8949 §4.2.1: map keys are sorted bytewise by their encoding', () => {
  const keys = [cbor.integer(-1), cbor.text('z'), cbor.integer(100), cbor.integer(10)];
  const encoded = cbor.map(...keys.map((key) => [key, cbor.nullItem] as const));
  assert.equal(toHex(encoded), 'a40af61864f620f6617af6');
});

test('what is not well-formed or not shortest is refused at its offset', () => {
  for (const [encoding, offset] of [
    ['', 0],
    ['1817', 0],
    ['190017', 0],
    ['1a0000ffff', 0],
    ['1b00000000ffffffff', 0],
    ['1bffffffffffffffff', 0],
    ['5f4101ff', 0],
    ['9fff', 0],
    ['1c', 0],
    ['f817', 0],
    ['f93c00', 0],
    ['62c328', 0],
    ['8161', 2],
    ['82010203', 3],
    ['9affffffff', 0],
    ['4401', 1],
  ] as const) {
    const reader = new CborReader(fromHex(encoding));
    assert.throws(
      () => {
        reader.skip();
        reader.end();
      },
      { name: 'MalformedError', format: 'cbor', offset },
      encoding,
    );
  }
});

test('nesting beyond the limit is refused, not followed', () => {
  const reader = new CborReader(new Uint8Array(1000).fill(0x81));
  assert.throws(() => reader.skip(), { name: 'MalformedError' });
});

test('integers of 64 bits, where they are asked for', () => {
  for (const value of [0n, -1n, 2n ** 53n, -(2n ** 53n) - 1n, 2n ** 64n - 1n, -(2n ** 64n)]) {
    const reader = new CborReader(cbor.bigInteger(value));
    assert.equal(reader.bigInteger(), value);
    reader.end();
  }
  assert.throws(() => cbor.bigInteger(2n ** 64n), TypeError);
  const overlong = new CborReader(fromHex('1b00000000ffffffff'));
  assert.throws(() => overlong.bigInteger(), /shortest form/);
});
