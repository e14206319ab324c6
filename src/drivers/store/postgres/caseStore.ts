/** Cases of lost keys on PostgreSQL. */
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import type { CaseRecord, CaseStore } from '../../../trust/ports/caseStore.ts';
import { caseOf, selectCases } from '../sqlite/caseStore.ts';
import type { Migration } from '../sqlite/migrations.ts';
import { spend } from './approvalRows.ts';
import { appendLeaves } from './auditStore.ts';
import type { PostgresDatabase } from './database.ts';

export const caseMigration: Migration = {
  version: 8,
  sql: `
    -- The newest state of each case of a lost key, as the log has it too.
    CREATE TABLE loss_cases (
      name TEXT PRIMARY KEY,
      opened_ms BIGINT NOT NULL,
      document TEXT NOT NULL
    );
  `,
};

export class PostgresCaseStore implements CaseStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  cases(): Promise<readonly CaseRecord[]> {
    return this.#database.read(async (connection) =>
      (await connection.all(selectCases)).map(caseOf),
    );
  }

  saveCase(
    { name, openedMs, document }: CaseRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'saved' | SpendingFault> {
    return this.#database.transact(async (connection) => {
      const fault = await spend(connection, spending);
      if (fault !== undefined) return fault;
      await connection.run(upsertCase, name, openedMs, document);
      await appendLeaves(connection, [entry]);
      return 'saved';
    });
  }
}

const upsertCase = `
  INSERT INTO loss_cases VALUES ($1, $2, $3)
  ON CONFLICT (name) DO UPDATE SET opened_ms = excluded.opened_ms, document = excluded.document`;
