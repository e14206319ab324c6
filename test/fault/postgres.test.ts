/**
 * The connection is cut in the middle of T1 and of T2, and the server dies: nothing is given twice, nothing
 * that was promised is lost, and what the tables say adds up.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../sim/radio/random.ts';
import { ClientConnection } from '../../src/drivers/store/postgres/connection.ts';
import { ConnectionLost } from '../../src/drivers/store/postgres/faults.ts';
import { issuingMigrations } from '../../src/drivers/store/postgres/issuingTables.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import type { IntentOutcome } from '../../src/trust/ports/issuanceStore.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import {
  bytesOf,
  type IssuingStores,
  leaf,
  onPostgres,
  openTicket,
  unitIntent,
} from '../support/issuingStores.ts';
import { postgresMissing } from '../support/postgres.ts';
import { testServer } from '../support/storeBackends.ts';

const server = testServer();
const skip = { skip: postgresMissing };

type Statement = (this: ClientConnection, sql: string, ...values: unknown[]) => Promise<unknown>;

const original = Object.getOwnPropertyDescriptors(ClientConnection.prototype);

/** Runs the work with every statement of every store under the hand of `around`. */
async function intercepted<Result>(
  around: (sql: string, send: () => Promise<unknown>) => Promise<unknown>,
  work: () => Promise<Result>,
): Promise<Result> {
  for (const name of ['run', 'all', 'execute'] as const) {
    const method = original[name].value as Statement;
    const value: Statement = function statement(sql, ...values) {
      return around(sql, () => Reflect.apply(method, this, [sql, ...values]));
    };
    Object.defineProperty(ClientConnection.prototype, name, { ...original[name], value });
  }
  try {
    return await work();
  } finally {
    Object.defineProperties(ClientConnection.prototype, original);
  }
}

/** Before the first statement that begins so is sent, all connections of the store end. */
function cutting<Result>(
  schema: string,
  beginning: string,
  work: () => Promise<Result>,
): Promise<Result> {
  let armed = true;
  return intercepted(async (sql, send) => {
    if (armed && sql.trim().startsWith(beginning)) {
      armed = false;
      await endConnections(schema);
    }
    return send();
  }, work);
}

function endConnections(schema: string): Promise<number> {
  return server().terminate(`application_name LIKE 'birthmark ${schema} %'`);
}

const idsOf = (outcomes: readonly IntentOutcome[]): readonly number[] =>
  outcomes.flatMap((outcome) => ('taken' in outcome ? [outcome.taken] : []));

const completion = (id: number) => ({
  id,
  signature: bytesOf(`signature ${id}`, 32),
  entry: leaf(`issued ${id}`),
});

/** From the tables alone, as the checker does on SQLite. */
async function addsUp(schema: string): Promise<void> {
  const faults = {
    'a ticket counts what it made': `
      SELECT 1 FROM ${schema}.tickets WHERE taken > count
        OR taken <> (SELECT count(*) FROM ${schema}.units WHERE ticket = tickets.id)`,
    'an order counts its addresses': `
      SELECT 1 FROM ${schema}.orders WHERE eui64_taken <> (SELECT count(*) FROM ${schema}.units)`,
    'a birth certificate has its unit': `
      SELECT 1 FROM ${schema}.issuances LEFT JOIN ${schema}.units USING (id)
      WHERE holder IS NULL AND units.id IS NULL`,
    'a unit has its keys': `
      SELECT 1 FROM ${schema}.units WHERE
        (SELECT count(*) FROM ${schema}.unit_keys WHERE unit = units.id) <> 2`,
    'the log has no gap': `
      SELECT 1 FROM ${schema}.audit_leaves HAVING max(id) <> count(*)`,
    'every signature is in the log, once': `
      SELECT 1 WHERE (SELECT count(*) FROM ${schema}.signatures)
        <> (SELECT count(*) FROM ${schema}.audit_leaves WHERE entry LIKE 'leaf issued %'::bytea)
        OR (SELECT count(*) FROM ${schema}.audit_leaves)
        <> (SELECT count(DISTINCT entry) FROM ${schema}.audit_leaves)`,
  };
  for (const [promise, sql] of Object.entries(faults)) {
    assert.deepEqual(await server().query(sql), [], promise);
  }
}

const begins = [
  ['before anything', 'BEGIN'],
  ['between reading and writing', 'INSERT INTO issuances'],
  ['between certificate and unit', 'INSERT INTO units'],
  ['before the count', 'WITH counted'],
  ['at the commit', 'COMMIT'],
] as const;

