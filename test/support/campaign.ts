/**
 * A campaign of changed messages: everything that a fault or an attacker does to one message of a
 * conversation, and the claim that nobody then takes it for what it is not. More than a million in the
 * nightly run.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { equal } from '../../src/wire/bytes/bytes.ts';
import { mutated } from './fuzz.ts';
import { firstSeed, isNightly } from './nightly.ts';

/** A conversation whose messages are known, and what receiving another one in their place leads to. */
export interface Subject {
  readonly name: string;
  readonly messages: readonly Uint8Array[];
  /**
   * Delivers bytes in place of a message and goes on honestly. True when the genuine message is taken; of
   * any other bytes, when anybody completes with them or takes something that was not said.
   */
  readonly deliver: (index: number, bytes: Uint8Array) => boolean;
}

/** Of each message; the 26 of all subjects make 15,600, and 1,560,000 in the nightly run. */
const runsOfOne = isNightly ? 60_000 : 600;

export function campaign(subjects: readonly ((seed: string) => Subject)[]): void {
  for (const make of subjects) {
    const ours = make('ours');
    // Other handshakes of the same parties and method: their messages are spliced in as they are.
    const theirs = [make('theirs'), make('yet others')];
    const foreign = [...ours.messages, ...theirs.flatMap(({ messages }) => messages)];
    for (const [index, genuine] of ours.messages.entries()) {
      test(`${ours.name}: message ${index + 1} changed, replaced, reordered or reflected`, (context) => {
        context.diagnostic(`seed ${firstSeed}, ${runsOfOne} messages`);
        assert.ok(ours.deliver(index, genuine), 'the genuine message completes');
        const twins = theirs.flatMap(({ messages }) => messages[index] ?? []);
        for (const bytes of foreign) {
          if (!equal(bytes, genuine)) assert.ok(!ours.deliver(index, bytes), 'a foreign message');
        }
        fc.assert(
          fc.property(fc.oneof(mutated([genuine, ...foreign]), mixed(genuine, twins)), (bytes) => {
            fc.pre(!equal(bytes, genuine));
            assert.ok(!ours.deliver(index, bytes));
          }),
          { seed: firstSeed, numRuns: runsOfOne },
        );
      });
      test(`${ours.name}: message ${index + 1} with each of its bits flipped`, () => {
        for (let bit = 0; bit < genuine.length * 8; bit++) {
          const bytes = genuine.slice();
          bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          assert.ok(!ours.deliver(index, bytes), `bit ${bit}`);
        }
      });
    }
  }
}

/**
 * The genuine message with bits turned and pieces of its like from other handshakes. Most that is cut or
 * lengthened ends where it is read; this keeps its shape, and the keys have to tell.
 */
function mixed(genuine: Uint8Array, twins: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const place = fc.nat(genuine.length - 1);
  const piece = fc.record({ twin: fc.constantFrom(...twins), start: place, end: place });
  const bits = fc.array(fc.nat(genuine.length * 8 - 1), { maxLength: 3 });
  return fc.tuple(fc.array(piece, { maxLength: 2 }), bits).map(([pieces, flips]) => {
    const bytes = genuine.slice();
    for (const { twin, start, end } of pieces) {
      const from = Math.min(start, end);
      bytes.set(twin.subarray(from, Math.min(Math.max(start, end) + 1, genuine.length)), from);
    }
    for (const bit of flips) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    return bytes;
  });
}
