import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FinishedMark } from '../../../src/drivers/store/sqlite/finishedMark.ts';

test('what is finished is not looked at again, in this life or the next', () => {
  const mark = new FinishedMark(undefined);
  assert.equal(mark.from(0), 0);
  assert.equal(mark.found(0, 8, 10), undefined);
  assert.deepEqual([mark.from(0), mark.from(9)], [7, 9]);
  // A search behind the one that is unfinished says nothing of it.
  assert.equal(mark.found(9, undefined, 10), undefined);
  assert.equal(mark.from(0), 7);
  const stored = mark.found(7, undefined, 30_000);
  assert.ok(stored);
  assert.equal(mark.from(0), 30_000);
  assert.equal(new FinishedMark(stored).from(0), 30_000);
  assert.equal(mark.found(30_000, undefined, 40_000), undefined);
});

test('a mark that is none counts nothing as finished', () => {
  assert.equal(new FinishedMark(new Uint8Array(3)).from(0), 0);
});
