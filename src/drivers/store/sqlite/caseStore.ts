/** Cases of lost keys on SQLite. */
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import type { CaseRecord, CaseStore } from '../../../trust/ports/caseStore.ts';
import { spend } from './approvalRows.ts';
import type { SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import type { Migration } from './migrations.ts';
import { integer, type Row, text } from './rows.ts';

export const caseMigration: Migration = {
  version: 8,
  sql: `
    -- The newest state of each case of a lost key, as the log has it too.
    CREATE TABLE loss_cases (
      name TEXT PRIMARY KEY,
      opened_ms INTEGER NOT NULL,
      document TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
  `,
};

export class SqliteCaseStore implements CaseStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  cases(): Promise<readonly CaseRecord[]> {
    return this.#database.read((connection) => connection.prepare(selectCases).all().map(caseOf));
  }

  saveCase(
    { name, openedMs, document }: CaseRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'saved' | SpendingFault> {
    return this.#database.transact((connection) => {
      const fault = spend(connection, spending);
      if (fault !== undefined) return fault;
      connection
        .prepare('INSERT OR REPLACE INTO loss_cases VALUES (?, ?, ?)')
        .run(name, openedMs, document);
      connection.prepare(appendLeaf).run(entry);
      return 'saved';
    });
  }
}

export const selectCases = 'SELECT * FROM loss_cases ORDER BY opened_ms, name';

export function caseOf(row: Row): CaseRecord {
  return {
    name: text(row, 'name'),
    openedMs: integer(row, 'opened_ms'),
    document: text(row, 'document'),
  };
}
