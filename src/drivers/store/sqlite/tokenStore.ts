/** Bearer tokens of the API on SQLite. */
import type { TokenRecord, TokenStore } from '../../../trust/ports/tokenStore.ts';
import type { SqliteDatabase } from './database.ts';
import type { Migration } from './migrations.ts';
import { integer, optionalInteger, type Row, text } from './rows.ts';

export const tokenMigration: Migration = {
  version: 7,
  sql: `
    CREATE TABLE api_token (
      id INTEGER PRIMARY KEY,
      token_sha256 BLOB NOT NULL UNIQUE CHECK (length(token_sha256) = 32),
      holder TEXT NOT NULL,
      created_ms INTEGER NOT NULL,
      expires_ms INTEGER NOT NULL,
      revoked_ms INTEGER
    ) STRICT;
  `,
};

export class SqliteTokenStore implements TokenStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `provisionerMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  add(token: Omit<TokenRecord, 'id' | 'revokedMs'>, sha256: Uint8Array): Promise<number> {
    const { holder, createdMs, expiresMs } = token;
    return this.#database.transact((connection) => {
      const { lastInsertRowid } = connection
        .prepare(
          `INSERT INTO api_token (token_sha256, holder, created_ms, expires_ms)
           VALUES (?, ?, ?, ?)`,
        )
        .run(sha256, holder, createdMs, expiresMs);
      return Number(lastInsertRowid);
    });
  }

  token(sha256: Uint8Array): Promise<TokenRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare('SELECT * FROM api_token WHERE token_sha256 = ?').get(sha256);
      return row === undefined ? undefined : tokenOf(row);
    });
  }

  tokens(limit: number, before: number = Number.MAX_SAFE_INTEGER): Promise<readonly TokenRecord[]> {
    const sql = 'SELECT * FROM api_token WHERE id < ? ORDER BY id DESC LIMIT ?';
    return this.#database.read((connection) =>
      connection.prepare(sql).all(before, limit).map(tokenOf),
    );
  }

  revoke(id: number, atMs: number): Promise<boolean> {
    const sql = 'UPDATE api_token SET revoked_ms = ? WHERE id = ? AND revoked_ms IS NULL';
    return this.#database.transact(
      (connection) => connection.prepare(sql).run(atMs, id).changes === 1,
    );
  }

  revokeAll(atMs: number): Promise<void> {
    const sql = 'UPDATE api_token SET revoked_ms = ? WHERE revoked_ms IS NULL';
    return this.#database.transact((connection) => {
      connection.prepare(sql).run(atMs);
    });
  }
}

export function tokenOf(row: Row): TokenRecord {
  return {
    id: integer(row, 'id'),
    holder: text(row, 'holder'),
    createdMs: integer(row, 'created_ms'),
    expiresMs: integer(row, 'expires_ms'),
    revokedMs: optionalInteger(row, 'revoked_ms'),
  };
}
