/** The bounded window of each device's latest messages. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import { SqliteTelemetryStore } from '../../src/drivers/store/sqlite/telemetryStore.ts';

function open(context: TestContext, window: number): SqliteTelemetryStore {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-'));
  const path = join(folder, 'provisioner.sqlite');
  const database = new SqliteDatabase({ path, migrations: provisionerMigrations });
  context.after(() => {
    database.close();
    rmSync(folder, { recursive: true });
  });
  return new SqliteTelemetryStore(database, window);
}

const message = (n: number) =>
  ({ receivedMs: 1000 + n, path: 'mqtt', payload: Uint8Array.of(n) }) as const;

test('newest first, and pages go on before a sequence', async (context) => {
  const store = open(context, 10);
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

test('the window is kept per device, and sequences never repeat', async (context) => {
  const store = open(context, 3);
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
