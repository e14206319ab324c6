/** What a list is made of. Lists themselves are judged by OpenSSL and GnuTLS in test/interop. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import {
  countEncodedEntries,
  encodeRevokedEntry,
  findRevoked,
} from '../../../src/wire/crl/certificateList.ts';
import { revocationReasons, type RevocationReason } from '../../../src/wire/crl/reason.ts';

const reasons = Object.keys(revocationReasons) as RevocationReason[];

const entry = fc
  .record({
    serialNumber: fc.uint8Array({ minLength: 1, maxLength: 20 }),
    revokedAtMs: fc.integer({ min: 0, max: Date.UTC(2199, 0, 1) / 1000 }).map((s) => s * 1000),
    reason: fc.constantFrom(...reasons),
  })
  .map(encodeRevokedEntry);

test('entries are counted by where each ends', () => {
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 20 }), (entries) => {
      assert.equal(countEncodedEntries(concat(...entries)), entries.length);
    }),
  );
});

test('bytes too few, too many, or of something else are no entries', () => {
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 5 }), (entries) => {
      const joined = concat(...entries);
      assert.equal(countEncodedEntries(joined.subarray(0, -1)), undefined);
      assert.equal(countEncodedEntries(joined.subarray(1)), undefined);
      assert.equal(countEncodedEntries(concat(joined, Uint8Array.of(0x30))), undefined);
      assert.equal(countEncodedEntries(concat(joined, Uint8Array.of(0x30, 0x81, 0))), undefined);
      assert.equal(countEncodedEntries(concat(joined, Uint8Array.of(0x05, 0))), undefined);
    }),
  );
});

test('a serial number is found whatever zeros it was written with', () => {
  const serialNumber = Uint8Array.of(0, 0, 7, 1);
  const entries = encodeRevokedEntry({ serialNumber, revokedAtMs: 0, reason: 'keyCompromise' });
  for (const asked of [serialNumber, serialNumber.subarray(2)]) {
    assert.equal(findRevoked({ entries }, asked)?.reason, 'keyCompromise');
  }
  assert.equal(findRevoked({ entries }, Uint8Array.of(7)), undefined);
});
