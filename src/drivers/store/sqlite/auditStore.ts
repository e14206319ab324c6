/** The audit log on SQLite: leaves come with the acts they record, heads follow. */
import type { AuditHead, AuditStore } from '../../../trust/ports/auditStore.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { blob, integer, type Row } from './rows.ts';

export class SqliteAuditStore implements AuditStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  leaves(from: number, limit: number): Promise<readonly Uint8Array[]> {
    return this.#database.read((connection) =>
      // SQLite numbers rows from 1.
      connection
        .prepare('SELECT entry FROM audit_leaves WHERE id > ? ORDER BY id LIMIT ?')
        .all(from, limit)
        .map((row) => blob(row, 'entry')),
    );
  }

  countLeaves(): Promise<number> {
    return this.#database.read((connection) => countLeaves(connection));
  }

  head(): Promise<AuditHead | undefined> {
    return this.#database.read((connection) => {
      const row = connection
        .prepare('SELECT * FROM audit_heads ORDER BY tree_size DESC LIMIT 1')
        .get();
      return row === undefined ? undefined : headOf(row);
    });
  }

  saveHead({ treeSize, root, subtrees, atMs }: AuditHead): Promise<void> {
    return this.#database.transact((connection) => {
      connection
        .prepare('INSERT OR IGNORE INTO audit_heads VALUES (?, ?, ?, ?)')
        .run(treeSize, root, Buffer.concat(subtrees), atMs);
    });
  }
}

function countLeaves(connection: Connection): number {
  // The highest id, not a count: it needs no walk, and the checker proves that no number is missing.
  const row = connection.prepare('SELECT coalesce(max(id), 0) AS leaves FROM audit_leaves').get();
  return integer(row ?? {}, 'leaves');
}

export function headOf(row: Row): AuditHead {
  const joined = blob(row, 'subtrees');
  return {
    treeSize: integer(row, 'tree_size'),
    root: blob(row, 'root'),
    subtrees: Array.from({ length: joined.length / hashBytes }, (_, index) =>
      joined.subarray(index * hashBytes, (index + 1) * hashBytes),
    ),
    atMs: integer(row, 'at_ms'),
  };
}

const hashBytes = 32;
