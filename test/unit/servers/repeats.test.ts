/** An act that is sent again while it is done, or just when it was: it is done once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fastify from 'fastify';
import { keepAnswers } from '../../../src/servers/http/repeats.ts';
import type { AnswerStore, KeptAnswer } from '../../../src/trust/ports/answerStore.ts';

test('a look at the kept answers that takes long lets nothing be done twice', async (context) => {
  const kept = new Map<string, KeptAnswer>();
  const looks = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let looked = 0;
  const answers: AnswerStore = {
    answer: async (_caller, key) => {
      const found = kept.get(key);
      // What it has seen is told later.
      await looks[looked++]?.promise;
      return found;
    },
    keep: async (_caller, key, answer) => {
      kept.set(key, answer);
    },
  };
  let done = 0;
  const app = fastify({ logger: false });
  context.after(() => app.close());
  keepAnswers(app, {
    answers,
    clock: { nowMs: () => 1 },
    callerOf: () => 'operator/ada',
    onRefusal: () => undefined,
  });
  app.post('/act', async () => ({ done: ++done }));
  const send = () =>
    app.inject({ method: 'POST', url: '/act', headers: { 'idempotency-key': 'k-1' } });
  const first = send();
  const second = send();
  looks[0]?.resolve();
  assert.equal((await first).statusCode, 200);
  looks[1]?.resolve();
  assert.equal((await second).statusCode, 409);
  assert.equal(done, 1);
  const third = await send();
  assert.deepEqual([third.statusCode, third.json()], [200, { done: 1 }]);
});
