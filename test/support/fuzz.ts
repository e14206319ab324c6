/**
 * One way to fuzz a parser of outside bytes: its saved corpus first, then valid input mutated, then any
 * bytes. Only typed errors may come out. A failure prints fast-check's seed; what it found belongs into
 * the corpus.
 */
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../src/wire/bytes/malformed.ts';
import { isNightly } from './nightly.ts';

const runs = isNightly ? 200_000 : 2_000;

export interface FuzzTarget {
  /** Also the file of the corpus: test/fuzz/corpus/<name>.hex, one input a line, `#` for comments. */
  readonly name: string;
  /** Throws MalformedError or UnsupportedError; may assert what holds when it returns. */
  readonly read: (input: Uint8Array) => unknown;
  readonly valid: readonly Uint8Array[];
}

export function fuzz({ name, read, valid }: FuzzTarget): void {
  test(`${name}: the saved corpus`, () => {
    for (const input of [...corpusOf(name), ...valid]) tolerate(read, input);
  });
  test(`${name}: valid input, mutated`, () => {
    fc.assert(
      fc.property(mutated(valid), (input) => tolerate(read, input)),
      { numRuns: runs },
    );
  });
  test(`${name}: any bytes`, () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (input) => tolerate(read, input)),
      { numRuns: runs },
    );
  });
}

/** Flips, cuts, repeats and splices: what a fault on the way or an attacker does to good input. */
export function mutated(valid: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    kind: fc.constantFrom('flip', 'set', 'cut', 'insert', 'repeat', 'truncate'),
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    value: fc.integer({ min: 0, max: 255 }),
    length: fc.integer({ min: 1, max: 12 }),
  });
  return fc
    .tuple(fc.constantFrom(...valid), fc.array(edit, { minLength: 1, maxLength: 4 }))
    .map(([input, edits]) =>
      edits.reduce((bytes, { kind, at, value, length }) => {
        const offset = Math.floor(at * bytes.length);
        const before = bytes.subarray(0, offset);
        const here = bytes.subarray(offset, offset + length);
        const rest = bytes.subarray(offset + length);
        switch (kind) {
          case 'flip':
            return joined(
              before,
              [(here[0] ?? 0) ^ (1 << (value & 7))],
              bytes.subarray(offset + 1),
            );
          case 'set':
            return joined(before, [value], bytes.subarray(offset + 1));
          case 'cut':
            return joined(before, rest);
          case 'insert':
            return joined(
              before,
              Array.from({ length }, () => value),
              bytes.subarray(offset),
            );
          case 'repeat':
            return joined(before, here, here, rest);
          case 'truncate':
            return before.slice();
        }
      }, input.slice()),
    );
}

function joined(...parts: ReadonlyArray<Iterable<number>>): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function tolerate(read: (input: Uint8Array) => unknown, input: Uint8Array): void {
  try {
    read(input);
  } catch (error) {
    if (!(error instanceof MalformedError) && !(error instanceof UnsupportedError)) throw error;
  }
}

export function corpusOf(name: string): Uint8Array[] {
  const file = new URL(`../fuzz/corpus/${name}.hex`, import.meta.url);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => fromHex(line));
}
