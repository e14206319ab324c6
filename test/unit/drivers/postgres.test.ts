import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Connection } from '../../../src/drivers/store/postgres/connection.ts';
import { uniqueViolation } from '../../../src/drivers/store/postgres/faults.ts';
import type { PostgresDatabase } from '../../../src/drivers/store/postgres/database.ts';
import { integer } from '../../../src/drivers/store/sqlite/rows.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { postgresMissing, PostgresServer } from '../../support/postgres.ts';

const skip = { skip: postgresMissing };
const migrations = [{ version: 1, sql: 'CREATE TABLE t (k BIGINT PRIMARY KEY, v BYTEA)' }];

let server: PostgresServer;
before(async () => {
  if (postgresMissing === false) server = await PostgresServer.start();
});
after(() => (postgresMissing === false ? server.stop() : undefined));

const insert = (key: number) => async (connection: Connection) => {
  await connection.run('INSERT INTO t (k) VALUES ($1)', key);
  return key;
};

const keys = async (connection: Connection): Promise<number[]> =>
  (await connection.all('SELECT k FROM t ORDER BY k')).map((row) => integer(row, 'k'));

function isFault(error: unknown, retryable: boolean, message: RegExp): boolean {
  assert.ok(error instanceof EnvironmentError, String(error));
  assert.match(error.message, message);
  assert.equal(error.retryable, retryable);
  return true;
}

test(
  'what waits together is committed together, and a failing member fails alone',
  skip,
  async () => {
    const database = await server.open({ migrations });
    const transactions = new Set<number>();
    const noted =
      (work: (connection: Connection) => Promise<unknown>) => (connection: Connection) =>
        work(connection).then(async (result) => {
          const row = await connection.first('SELECT txid_current() AS id');
          transactions.add(integer(row ?? {}, 'id'));
          return result;
        });
    await Promise.all([1, 2, 3].map((key) => database.transact(noted(insert(key)))));
    assert.equal(transactions.size, 1);
    const outcomes = await Promise.allSettled([
      database.transact(insert(4)),
      database.transact(async (connection) => {
        await insert(5)(connection);
        return insert(1)(connection);
      }),
      database.transact(async () => {
        throw new TypeError('mine alone');
      }),
      database.transact(async (connection) => {
        assert.deepEqual(
          await database.read(keys),
          [1, 2, 3],
          'the first caller was committed by itself',
        );
        return insert(6)(connection);
      }),
    ]);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected', 'fulfilled'],
    );
    assert.ok(outcomes[1]?.status === 'rejected');
    assert.equal(uniqueViolation(outcomes[1].reason), 't_pkey');
    assert.deepEqual(await database.read(keys), [1, 2, 3, 4, 6]);
  },
);

test(
  'a lone failing caller leaves nothing, and a swallowed failure is no commit',
  skip,
  async () => {
    const database = await server.open({ migrations });
    await assert.rejects(
      database.transact(async (connection) => {
        await insert(1)(connection);
        throw new TypeError('after the write');
      }),
      /after the write/,
    );
    await assert.rejects(
      database.transact(async (connection) => {
        await insert(1)(connection);
        await insert(1)(connection).catch(() => undefined);
      }),
      /went on after its statement had failed/,
    );
    assert.deepEqual(await database.read(keys), []);
    await database.transact(insert(2));
    assert.deepEqual(await database.read(keys), [2]);
  },
);

test('values come back as they went', skip, async () => {
  const database = await server.open({ migrations });
  const value = Uint8Array.from({ length: 256 }, (_, index) => index);
  await database.transact((connection) =>
    connection.run(
      'INSERT INTO t SELECT * FROM unnest($1::bigint[], $2::bytea[])',
      [1, 2, Number.MAX_SAFE_INTEGER],
      [value, null, new Uint8Array(0)],
    ),
  );
  assert.deepEqual(
    await database.read((connection) => connection.all('SELECT * FROM t ORDER BY k')),
    [
      { k: 1, v: value },
      { k: 2, v: null },
      { k: Number.MAX_SAFE_INTEGER, v: new Uint8Array(0) },
    ],
  );
});

test('one process has a schema for itself, and a second one is told who it is', skip, async () => {
  const schema = server.newSchema();
  const database = await server.open({ migrations, schema });
  const holder = new RegExp(`in use by birthmark ${schema} of process ${process.pid} on`);
  await assert.rejects(server.open({ migrations, schema }), (error) =>
    isFault(error, false, holder),
  );
  const shared = { migrations, schema, use: 'shared' } as const;
  await assert.rejects(server.open(shared), (error) =>
    isFault(error, true, /another process writes it/),
  );
  await database.close();
  await (await server.open({ migrations, schema })).close();
});

test('processes that share a schema take turns, and none sees half of another', skip, async () => {
  const schema = server.newSchema();
  const use = 'shared';
  const one = await server.open({ migrations, schema, use, lockTimeoutMs: 10_000 });
  const other = await server.open({ migrations, schema, use, lockTimeoutMs: 10_000 });
  // Read, then write what follows from it: without the lock two of them would read the same.
  const next = async (connection: Connection) => {
    const row = await connection.first('SELECT coalesce(max(k), 0) AS k FROM t');
    return insert(integer(row ?? {}, 'k') + 1)(connection);
  };
  const rounds = Array.from({ length: 40 }, (_, index) =>
    (index % 2 === 0 ? one : other).transact(next),
  );
  const given = (await Promise.all(rounds)).sort((left, right) => left - right);
  assert.deepEqual(
    given,
    Array.from({ length: 40 }, (_, index) => index + 1),
  );
});

