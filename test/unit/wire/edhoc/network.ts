/** A network that delivers any message to anybody, at any time, as often as it likes, changed or not. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isNightly } from '../../../support/nightly.ts';

export interface Action {
  readonly kind: 'start' | 'answer' | 'to initiator' | 'to responder';
  readonly who: number;
  /** A message of the kind that is expected, among the newest; else anything that was ever sent. */
  readonly fitting: boolean;
  readonly message: number;
  readonly flip: number | undefined;
}

const action: fc.Arbitrary<Action> = fc.record({
  kind: fc.oneof(
    { weight: 1, arbitrary: fc.constant('start' as const) },
    { weight: 2, arbitrary: fc.constant('answer' as const) },
    { weight: 4, arbitrary: fc.constant('to initiator' as const) },
    { weight: 4, arbitrary: fc.constant('to responder' as const) },
  ),
  who: fc.nat(30),
  fitting: fc.oneof(
    { weight: 4, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
  message: fc.nat(60),
  flip: fc.oneof(
    { weight: 9, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.nat(2000) },
  ),
});

export const actions: fc.Arbitrary<Action[]> = fc.array(action, {
  minLength: 30,
  maxLength: 90,
  size: 'max',
});

export const runs = isNightly ? 10_000 : 150;

/** A fitting message goes to one of the two newest, since most handshakes have been disturbed before long. */
export function receiver<Run>(runs: readonly Run[], { fitting, who }: Action): Run {
  return pick(fitting ? runs.slice(-2) : runs, who);
}

export function arriving(
  sent: readonly Uint8Array[][],
  kind: number,
  action: Action,
): Uint8Array | undefined {
  const pool = action.fitting ? sent[kind]?.slice(-2) : sent.flat();
  if (pool === undefined || pool.length === 0) return undefined;
  const message = pick(pool, action.message);
  if (action.flip === undefined) return message;
  const changed = message.slice();
  const bit = action.flip % (changed.length * 8);
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return changed;
}

export function pick<Item>(items: readonly Item[], index: number): Item {
  return items[index % items.length] ?? assert.fail('nothing to pick from');
}
