/** Recovery of a restored database on PostgreSQL. */
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
import { blob } from '../sqlite/rows.ts';
import { type Answer, putSetting, type Step, type Steps } from '../statements.ts';
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
    return { rows: await connection.all(step.ask, ...step.values), changed: 0 };
  }
  if ('tell' in step) {
    return { rows: [], changed: await connection.run(step.tell, ...step.values) };
  }
  return { rows: [], changed: (await act(connection, step)) ? 1 : 0 };
}

async function act(
  connection: Connection,
  step: Exclude<Step, { readonly ask: string } | { readonly tell: string }>,
): Promise<boolean> {
  if ('changeStatus' in step) return changeStatus(connection, step.changeStatus);
  if ('appendLeaf' in step) {
    await appendLeaves(connection, [step.appendLeaf]);
    return true;
  }
  const { order, batches } = step.placeOrder;
  const refusal = await refusedOrder(connection, order, batches);
  if (refusal === 'order-exists') await growOrder(connection, order, batches);
  if (refusal !== undefined) return false;
  await insertOrder(connection, order, batches);
  return true;
}
