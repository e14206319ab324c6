/** The audit log on SQLite: leaves come with the acts they record, heads follow. */
import type { AuditHead, AuditStore } from '../../../trust/ports/auditStore.ts';
import { InvariantError } from '../../../trust/ports/faults.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { blob, integer, optionalInteger, type Row } from './rows.ts';

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

  rootAt(treeSize: number): Promise<Uint8Array | undefined> {
    return this.#database.read((connection) => rootAt(connection, treeSize));
  }

  saveHead({ treeSize, root, subtrees, atMs }: AuditHead): Promise<void> {
    return this.#database.transact((connection) => {
      const last = connection.prepare('SELECT max(tree_size) AS size FROM audit_heads').get() ?? {};
      const known = rootAt(connection, treeSize);
      if (
        known === undefined ? (optionalInteger(last, 'size') ?? 0) > treeSize : !equal(known, root)
      ) {
        throw new InvariantError(`a second history of the audit log, at ${treeSize} leaves`);
      }
      connection
        .prepare('INSERT OR IGNORE INTO audit_heads VALUES (?, ?, ?, ?)')
        .run(treeSize, root, Buffer.concat(subtrees), atMs);
    });
  }

  append(entries: readonly Uint8Array[]): Promise<void> {
    return this.#database.transact((connection) => {
      for (const entry of entries) connection.prepare(appendLeaf).run(entry);
    });
  }
}

function rootAt(connection: Connection, treeSize: number): Uint8Array | undefined {
  const row = connection.prepare('SELECT root FROM audit_heads WHERE tree_size = ?').get(treeSize);
  return row === undefined ? undefined : blob(row, 'root');
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
