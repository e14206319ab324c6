import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gathered } from '../../../src/drivers/links/local/gathered.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Messages wait for the test to answer them. */
function held(maximum: number) {
  const messages: Array<{ readonly items: readonly number[]; readonly answer: () => void }> = [];
  const gathered = new Gathered<number, string>(
    maximum,
    (items) =>
      new Promise((resolve) => {
        const outcomes = items.map((item) => () => {
          if (item < 0) throw new RangeError(`${item}`);
          return `for ${item}`;
        });
        messages.push({ items, answer: () => resolve(outcomes) });
      }),
  );
  return { gathered, messages };
}

test('who asks in one turn goes together, and who asks while messages are under way goes into the next', async () => {
  const { gathered, messages } = held(4);
  const asked = [1, 2].map((item) => gathered.ask(item));
  await turn();
  asked.push(gathered.ask(3));
  await turn();
  for (const item of [4, 5, 6, 7, 8]) {
    asked.push(gathered.ask(item));
    await turn();
  }
  assert.deepEqual(
    messages.map(({ items }) => items),
    [[1, 2], [3]],
  );
  messages[1]?.answer();
  await turn();
  assert.deepEqual(messages[2]?.items, [4, 5, 6, 7], 'no more than fit');
  for (const { answer } of messages) answer();
  await turn();
  assert.deepEqual(messages[3]?.items, [8]);
  messages[3]?.answer();
  assert.deepEqual(
    await Promise.all(asked),
    [1, 2, 3, 4, 5, 6, 7, 8].map((item) => `for ${item}`),
  );
});

test('one that fails fails alone; a message that fails fails for all of it, and the next one goes', async () => {
  const { gathered, messages } = held(4);
  const mixed = Promise.allSettled([gathered.ask(1), gathered.ask(-1)]);
  await turn();
  messages[0]?.answer();
  const [good, bad] = await mixed;
  assert.deepEqual(good, { status: 'fulfilled', value: 'for 1' });
  assert.ok(bad?.status === 'rejected' && bad.reason instanceof RangeError);

  let calls = 0;
  const failing = new Gathered<number, string>(4, async () => {
    calls += 1;
    throw new Error('gone');
  });
  await Promise.all([1, 2].map((item) => assert.rejects(failing.ask(item), /gone/)));
  await assert.rejects(failing.ask(3), /gone/);
  assert.equal(calls, 2);

  const forgetful = new Gathered<number, string>(4, async () => []);
  await assert.rejects(forgetful.ask(1), TypeError);
});