test('a lost connection fails who was on it, and the next caller has a new one', skip, async () => {
  const schema = server.newSchema();
  const database = await server.open({ migrations, schema });
  await database.transact(insert(1));
  await assert.rejects(
    database.transact(async (connection) => {
      await insert(2)(connection);
      await server.terminate(`application_name LIKE 'birthmark ${schema} %'`);
      return insert(3)(connection);
    }),
    (error) => isFault(error, true, /cannot write the database/),
  );
  await database.transact(insert(4));
  await server.terminate(`application_name LIKE 'birthmark ${schema} %'`);
  assert.deepEqual(await eventually(() => database.read(keys)), [1, 4]);
  await eventually(() => database.transact(insert(5)));
  assert.deepEqual(await database.read(keys), [1, 4, 5]);
});

test('a reader that dies at work fails its call alone', skip, async () => {
  const schema = server.newSchema();
  const database = await server.open({ migrations, schema });
  await assert.rejects(
    database.read(async (connection) => {
      await server.terminate(`application_name LIKE 'birthmark ${schema} %'`);
      // The news arrives while nothing is asked on it.
      await server.query('SELECT 1');
      return keys(connection);
    }),
    (error) => isFault(error, true, /cannot read the database/),
  );
  assert.deepEqual(await database.read(keys), []);
});

test('who lost the lock to another process never writes again', skip, async () => {
  const schema = server.newSchema();
  const first = await server.open({ migrations, schema });
  await first.transact(insert(1));
  await server.terminate(`application_name LIKE 'birthmark ${schema} %'`);
  const second = await server.open({ migrations, schema });
  await assert.rejects(
    eventually(() => first.transact(insert(2))),
    (error) => isFault(error, true, /in use by/),
  );
  await second.transact(insert(3));
  await second.close();
  await assert.rejects(first.transact(insert(4)), (error) =>
    isFault(error, false, /another process has written .* meanwhile/),
  );
  const third = await server.open({ migrations, schema });
  assert.deepEqual(await third.read(keys), [1, 3]);
});

test('a statement that takes too long, and a lock that does not come, end', skip, async () => {
  const database = await server.open({ migrations, statementTimeoutMs: 100 });
  await assert.rejects(
    database.transact((connection) => connection.run('SELECT pg_sleep(10)')),
    (error) => isFault(error, true, /took too long/),
  );
  await assert.rejects(
    database.read((connection) => connection.first('SELECT pg_sleep(10)')),
    (error) => isFault(error, true, /took too long/),
  );
  await database.transact(insert(1));
});

test('migrations are applied once, in order, whole or not at all', skip, async () => {
  const schema = server.newSchema();
  const note = { version: 2, sql: 'ALTER TABLE t ADD COLUMN note TEXT' };
  const broken = { version: 2, sql: 'CREATE TABLE u (k BIGINT); CREATE TABLE t (k BIGINT)' };
  await (await server.open({ migrations, schema })).close();
  await assert.rejects(server.open({ migrations: [...migrations, broken], schema }));
  await (await server.open({ migrations: [...migrations, note], schema })).close();
  const again = await server.open({ migrations: [...migrations, note], schema });
  await again.transact((connection) => connection.run(`INSERT INTO t (k, note) VALUES (1, 'x')`));
  await again.close();
  await assert.rejects(server.open({ migrations, schema }), (error) =>
    isFault(error, false, /of version 2, made by a newer birthmark; this one knows 1/),
  );
});

test('a server that is away, or refuses, is told apart', skip, async () => {
  const { address } = server;
  const away = { ...address, host: `${address.host}/none` };
  await assert.rejects(server.open({ migrations, address: away }), (error) =>
    isFault(error, true, /cannot open postgres at/),
  );
  const wrong = { ...address, database: 'nothing' };
  await assert.rejects(server.open({ migrations, address: wrong }), (error) =>
    isFault(error, false, /there is no such database/),
  );
});

test('a server that restarts is found again', skip, async () => {
  const database = await server.open({ migrations });
  await database.transact(insert(1));
  await server.halt();
  await assert.rejects(
    eventually(() => database.transact(insert(2))),
    (error) => isFault(error, true, /cannot/),
  );
  await server.resume();
  await eventually(() => database.transact(insert(3)));
  assert.deepEqual(await eventually(() => database.read(keys)), [1, 3]);
});

test('closing commits what waits', skip, async () => {
  const schema = server.newSchema();
  const database = await server.open({ migrations, schema });
  const waiting = database.transact(insert(1));
  await database.close();
  await waiting;
  await assert.rejects(database.transact(insert(2)), TypeError);
  await assert.rejects(database.read(keys), TypeError);
  const reopened: PostgresDatabase = await server.open({ migrations, schema });
  assert.deepEqual(await reopened.read(keys), [1]);
});

/** The news that a connection ended may be on its way: then the first call finds out, and the next is well. */
async function eventually<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch {
    return call();
  }
}
