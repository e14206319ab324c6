import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { isUniqueViolation } from '../../../src/drivers/store/sqlite/faults.ts';
import { type Connection, SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { blob, integer, optionalText, text, word } from '../../../src/drivers/store/sqlite/rows.ts';
import { EnvironmentError, InvariantError } from '../../../src/trust/ports/faults.ts';

const migrations = [{ version: 1, sql: 'CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB) STRICT' }];

function folder(context: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'birthmark-sqlite-'));
  context.after(() => rmSync(path, { recursive: true }));
  return path;
}

function open(path: string, extra: readonly { version: number; sql: string }[] = []) {
  return new SqliteDatabase({ path, migrations: [...migrations, ...extra] });
}

const insert = (key: number) => (connection: Connection) => {
  connection.prepare('INSERT INTO t (k) VALUES (?)').run(key);
  return key;
};

const keys = (connection: Connection): number[] =>
  connection
    .prepare('SELECT k FROM t ORDER BY k')
    .all()
    .map((row) => integer(row, 'k'));

test('what waits together is committed together, and a failing member fails alone', async (context) => {
  const path = join(folder(context), 'a.sqlite');
  const database = open(path);
  context.after(() => database.close());
  const other = new DatabaseSync(path, { readOnly: true });
  context.after(() => other.close());
  const committed = () => other.prepare('SELECT count(*) AS n FROM t').get()?.['n'];
  const outcomes = await Promise.allSettled([
    database.transact(insert(1)),
    database.transact((connection) => {
      insert(2)(connection);
      return insert(1)(connection);
    }),
    database.transact((connection) => {
      assert.equal(committed(), 0, 'the first caller was committed by itself');
      return insert(3)(connection);
    }),
    database.transact(() => {
      throw new TypeError('mine alone');
    }),
  ]);
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'rejected'],
  );
  assert.ok(outcomes[1]?.status === 'rejected' && isUniqueViolation(outcomes[1].reason));
  assert.equal(committed(), 2);
  assert.deepEqual(await database.read(keys), [1, 3]);
});

test('a lone failing caller leaves nothing behind', async (context) => {
  const database = open(join(folder(context), 'a.sqlite'));
  context.after(() => database.close());
  await assert.rejects(
    database.transact((connection) => {
      insert(1)(connection);
      throw new TypeError('after the write');
    }),
    /after the write/,
  );
  assert.deepEqual(await database.read(keys), []);
  await database.transact(insert(2));
  assert.deepEqual(await database.read(keys), [2]);
});

test('a promise that resolved is on disk when the process dies', (context) => {
  const path = join(folder(context), 'a.sqlite');
  const child = spawnSync(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--input-type=module',
      '--eval',
      `
      import { SqliteDatabase } from ${JSON.stringify(new URL('../../../src/drivers/store/sqlite/database.ts', import.meta.url).href)};
      const database = new SqliteDatabase({ path: ${JSON.stringify(path)}, migrations: ${JSON.stringify(migrations)} });
      await Promise.all([1, 2, 3].map((key) => database.transact((c) => c.prepare('INSERT INTO t (k) VALUES (?)').run(key))));
      void database.transact((c) => c.prepare('INSERT INTO t (k) VALUES (4)').run());
      process.kill(process.pid, 'SIGKILL');
    `,
    ],
    { encoding: 'utf8' },
  );
  assert.equal(child.signal, 'SIGKILL', child.stderr);
  // The lock died with its holder.
  const database = open(path);
  context.after(() => database.close());
  return database.read(keys).then((found) => assert.deepEqual(found, [1, 2, 3]));
});

test('a second process, or a second opening, is told who holds the file', (context) => {
  const path = join(folder(context), 'a.sqlite');
  const database = open(path);
  const message = new RegExp(`a\\.sqlite is in use by process ${process.pid}`);
  assert.throws(
    () => open(path),
    (error) => error instanceof EnvironmentError && !error.retryable && message.test(error.message),
  );
  database.close();
  open(path).close();
});

