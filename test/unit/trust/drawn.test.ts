/** What is drawn for certificates and devices: in the order of time, and beyond guessing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { drawnDeviceIds, drawnSerialNumbers } from '../../../src/trust/issuance/drawn.ts';
import { isDeviceId } from '../../../src/trust/registry/importRules.ts';
import { compare } from '../../../src/wire/bytes/bytes.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import type { Crypto } from '../../../src/wire/crypto/crypto.ts';

const nowMs = Date.UTC(2026, 5, 1, 12, 34, 56, 789);

/** Counts its calls and answers with one octet. */
function fixed(octet: number): { readonly crypto: Crypto; readonly asked: readonly number[] } {
  const asked: number[] = [];
  const random = (lengthBytes: number): Uint8Array => {
    asked.push(lengthBytes);
    return new Uint8Array(lengthBytes).fill(octet);
  };
  return { crypto: { ...nodeCrypto, random }, asked };
}

test('a serial number is the millisecond and eighty random bits', () => {
  const { crypto, asked } = fixed(0xee);
  const serials = drawnSerialNumbers(crypto, nowMs, 3);
  const time = nowMs.toString(16).padStart(12, '0');
  for (const index of [0, 1, 2]) assert.equal(toHex(serials(index)), `${time}${'ee'.repeat(10)}`);
  assert.deepEqual(asked, [48], 'one call of the random source for all of them');
  assert.notEqual(serials(0).buffer, serials(1).buffer, 'each is stored by itself');
});

test('serial numbers are positive in DER and as long for as long as certificates live', () => {
  for (const ms of [Date.UTC(2026, 0, 1), Date.UTC(2041, 11, 31), Date.UTC(6000, 0, 1)]) {
    const [first = 0] = drawnSerialNumbers(nodeCrypto, ms, 1)(0);
    assert.ok(first > 0 && first < 0x80, 'neither a leading zero nor a sign');
  }
});

test('what is drawn later sorts behind', () => {
  const earlier = drawnSerialNumbers(nodeCrypto, nowMs, 100);
  const later = drawnSerialNumbers(nodeCrypto, nowMs + 1, 100);
  const earlierIds = drawnDeviceIds(nodeCrypto, nowMs, 100);
  const laterIds = drawnDeviceIds(nodeCrypto, nowMs + 1000, 100);
  for (let index = 0; index < 100; index++) {
    assert.ok(compare(earlier(index), later(99 - index)) < 0);
    assert.ok(earlierIds(index) < laterIds(99 - index));
  }
});

test('device ids have the second in front, are distinct and of the alphabet', () => {
  const { crypto, asked } = fixed(0);
  // 2^32 - 1 seconds, the last one before the count begins anew.
  assert.equal(drawnDeviceIds(crypto, (2 ** 32 - 1) * 1000 + 999, 1)(0), 'zzzzzzr000000000');
  assert.equal(drawnDeviceIds(crypto, 2 ** 32 * 1000, 1)(0), '0'.repeat(16));
  assert.deepEqual(asked, [10, 10]);
  const ids = drawnDeviceIds(nodeCrypto, nowMs, 1_000);
  const drawn = Array.from({ length: 1_000 }, (_, index) => ids(index));
  assert.equal(new Set(drawn).size, 1_000);
  for (const id of drawn) assert.ok(isDeviceId(id), id);
});
