/** Versions of profiles on PostgreSQL. */
import type { ProfileRecord, ProfileStore } from '../../../trust/ports/profileStore.ts';
import { profileOf, selectProfiles } from '../sqlite/profileStore.ts';
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import { spend } from './approvalRows.ts';
import { appendLeaves } from './auditStore.ts';
import type { PostgresDatabase } from './database.ts';

export class PostgresProfileStore implements ProfileStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  profiles(): Promise<readonly ProfileRecord[]> {
    return this.#database.read(async (connection) =>
      (await connection.all(selectProfiles)).map(profileOf),
    );
  }

  addProfile(
    record: ProfileRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'added' | 'taken' | SpendingFault> {
    const { name, version, sha256, text, addedMs } = record;
    const select = 'SELECT 1 FROM profiles WHERE name = $1 AND version = $2';
    const insert = 'INSERT INTO profiles VALUES ($1, $2, $3, $4, $5)';
    return this.#database.transact(async (connection) => {
      const present = await connection.first(select, name, version);
      const fault = present === undefined ? await spend(connection, spending) : 'taken';
      if (fault !== undefined) return fault;
      await connection.run(insert, name, version, sha256, text, addedMs);
      await appendLeaves(connection, [entry]);
      return 'added';
    });
  }
}