test('files are for their owner alone', (context) => {
  const path = join(folder(context), 'a.sqlite');
  const database = open(path);
  context.after(() => database.close());
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-lock`, `${path}-lock.pid`]) {
    assert.equal(statSync(file).mode & 0o777, 0o600, file);
  }
});

test('migrations are applied once, in order; a newer database is refused', async (context) => {
  const path = join(folder(context), 'a.sqlite');
  open(path).close();
  const second = { version: 2, sql: 'ALTER TABLE t ADD COLUMN note TEXT' };
  open(path, [second]).close();
  const database = open(path, [second]);
  await database.transact((c) => c.prepare("INSERT INTO t (k, note) VALUES (1, 'x')").run());
  database.close();
  assert.throws(() => open(path), /of version 2, made by a newer birthmark; this one knows 1/);
  assert.throws(() => open(path, [{ version: 3, sql: '' }]), TypeError);
});

test('a migration that fails leaves the version before it', (context) => {
  const path = join(folder(context), 'a.sqlite');
  open(path).close();
  assert.throws(() => open(path, [{ version: 2, sql: 'CREATE TABLE u (k); CREATE TABLE t (k)' }]));
  open(path, [{ version: 2, sql: 'CREATE TABLE u (k)' }]).close();
});

test('a full disk refuses all members, and the service goes on when there is room', async (context) => {
  const database = open(join(folder(context), 'a.sqlite'));
  context.after(() => database.close());
  const limit = (pages: number) => (connection: Connection) =>
    connection.prepare(`PRAGMA max_page_count = ${pages}`).all();
  await database.read(limit(4));
  const large = (connection: Connection) =>
    connection.prepare('INSERT INTO t (v) VALUES (zeroblob(100000))').run();
  const outcomes = await Promise.allSettled([
    database.transact(insert(1)),
    database.transact(large),
  ]);
  for (const outcome of outcomes) {
    assert.ok(outcome.status === 'rejected');
    assert.ok(outcome.reason instanceof EnvironmentError && outcome.reason.retryable);
    assert.match(outcome.reason.message, /the disk is full/);
  }
  assert.deepEqual(await database.read(keys), []);
  await database.read(limit(1000));
  await database.transact(large);
  await database.transact(insert(7));
  assert.deepEqual(await database.read(keys), [1, 7]);
});

test('a read-only database says so', async (context) => {
  const database = open(join(folder(context), 'a.sqlite'));
  context.after(() => database.close());
  await database.read((connection) => connection.prepare('PRAGMA query_only = ON').all());
  await assert.rejects(database.transact(insert(1)), /cannot write the database: it is read-only/);
});

test('a path that cannot be opened is a fault of the environment', (context) => {
  assert.throws(() => open(join(folder(context), 'none', 'a.sqlite')), EnvironmentError);
});

test('closing commits what waits', async (context) => {
  const path = join(folder(context), 'a.sqlite');
  const database = open(path);
  const waiting = database.transact(insert(1));
  database.close();
  await waiting;
  await assert.rejects(database.transact(insert(2)), TypeError);
  await assert.rejects(database.read(keys), TypeError);
  const reopened = open(path);
  context.after(() => reopened.close());
  assert.deepEqual(await reopened.read(keys), [1]);
});

test('columns are read with their type', () => {
  const row = { n: 1, t: 'x', b: Uint8Array.of(1), none: null };
  assert.equal(integer(row, 'n'), 1);
  assert.equal(text(row, 't'), 'x');
  assert.deepEqual(blob(row, 'b'), Uint8Array.of(1));
  assert.equal(optionalText(row, 'none'), undefined);
  assert.equal(word(row, 't', ['x', 'y']), 'x');
  assert.throws(() => integer(row, 't'), InvariantError);
  assert.throws(() => word(row, 't', ['y']), InvariantError);
  assert.throws(() => text(row, 'missing'), InvariantError);
});
