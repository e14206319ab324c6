import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher } from '../../../../src/trust/line/batcher.ts';
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

test('a failed request rejects those whom it carried and no others', async () => {
  const sent: number[][] = [];
  const batcher = new Batcher<number, number>({ items: 2, concurrency: 1 }, async (items) => {
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

test('an answer too few is a defect of the sender, not a wait without end', async () => {
  const batcher = new Batcher<number, number>({ items: 9, concurrency: 1 }, async () => []);
  await assert.rejects(batcher.submit(1), TypeError);
});
