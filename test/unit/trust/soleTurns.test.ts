/** Acts of one person: each is judged by what those before it have left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SoleTurns } from '../../../src/trust/revocation/soleTurns.ts';

test('an act is judged after the authority has heard of the one before, also when that failed', async () => {
  let left = 2;
  let untold = 0;
  const turns = new SoleTurns({
    authority: { soleChangesLeft: async () => left },
    told: async () => {
      left -= untold;
      untold = 0;
    },
  });
  const seen: Array<number | undefined> = [];
  const acts = [1, 2, 3, 4].map((number) =>
    turns.take(async (rest) => {
      seen.push(rest);
      if (number === 2) throw new Error('the registry is away');
      if (rest !== 0) untold += 1;
    }),
  );
  const outcomes = await Promise.allSettled(acts);
  assert.deepEqual(seen, [2, 1, 1, 0]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  );
});

test('where one person is enough nothing waits and nobody is told first', async () => {
  const turns = new SoleTurns({
    authority: { soleChangesLeft: async () => undefined },
    told: () => assert.fail('told'),
  });
  const never = turns.take(() => new Promise<never>(() => undefined));
  assert.equal(await turns.take(async (left) => left), undefined);
  assert.ok(never instanceof Promise);
});
