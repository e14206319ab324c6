/** Envelopes, frames and modem datagrams: only typed errors come out, and what is read writes the same bytes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../src/wire/bytes/malformed.ts';
import { readEnvelope, writeEnvelope } from '../../src/wire/relay/envelope.ts';
import { readFrame, writeFrame } from '../../src/wire/relay/frame.ts';
import { readModemDatagram, writeModemDatagram } from '../../src/wire/relay/modem.ts';

const runs = process.env['BIRTHMARK_NIGHTLY'] === '1' ? 500_000 : 3_000;
const corpus = readFileSync(new URL('corpus/relay/inputs.hex', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => fromHex(line));

const readers: ReadonlyArray<readonly [string, (bytes: Uint8Array) => Uint8Array]> = [
  ['envelope', (bytes) => writeEnvelope(readEnvelope(bytes))],
  ['frame', (bytes) => writeFrame(readFrame(bytes))],
  ['modem', (bytes) => writeModemDatagram(readModemDatagram(bytes))],
];

for (const [name, rewrite] of readers) {
  const check = (bytes: Uint8Array): void => {
    try {
      assert.deepEqual(rewrite(bytes), bytes);
    } catch (error) {
      if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
    }
  };

  test(`${name}: saved corpus`, () => {
    for (const bytes of corpus) check(bytes);
  });

  test(`${name}: random bytes and mutations`, () => {
    const random = fc.uint8Array({ maxLength: 80 });
    const mutated = fc
      .tuple(fc.constantFrom(...corpus), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat(3))
      .map(([seed, position, byte, cut]) => {
        const bytes = seed.slice(0, seed.length - Math.min(cut, seed.length));
        if (bytes.length > 0) bytes[position % bytes.length] = byte;
        return bytes;
      });
    fc.assert(fc.property(fc.oneof(random, mutated), check), { numRuns: runs });
  });
}
