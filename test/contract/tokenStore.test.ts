/** Tokens that programs read the API with, as a store. */
import assert from 'node:assert/strict';
import * as postgresTables from '../../src/drivers/store/postgres/provisionerTables.ts';
import { PostgresTokenStore } from '../../src/drivers/store/postgres/tokenStore.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import { SqliteTokenStore } from '../../src/drivers/store/sqlite/tokenStore.ts';
import type { TokenStore } from '../../src/trust/ports/tokenStore.ts';
import { sha256Of } from '../support/registrySamples.ts';
import { type BackendParts, contract } from '../support/storeBackends.ts';

const backends: BackendParts<TokenStore> = {
  sqlite: {
    migrations: provisionerMigrations,
    stores: (database) => new SqliteTokenStore(database),
  },
  postgres: {
    migrations: postgresTables.provisionerMigrations,
    stores: (database) => new PostgresTokenStore(database),
  },
};

contract('token store', backends, (check) => {
  check('a token is found by its hash, and ends once', async (store) => {
    const token = { holder: 'dashboard', createdMs: 1, expiresMs: 9 };
    const id = await store.add(token, sha256Of('a'));
    const other = await store.add({ ...token, holder: 'scraper' }, sha256Of('b'));
    assert.deepEqual(await store.token(sha256Of('a')), { id, ...token, revokedMs: undefined });
    assert.equal(await store.token(sha256Of('c')), undefined);
    assert.equal(await store.revoke(id, 5), true);
    assert.equal(await store.revoke(id, 6), false);
    assert.equal(await store.revoke(4_711, 6), false);
    assert.equal((await store.token(sha256Of('a')))?.revokedMs, 5);
    assert.deepEqual(
      (await store.tokens(9)).map((known) => known.id),
      [other, id],
    );
    assert.deepEqual(
      (await store.tokens(1, other)).map((known) => known.id),
      [id],
    );
    await assert.rejects(store.add(token, sha256Of('b')));
  });
});
