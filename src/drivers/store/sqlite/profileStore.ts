/** Versions of profiles on SQLite. */
import type { ProfileRecord, ProfileStore } from '../../../trust/ports/profileStore.ts';
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import { spend } from './approvalRows.ts';
import type { SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { blob, integer, type Row, text } from './rows.ts';

export class SqliteProfileStore implements ProfileStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  profiles(): Promise<readonly ProfileRecord[]> {
    return this.#database.read((connection) =>
      connection.prepare(selectProfiles).all().map(profileOf),
    );
  }

  addProfile(
    record: ProfileRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'added' | 'taken' | SpendingFault> {
    const { name, version, sha256, text: document, addedMs } = record;
    return this.#database.transact((connection) => {
      const present = connection
        .prepare('SELECT 1 FROM profiles WHERE name = ? AND version = ?')
        .get(name, version);
      const fault = present === undefined ? spend(connection, spending) : 'taken';
      if (fault !== undefined) return fault;
      connection
        .prepare('INSERT INTO profiles VALUES (?, ?, ?, ?, ?)')
        .run(name, version, sha256, document, addedMs);
      connection.prepare(appendLeaf).run(entry);
      return 'added';
    });
  }
}

export const selectProfiles = 'SELECT * FROM profiles ORDER BY name, version';

export function profileOf(row: Row): ProfileRecord {
  return {
    name: text(row, 'name'),
    version: integer(row, 'version'),
    sha256: blob(row, 'sha256'),
    text: text(row, 'document'),
    addedMs: integer(row, 'added_ms'),
  };
}
