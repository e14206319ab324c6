/** Which devices were told of which authorities, in a file of its own: nothing else depends on it. */
import type { AnchorStore } from '../../../trust/ports/anchorStore.ts';
import type { SqliteDatabase } from './database.ts';
import type { Migration } from './migrations.ts';
import { integer } from './rows.ts';

export const anchorMigrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE told (
        spki_sha256 BLOB NOT NULL CHECK (length(spki_sha256) = 32),
        device_id TEXT NOT NULL,
        told_ms INTEGER NOT NULL,
        PRIMARY KEY (spki_sha256, device_id)
      ) STRICT, WITHOUT ROWID;
    `,
  },
];

export class SqliteAnchorStore implements AnchorStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `anchorMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  noteTold(deviceId: string, keys: readonly Uint8Array[], nowMs: number): Promise<void> {
    return this.#database.transact((connection) => {
      const insert = connection.prepare('INSERT OR IGNORE INTO told VALUES (?, ?, ?)');
      for (const key of keys) insert.run(key, deviceId, nowMs);
    });
  }

  countTold(key: Uint8Array): Promise<number> {
    return this.#database.read((connection) => {
      const sql = 'SELECT count(*) AS n FROM told WHERE spki_sha256 = ?';
      const row = connection.prepare(sql).get(key);
      return integer(row ?? {}, 'n');
    });
  }
}
