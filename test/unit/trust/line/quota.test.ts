import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher, Crowd } from '../../../../src/trust/line/batcher.ts';
import { Quota } from '../../../../src/trust/line/quota.ts';

test('the last places are waited for, not denied', async () => {
  const quota = new Quota(2);
  assert.equal(await quota.take(), true);
  assert.equal(await quota.take(), true);
  const third = quota.take();
  const fourth = quota.take();
  quota.release();
  assert.equal(await third, true);
  quota.confirm();
  assert.equal(quota.exhausted, false);
  quota.confirm();
  assert.equal(await fourth, false);
  assert.equal(quota.exhausted, true);
  assert.equal(await quota.take(), false);
});

test('a closed quota gives nothing back', async () => {
  const quota = new Quota(5);
  await quota.take();
  quota.close();
  assert.equal(quota.exhausted, false);
  quota.release();
  assert.equal(quota.exhausted, true);
  assert.equal(await quota.take(), false);
  assert.equal(new Quota(-3).exhausted, true);
});

const limits = { most: 2, enough: 1, concurrency: 1 };

test('a failed request rejects those whom it carried and no others', async () => {
  const sent: number[][] = [];
  const batcher = new Batcher<number, number>(limits, new Crowd(), async (items) => {
    sent.push([...items]);
    if (items.includes(1)) throw new Error('lost');
    return items.map((item) => item * 10);
  });
  const outcomes = await Promise.allSettled([1, 2, 3, 4, 5].map((item) => batcher.submit(item)));
  assert.deepEqual(sent, [[1, 2], [3, 4], [5]]);
  assert.deepEqual(
    outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : 'lost')),
    ['lost', 'lost', 30, 40, 50],
  );
});

test('a request waits for those who could still join, and for nobody else', async () => {
  const sent: number[][] = [];
  const crowd = new Crowd();
  const gathering = { most: 9, enough: 4, concurrency: 2 };
  const batcher = new Batcher<number, number>(gathering, crowd, async (items) => {
    sent.push([...items]);
    return items;
  });
  for (let member = 0; member < 6; member++) crowd.enter();
  const first = [1, 2, 3].map((item) => batcher.submit(item));
  await new Promise(setImmediate);
  assert.deepEqual(sent, [], 'three more are at work, and three are not enough');
  first.push(batcher.submit(4));
  await Promise.all(first);
  assert.deepEqual(sent, [[1, 2, 3, 4]], 'four are enough');
  for (let member = 0; member < 4; member++) crowd.leave();
  const fifth = batcher.submit(5);
  await new Promise(setImmediate);
  assert.equal(sent.length, 1, 'one more is at work');
  crowd.leave();
  assert.equal(await fifth, 5, 'nobody is left who could join');
});

test('an answer too few is a defect of the sender, not a wait without end', async () => {
  const batcher = new Batcher<number, number>(limits, new Crowd(), async () => []);
  await assert.rejects(batcher.submit(1), TypeError);
});