for (const [where, statement] of begins) {
  test(`T1 is cut ${where}, and done again`, skip, async () => {
    const schema = server().newSchema();
    const stores = onPostgres(await server().open({ migrations: issuingMigrations, schema }));
    const ticket = await openTicket(stores, 3);
    const intents = [1, 2, 3].map((number) => unitIntent(number, ticket));
    const begin = () => stores.issuance.begin(intents);
    await assert.rejects(cutting(schema, statement, begin), isRetryable);
    await addsUp(schema);
    assert.equal((await stores.orders.ticket(ticket.ticketId))?.taken, 0);
    const ids = idsOf(await begin());
    assert.equal(ids.length, 3);
    await stores.issuance.complete(ids.map(completion));
    await addsUp(schema);
  });
}

for (const statement of ['INSERT INTO signatures', 'INSERT INTO audit_leaves', 'COMMIT']) {
  test(`T2 is cut at ${statement}, and done again`, skip, async () => {
    const schema = server().newSchema();
    const stores = onPostgres(await server().open({ migrations: issuingMigrations, schema }));
    const ticket = await openTicket(stores, 2);
    const ids = idsOf(await stores.issuance.begin([1, 2].map((one) => unitIntent(one, ticket))));
    const complete = () => stores.issuance.complete(ids.map(completion));
    await assert.rejects(cutting(schema, statement, complete), isRetryable);
    await addsUp(schema);
    const unfinished = await stores.issuance.unfinished(0, 9);
    assert.deepEqual(
      unfinished.map(({ id }) => id),
      ids,
    );
    await complete();
    await complete();
    assert.deepEqual(await stores.issuance.unfinished(0, 9), []);
    await addsUp(schema);
  });
}

test('a commit whose answer got lost is not done twice', skip, async () => {
  const schema = server().newSchema();
  const stores = onPostgres(await server().open({ migrations: issuingMigrations, schema }));
  const ticket = await openTicket(stores, 4);
  const intents = [1, 2].map((number) => unitIntent(number, ticket));
  const losing = intercepted(
    async (sql, send) => {
      const answer = await send();
      if (sql === 'COMMIT') throw new ConnectionLost(new Error('cut'));
      return answer;
    },
    () => stores.issuance.begin(intents),
  );
  await assert.rejects(losing, isRetryable);
  const again = await stores.issuance.begin(intents);
  assert.deepEqual(again, [{ conflict: 'serial' }, { conflict: 'serial' }]);
  const unfinished = await stores.issuance.unfinished(0, 9);
  await stores.issuance.complete(unfinished.map(({ id }) => completion(id)));
  assert.equal(unfinished.length, 2);
  await addsUp(schema);
});

test('a server that dies again and again while many issue', skip, async () => {
  const schema = server().newSchema();
  const stores = onPostgres(await server().open({ migrations: issuingMigrations, schema }));
  const quota = 60;
  const ticket = await openTicket(stores, quota);
  const random = seededRandom(11);
  let made = 0;
  const promised = new Set<number>();
  const station = async (number: number): Promise<void> => {
    for (let element = number * 30; element < number * 30 + 30; element++) {
      // The server itself may be down at the moment.
      if (random.below(100) < 15) await endConnections(schema).catch(() => 0);
      const outcomes = await untilAnswered(() =>
        stores.issuance.begin([unitIntent(element, ticket)]),
      );
      for (const id of idsOf(outcomes)) {
        await untilAnswered(() => stores.issuance.complete([completion(id)]));
        promised.add(id);
        made += 1;
      }
    }
  };
  const stations = Promise.all([0, 1, 2, 3].map(station));
  await server().halt();
  await server().resume();
  await stations;
  for (const { id } of await stores.issuance.unfinished(0, 99)) {
    await stores.issuance.complete([completion(id)]);
  }
  await addsUp(schema);
  assert.equal((await stores.orders.ticket(ticket.ticketId))?.taken, quota);
  assert.ok(made <= quota && promised.size === made);
  await everyPromiseIsKept(stores, promised);
});

async function everyPromiseIsKept(
  { orders }: IssuingStores,
  promised: ReadonlySet<number>,
): Promise<void> {
  const page = { state: 'endorsed', after: 0, limit: 1_000 } as const;
  const { units } = await orders.unitsOfBatch('order-1', page);
  const signatures = new Set(units.flatMap(({ signature }) => (signature ? toHex(signature) : [])));
  for (const id of promised) assert.ok(signatures.has(toHex(completion(id).signature)));
  assert.equal(signatures.size, units.length);
}

async function untilAnswered<Result>(call: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isRetryable(error)) throw error;
      await new Promise(setImmediate);
    }
  }
}

function isRetryable(error: unknown): boolean {
  return error instanceof EnvironmentError && error.retryable;
}
