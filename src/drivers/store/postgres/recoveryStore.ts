/** Recovery of a restored database on PostgreSQL. */
import { lostPrefix } from '../../../trust/ports/issuanceStore.ts';
import {
  encodeRecovery,
  type Learnt,
  type Lesson,
  type LostCertificate,
  readRecovery,
  type RecoveryEnding,
  type RecoveryRecord,
  recoverySetting,
  type RecoveryStore,
} from '../../../trust/ports/recoveryStore.ts';
import { noExpirationMs } from '../../../wire/der/time.ts';
import { relearn } from '../relearning.ts';
import { blob } from '../sqlite/rows.ts';
import { type Act, type Answer, noNews, putSetting, type Step, type Steps } from '../statements.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';
import { growOrder, insertOrder, refusedOrder } from './orderRows.ts';
import { changeStatus } from './statusRows.ts';

export class PostgresRecoveryStore implements RecoveryStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  recovery(): Promise<RecoveryRecord | undefined> {
    return this.#database.read(recordIn);
  }

  demand(): Promise<void> {
    return this.#database.transact(async (connection) => {
      if ((await recordIn(connection)) !== undefined) return;
      await save(connection, { phase: 'demanded', report: {} });
    });
  }

  learn(lessons: () => Iterable<Lesson>, ending: RecoveryEnding): Promise<Learnt> {
    return this.#database.transact((connection) => run(connection, relearn(lessons(), ending)));
  }

  finish(): Promise<void> {
    return this.#database.transact(async (connection) => {
      const report = (await recordIn(connection))?.report ?? {};
      await save(connection, { phase: 'ready', report });
    });
  }

  release(entry: Uint8Array): Promise<void> {
    return this.#database.transact(async (connection) => {
      await appendLeaves(connection, [entry]);
      await connection.run('DELETE FROM settings WHERE name = $1', recoverySetting);
    });
  }
}

async function recordIn(connection: Connection): Promise<RecoveryRecord | undefined> {
  const row = await connection.first('SELECT value FROM settings WHERE name = $1', recoverySetting);
  return row === undefined ? undefined : readRecovery(blob(row, 'value'));
}

function save(connection: Connection, record: RecoveryRecord): Promise<void> {
  return run(connection, putSetting(recoverySetting, encodeRecovery(record)));
}

async function run<Result>(connection: Connection, steps: Steps<Result>): Promise<Result> {
  let next = steps.next();
  while (next.done !== true) next = steps.next(await answer(connection, next.value));
  return next.value;
}

async function answer(connection: Connection, step: Step): Promise<Answer> {
  if ('ask' in step) {
    return { ...noNews, rows: await connection.all(step.ask, ...step.values) };
  }
  if ('tell' in step) {
    return { ...noNews, changed: await connection.run(step.tell, ...step.values) };
  }
  if ('changeStatus' in step) {
    return { ...noNews, outcomes: await changeStatus(connection, step.changeStatus) };
  }
  return { ...noNews, changed: await act(connection, step) };
}

async function act(connection: Connection, step: Act): Promise<number> {
  if ('recordLost' in step) return recordLost(connection, step.recordLost);
  if ('appendLeaves' in step) {
    await appendLeaves(connection, step.appendLeaves);
    return step.appendLeaves.length;
  }
  const { order, batches } = step.placeOrder;
  const refusal = await refusedOrder(connection, order, batches);
  if (refusal === 'order-exists') await growOrder(connection, order, batches);
  if (refusal !== undefined) return 0;
  await insertOrder(connection, order, batches);
  return 1;
}

/** As on SQLite, of all at once. Returns how many the database did not have, signature included. */
async function recordLost(
  connection: Connection,
  lost: readonly LostCertificate[],
): Promise<number> {
  if (lost.length === 0) return 0;
  return connection.run(
    insertLost,
    lost.map(({ serialNumber }) => serialNumber),
    lost.map(({ issuer }) => issuer),
    lost.map(({ profile }) => lostPrefix + profile),
    lost.map(({ holder }) => holder),
    lost.map(({ keyIdentifier }) => keyIdentifier),
    lost.map(({ atMs }) => atMs),
    lost.map(({ entry }) => entry),
    noExpirationMs,
  );
}

const insertLost = `
  WITH lost AS (
    SELECT DISTINCT ON (serial) *
    FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bigint[], $7::bytea[])
      WITH ORDINALITY AS one (serial, issuer, profile, holder, key_id, at_ms, entry, number)
    ORDER BY serial, number
  ), unsigned AS (
    UPDATE issuances SET profile = lost.profile, tbs = lost.entry FROM lost
    WHERE issuances.serial = lost.serial
      AND NOT EXISTS (SELECT FROM signatures WHERE signatures.id = issuances.id)
    RETURNING issuances.id
  ), unknown AS (
    INSERT INTO issuances (id, serial, issuer, profile, holder, key_id, prepared_ms, not_after_ms, tbs)
    SELECT (SELECT coalesce(max(id), 0) FROM issuances) + row_number() OVER (ORDER BY number),
      serial, issuer, profile, holder, key_id, at_ms, $8, entry
    FROM lost WHERE NOT EXISTS (SELECT FROM issuances WHERE issuances.serial = lost.serial)
    RETURNING id
  )
  INSERT INTO signatures SELECT id, ''::bytea FROM (TABLE unsigned UNION ALL TABLE unknown) AS signed`;
