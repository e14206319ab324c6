/** Answers that are kept for whoever asks again. */
import assert from 'node:assert/strict';
import { PostgresAnswerStore } from '../../src/drivers/store/postgres/answerStore.ts';
import * as postgresTables from '../../src/drivers/store/postgres/provisionerTables.ts';
import { SqliteAnswerStore } from '../../src/drivers/store/sqlite/answerStore.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import type { AnswerStore, KeptAnswer } from '../../src/trust/ports/answerStore.ts';
import { type BackendParts, contract } from '../support/storeBackends.ts';

const backends: BackendParts<AnswerStore> = {
  sqlite: {
    migrations: provisionerMigrations,
    stores: (database) => new SqliteAnswerStore(database),
  },
  postgres: {
    migrations: postgresTables.provisionerMigrations,
    stores: (database) => new PostgresAnswerStore(database),
  },
};

function answerAt(keptMs: number, body = '{"killMs":3}'): KeptAnswer {
  const fingerprint = new Uint8Array(32).fill(7);
  return { fingerprint, status: 200, type: 'application/json', body, keptMs };
}

contract('answer store', backends, (check) => {
  check('what is kept comes back as it was, to its caller alone', async (store) => {
    await store.keep('application/billing', 'k1', answerAt(5), 0);
    assert.deepEqual(await store.answer('application/billing', 'k1'), answerAt(5));
    assert.equal(await store.answer('application/other', 'k1'), undefined);
    assert.equal(await store.answer('application/billing', 'k2'), undefined);
  });

  check('the first answer of a key stays', async (store) => {
    await store.keep('a', 'k', answerAt(5, 'first'), 0);
    await store.keep('a', 'k', answerAt(6, 'second'), 0);
    assert.equal((await store.answer('a', 'k'))?.body, 'first');
  });

  check('old answers go when a new one comes', async (store) => {
    await store.keep('a', 'old', answerAt(5), 0);
    await store.keep('a', 'young', answerAt(10), 0);
    await store.keep('b', 'new', answerAt(20), 10);
    assert.equal(await store.answer('a', 'old'), undefined);
    assert.notEqual(await store.answer('a', 'young'), undefined);
  });
});
