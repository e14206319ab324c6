/** Recovery of a restored database on SQLite. */
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
import { type Act, type Answer, noNews, putSetting, type Step, type Steps } from '../statements.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { growOrder, insertOrder, refusedOrder } from './orderStore.ts';
import { blob, integer } from './rows.ts';
import { changeStatus } from './statusRows.ts';

export class SqliteRecoveryStore implements RecoveryStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  recovery(): Promise<RecoveryRecord | undefined> {
    return this.#database.read(recordIn);
  }

  demand(): Promise<void> {
    return this.#database.transact((connection) => {
      if (recordIn(connection) === undefined) save(connection, { phase: 'demanded', report: {} });
    });
  }

  learn(lessons: () => Iterable<Lesson>, ending: RecoveryEnding): Promise<Learnt> {
    return this.#database.transact((connection) => run(connection, relearn(lessons(), ending)));
  }

  finish(): Promise<void> {
    return this.#database.transact((connection) => {
      save(connection, { phase: 'ready', report: recordIn(connection)?.report ?? {} });
    });
  }

  release(entry: Uint8Array): Promise<void> {
    return this.#database.transact((connection) => {
      connection.prepare(appendLeaf).run(entry);
      connection.prepare('DELETE FROM settings WHERE name = ?').run(recoverySetting);
    });
  }
}

function recordIn(connection: Connection): RecoveryRecord | undefined {
  const row = connection.prepare('SELECT value FROM settings WHERE name = ?').get(recoverySetting);
  return row === undefined ? undefined : readRecovery(blob(row, 'value'));
}

function save(connection: Connection, record: RecoveryRecord): void {
  run(connection, putSetting(recoverySetting, encodeRecovery(record)));
}

function run<Result>(connection: Connection, steps: Steps<Result>): Result {
  let next = steps.next();
  while (next.done !== true) next = steps.next(answer(connection, next.value));
  return next.value;
}

function answer(connection: Connection, step: Step): Answer {
  if ('ask' in step) {
    return { ...noNews, rows: connection.prepare(step.ask).all(named(step.values)) };
  }
  if ('tell' in step) {
    const { changes } = connection.prepare(step.tell).run(named(step.values));
    return { ...noNews, changed: Number(changes) };
  }
  if ('changeStatus' in step) {
    const outcomes = step.changeStatus.map((change) => changeStatus(connection, change));
    return { ...noNews, outcomes };
  }
  return { ...noNews, changed: act(connection, step) };
}

function act(connection: Connection, step: Act): number {
  if ('recordLost' in step) {
    return step.recordLost.filter((lost) => recordLost(connection, lost)).length;
  }
  if ('appendLeaves' in step) {
    for (const entry of step.appendLeaves) connection.prepare(appendLeaf).run(entry);
    return step.appendLeaves.length;
  }
  const { order, batches } = step.placeOrder;
  const refusal = refusedOrder(connection, order, batches);
  // A later line of the ledger says that it was raised: the addresses are its own, though it is over now.
  if (refusal === 'order-exists') growOrder(connection, order, batches);
  if (refusal !== undefined) return 0;
  insertOrder(connection, order, batches);
  return 1;
}

/** False for what the database has already, signature included. */
function recordLost(connection: Connection, lost: LostCertificate): boolean {
  const { serialNumber, issuer, holder, keyIdentifier, atMs, entry } = lost;
  const known = connection.prepare(selectIssuance).get(serialNumber);
  if (known !== undefined && known['signed'] !== null) return false;
  const profile = lostPrefix + lost.profile;
  const id = integer(known ?? connection.prepare(selectNextIssuance).get() ?? {}, 'id');
  if (known !== undefined) {
    // Signed after the backup: a second signature over the same bytes would make another certificate of it.
    connection
      .prepare('UPDATE issuances SET profile = ?, tbs = ? WHERE id = ?')
      .run(profile, entry, id);
  } else {
    // Its key and its end are not known: a name that no key has, and as long as anything lives.
    connection
      .prepare(insertIssuance)
      .run(id, serialNumber, issuer, profile, holder, keyIdentifier, atMs, noExpirationMs, entry);
  }
  connection.prepare("INSERT INTO signatures VALUES (?, x'')").run(id);
  return true;
}

const selectIssuance = `
  SELECT issuances.id, signatures.id AS signed FROM issuances LEFT JOIN signatures USING (id)
  WHERE serial = ?`;

const selectNextIssuance = 'SELECT coalesce(max(id), 0) + 1 AS id FROM issuances';

const insertIssuance = `
  INSERT INTO issuances
    (id, serial, issuer, profile, holder, key_id, prepared_ms, not_after_ms, tbs)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`;

function named(
  values: Extract<Step, { readonly ask: string }>['values'],
): Record<string, string | number | Uint8Array | null> {
  return Object.fromEntries(values.map((value, index) => [`$${index + 1}`, value]));
}
