import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  parseBase64,
  parseBase64url,
  toBase64,
  toBase64url,
} from '../../../src/wire/bytes/base64.ts';
import { compare, concat, equal, equalConstantTime } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, parseHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { fromUtf8, utf8 } from '../../../src/wire/bytes/utf8.ts';

const bytes = fc.uint8Array({ maxLength: 80 });

test('RFC 4648 §10: base64 vectors', () => {
  for (const [plain, encoded] of [
    ['', ''],
    ['f', 'Zg=='],
    ['fo', 'Zm8='],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg=='],
    ['fooba', 'Zm9vYmE='],
    ['foobar', 'Zm9vYmFy'],
  ] as const) {
    assert.equal(toBase64(utf8(plain)), encoded);
    assert.deepEqual(parseBase64(encoded), utf8(plain));
  }
});

test('RFC 4648 §3.5: padding bits that are not zero are refused', () => {
  assert.equal(parseBase64('Zh=='), undefined);
  assert.equal(parseBase64url('Zh'), undefined);
  assert.equal(parseBase64('Zg='), undefined);
  assert.equal(parseBase64('Z===') ?? parseBase64url('Z'), undefined);
  assert.equal(parseBase64('+/+/')?.length, 3);
  assert.equal(parseBase64url('+/+/'), undefined);
});

test('base64, base64url and hex agree with Node on any bytes', () => {
  fc.assert(
    fc.property(bytes, (input) => {
      assert.equal(toBase64(input), Buffer.from(input).toString('base64'));
      assert.equal(toBase64url(input), Buffer.from(input).toString('base64url'));
      assert.equal(toHex(input), Buffer.from(input).toString('hex'));
      assert.deepEqual(parseBase64(toBase64(input)), input);
      assert.deepEqual(parseBase64url(toBase64url(input)), input);
      assert.deepEqual(fromHex(toHex(input)), input);
    }),
  );
});

test('UTF-8 agrees with the platform decoder on text and on any bytes', () => {
  const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.deepEqual(utf8(text), Uint8Array.from(Buffer.from(text, 'utf8')));
      assert.equal(fromUtf8(utf8(text)), text);
    }),
  );
  fc.assert(
    fc.property(bytes, (input) => {
      let expected: string | undefined;
      try {
        expected = strict.decode(input);
      } catch {
        expected = undefined;
      }
      assert.equal(fromUtf8(input), expected);
    }),
    { numRuns: 2000 },
  );
});

test('equality and order', () => {
  assert.equal(equal(fromHex('0102'), fromHex('0102')), true);
  assert.equal(equal(fromHex('0102'), fromHex('0103')), false);
  fc.assert(
    fc.property(bytes, bytes, (left, right) => {
      assert.equal(equalConstantTime(left, right), equal(left, right));
      assert.equal(Math.sign(compare(left, right)), Buffer.compare(left, right));
      assert.deepEqual(concat(left, right), Uint8Array.from([...left, ...right]));
    }),
  );
});

test('text that is not hexadecimal', () => {
  assert.equal(parseHex('0'), undefined);
  assert.equal(parseHex('0g'), undefined);
  assert.throws(() => fromHex('zz'), TypeError);
});
