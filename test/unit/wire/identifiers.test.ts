import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toBase32 } from '../../../src/wire/bytes/base32.ts';
import { eui64Plus } from '../../../src/wire/bytes/eui64.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';

test('base32 of device ids: 80 bits in 16 characters, by hand', () => {
  assert.equal(toBase32(new Uint8Array(10)), '0000000000000000');
  assert.equal(toBase32(new Uint8Array(10).fill(255)), 'zzzzzzzzzzzzzzzz');
  // Five bits at a time: 00000 00001 00010 ... 00111, the alphabet in its order.
  assert.equal(toBase32(fromHex('00443214c7')), '01234567');
  assert.throws(() => toBase32(new Uint8Array(4)), TypeError);
});

test('an EUI-64 and those behind it', () => {
  const plus = (first: string, offset: number): string | undefined => {
    const sum = eui64Plus(fromHex(first), offset);
    return sum && toHex(sum);
  };
  assert.equal(plus('0200000000000000', 0), '0200000000000000');
  assert.equal(plus('02000000000000ff', 1), '0200000000000100');
  assert.equal(plus('00000000ffffffff', 1), '0000000100000000');
  assert.equal(plus('0000000000000000', Number.MAX_SAFE_INTEGER), '001fffffffffffff');
  assert.equal(plus('fffffffffffffffe', 1), 'ffffffffffffffff');
  assert.equal(plus('fffffffffffffffe', 2), undefined);
  assert.throws(() => eui64Plus(new Uint8Array(6), 0), TypeError);
  assert.throws(() => eui64Plus(new Uint8Array(8), -1), TypeError);
  assert.throws(() => eui64Plus(new Uint8Array(8), 0.5), TypeError);
});
