/** The bounded window of each device's latest messages. */
import assert from 'node:assert/strict';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import * as postgresTables from '../../src/drivers/store/postgres/provisionerTables.ts';
import { PostgresTelemetryStore } from '../../src/drivers/store/postgres/telemetryStore.ts';
import { SqliteTelemetryStore } from '../../src/drivers/store/sqlite/telemetryStore.ts';
import type { TelemetryStore } from '../../src/trust/ports/telemetryStore.ts';
import { type BackendParts, contract } from '../support/storeBackends.ts';

const backends: BackendParts<(window: number) => TelemetryStore> = {
  sqlite: {
    migrations: provisionerMigrations,
    stores: (database) => (window) => new SqliteTelemetryStore(database, window),
  },
  postgres: {
    migrations: postgresTables.provisionerMigrations,
    stores: (database) => (window) => new PostgresTelemetryStore(database, window),
  },
};

const message = (n: number) =>
  ({ receivedMs: 1000 + n, path: 'mqtt', payload: Uint8Array.of(n) }) as const;

contract('telemetry store', backends, (check) => {
  check('newest first, and pages go on before a sequence', async (open) => {
    const store = open(10);
    for (let n = 1; n <= 5; n++) await store.append('d', message(n));
    const newest = await store.latest('d', 2);
    assert.deepEqual(newest, [
      { sequence: 5, ...message(5) },
      { sequence: 4, ...message(4) },
    ]);
    const rest = await store.latest('d', 9, 4);
    assert.deepEqual(
      rest.map(({ sequence }) => sequence),
      [3, 2, 1],
    );
  });

  check('the window is kept per device, and sequences never repeat', async (open) => {
    const store = open(3);
    await store.append('other', message(9));
    await Promise.all([1, 2, 3, 4, 5].map((n) => store.append('d', message(n))));
    const kept = await store.latest('d', 9);
    assert.deepEqual(
      kept.map(({ sequence }) => sequence),
      [5, 4, 3],
    );
    assert.deepEqual(
      kept.map(({ payload }) => payload[0]),
      [5, 4, 3],
    );
    assert.equal((await store.latest('other', 9)).length, 1);
    assert.deepEqual(await store.latest('nobody', 9), []);
  });
});
