/** Work that comes round: what goes wrong is said once, until it goes well or wrong in another way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startChores } from '../../../src/apps/provisioner/chores.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';

test('what goes on failing is heard of once, what changes again', async () => {
  const trouble = (text: string): EnvironmentError =>
    new EnvironmentError(text, { retryable: true });
  const rounds = ['3 wait', '3 wait', '4 wait', '4 wait', undefined, '4 wait'];
  const heard: string[] = [];
  const chores = startChores(
    [
      {
        name: 'tell',
        everyMs: 3_600_000,
        work: async () => {
          const text = rounds.shift();
          if (text !== undefined) throw trouble(text);
        },
      },
    ],
    (_name, error) => heard.push(error instanceof Error ? error.message : ''),
  );
  while (rounds.length > 0) await chores.now('tell');
  await chores.stop();
  assert.deepEqual(heard, ['3 wait', '4 wait', '4 wait']);
});
