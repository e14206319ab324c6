import assert from 'node:assert/strict';
import fs, { mkdtempSync, rmSync, statSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock, test, type TestContext } from 'node:test';
import { rowsBetweenPasses } from '../../../src/drivers/store/sqlite/checkpointer.ts';
import { type Connection, SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { integer } from '../../../src/drivers/store/sqlite/rows.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';

type Done = (error: Error | null) => void;

/** Flushes wait for the test; `disk.flushes` are those that wait. */
function heldDisk(context: TestContext): { flushes: Done[] } {
  const disk = { flushes: new Array<Done>() };
  const held = mock.method(fs, 'fdatasync', (_descriptor: number, done: Done) => {
    disk.flushes.push(done);
  });
  syncBuiltinESMExports();
  context.after(() => {
    held.mock.restore();
    syncBuiltinESMExports();
  });
  return disk;
}

function opened(context: TestContext): {
  readonly database: SqliteDatabase;
  readonly path: string;
} {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-flush-'));
  const path = join(folder, 'a.sqlite');
  const migrations = [{ version: 1, sql: 'CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB) STRICT' }];
  const database = new SqliteDatabase({ path, migrations });
  context.after(() => {
    database.close();
    rmSync(folder, { recursive: true });
  });
  return { database, path };
}

const insert = (key: number) => (connection: Connection) =>
  void connection.prepare('INSERT INTO t (k) VALUES (?)').run(key);

const count = (connection: Connection): number =>
  integer(connection.prepare('SELECT count(*) AS n FROM t').get() ?? {}, 'n');

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What has happened to a promise by now. */
function watched(promise: Promise<unknown>): () => string {
  let state = 'waits';
  promise.then(
    () => (state = 'told'),
    () => (state = 'refused'),
  );
  return () => state;
}

test('nobody hears of a commit before its flush, and the next commit gathers meanwhile', async (context) => {
  const disk = heldDisk(context);
  const { database } = opened(context);
  const first = watched(database.transact(insert(1)));
  await turn();
  const second = [2, 3].map((key) => watched(database.transact(insert(key))));
  const reader = watched(database.read(count));
  await turn();
  assert.deepEqual([first(), reader(), ...second.map((one) => one())], Array(4).fill('waits'));
  assert.equal(disk.flushes.length, 1);
  disk.flushes.shift()?.(null);
  await turn();
  assert.deepEqual([first(), reader()], ['told', 'told']);
  await turn();
  assert.equal(disk.flushes.length, 1, 'those that waited share a flush');
  disk.flushes.shift()?.(null);
  await turn();
  assert.deepEqual(
    second.map((one) => one()),
    ['told', 'told'],
  );
});

test('what a loss of power cannot make untrue is told at once', async (context) => {
  const disk = heldDisk(context);
  const { database } = opened(context);
  const write = database.transact(insert(1));
  await turn();
  const isNone = (found: number): boolean => found === 0;
  const absent = 'SELECT count(*) AS n FROM t WHERE k = 2';
  const read = (connection: Connection): number =>
    integer(connection.prepare(absent).get() ?? {}, 'n');
  assert.equal(await database.read(read, isNone), 0);
  const present = watched(database.read(count, isNone));
  await turn();
  assert.equal(present(), 'waits');
  disk.flushes.shift()?.(null);
  await write;
  assert.equal(present(), 'told');
});

test('a commit that changed nothing needs no flush', async (context) => {
  const disk = heldDisk(context);
  const { database } = opened(context);
  assert.equal(await database.transact(count), 0);
  assert.equal(disk.flushes.length, 0);
});

test('a failed flush is told to all who saw the commit, and mended before anything else', async (context) => {
  const disk = heldDisk(context);
  const { database, path } = opened(context);
  const outcomes = [database.transact(insert(1))];
  await turn();
  outcomes.push(database.read((connection) => void count(connection)));
  disk.flushes.shift()?.(Object.assign(new Error('EIO: i/o error'), { syscall: 'fdatasync' }));
  for (const outcome of outcomes) {
    await assert.rejects(
      outcome,
      (error) => error instanceof EnvironmentError && error.retryable && /EIO/.test(error.message),
    );
  }
  assert.notEqual(statSync(`${path}-wal`).size, 0);
  assert.equal(await database.read(count), 1);
  assert.equal(statSync(`${path}-wal`).size, 0, 'what was in the log is in the database');
});

test('closing while a flush is under way flushes by itself', async (context) => {
  const disk = heldDisk(context);
  const { database } = opened(context);
  const write = database.transact(insert(1));
  await turn();
  const late = database.transact(insert(2));
  database.close();
  await Promise.all([write, late]);
  disk.flushes.shift()?.(null);
});

test('a long log is brought into the database beside the event loop', async (context) => {
  const { database, path } = opened(context);
  const bytes = statSync(path).size;
  const rows = (connection: Connection): void => {
    const statement = connection.prepare('INSERT INTO t (v) VALUES (zeroblob(1000))');
    for (let row = 0; row < rowsBetweenPasses; row++) statement.run();
  };
  await database.transact(rows);
  assert.equal(statSync(path).size, bytes, 'nothing is brought within a commit');
  await database.transact(insert(-1));
  while (statSync(path).size === bytes) await turn();
  database.close();
  assert.ok(statSync(path).size > rowsBetweenPasses * 1000);
});
