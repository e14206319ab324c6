/** Recovery of a restored database on SQLite. */
import {
  encodeRecovery,
  type Learnt,
  type Lesson,
  readRecovery,
  type RecoveryEnding,
  type RecoveryRecord,
  recoverySetting,
  type RecoveryStore,
} from '../../../trust/ports/recoveryStore.ts';
import { relearn } from '../relearning.ts';
import { type Answer, putSetting, type Step, type Steps } from '../statements.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { growOrder, insertOrder, refusedOrder } from './orderStore.ts';
import { blob } from './rows.ts';
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
    return { rows: connection.prepare(step.ask).all(named(step.values)), changed: 0 };
  }
  if ('tell' in step) {
    const { changes } = connection.prepare(step.tell).run(named(step.values));
    return { rows: [], changed: Number(changes) };
  }
  return { rows: [], changed: act(connection, step) ? 1 : 0 };
}

function act(
  connection: Connection,
  step: Exclude<Step, { readonly ask: string } | { readonly tell: string }>,
): boolean {
  if ('changeStatus' in step) return changeStatus(connection, step.changeStatus);
  if ('appendLeaf' in step) {
    connection.prepare(appendLeaf).run(step.appendLeaf);
    return true;
  }
  const { order, batches } = step.placeOrder;
  const refusal = refusedOrder(connection, order, batches);
  // A later line of the ledger says that it was raised: the addresses are its own, though it is over now.
  if (refusal === 'order-exists') growOrder(connection, order, batches);
  if (refusal !== undefined) return false;
  insertOrder(connection, order, batches);
  return true;
}

function named(
  values: Extract<Step, { readonly ask: string }>['values'],
): Record<string, string | number | Uint8Array | null> {
  return Object.fromEntries(values.map((value, index) => [`$${index + 1}`, value]));
}
