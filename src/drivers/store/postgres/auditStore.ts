/** The audit log on PostgreSQL: leaves come with the acts they record, heads follow. */
import type { AuditHead, AuditStore } from '../../../trust/ports/auditStore.ts';
import { InvariantError } from '../../../trust/ports/faults.ts';
import { concat, equal } from '../../../wire/bytes/bytes.ts';
import { headOf } from '../sqlite/auditStore.ts';
import { blob, integer } from '../sqlite/rows.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';

export class PostgresAuditStore implements AuditStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  leaves(from: number, limit: number): Promise<readonly Uint8Array[]> {
    const sql = 'SELECT entry FROM audit_leaves WHERE id > $1 ORDER BY id LIMIT $2';
    return this.#database.read(async (connection) => {
      const rows = await connection.all(sql, from, limit);
      return rows.map((row) => blob(row, 'entry'));
    });
  }

  countLeaves(): Promise<number> {
    // The highest id, not a count: it needs no walk, and the checker proves that no number is missing.
    const sql = 'SELECT coalesce(max(id), 0) AS leaves FROM audit_leaves';
    return this.#database.read(async (connection) =>
      integer((await connection.first(sql)) ?? {}, 'leaves'),
    );
  }

  head(): Promise<AuditHead | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(selectHead);
      return row === undefined ? undefined : headOf(row);
    });
  }

  rootAt(treeSize: number): Promise<Uint8Array | undefined> {
    return this.#database.read((connection) => rootAt(connection, treeSize));
  }

  saveHead({ treeSize, root, subtrees, atMs }: AuditHead): Promise<void> {
    const insert = 'INSERT INTO audit_heads VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING';
    return this.#database.transact(async (connection) => {
      const last = await connection.first(selectHead);
      const known = await rootAt(connection, treeSize);
      const largest = last === undefined ? 0 : integer(last, 'tree_size');
      if (known === undefined ? largest > treeSize : !equal(known, root)) {
        throw new InvariantError(`a second history of the audit log, at ${treeSize} leaves`);
      }
      await connection.run(insert, treeSize, root, concat(...subtrees), atMs);
    });
  }

  append(entries: readonly Uint8Array[]): Promise<void> {
    return this.#database.transact((connection) => appendLeaves(connection, entries));
  }
}

/** Leaves without a gap, in the order of commits: transactions that write follow one another (`writer.ts`). */
export async function appendLeaves(
  connection: Connection,
  entries: readonly Uint8Array[],
): Promise<void> {
  if (entries.length > 0) await connection.run(insertLeaves, entries);
}

const insertLeaves = `
  INSERT INTO audit_leaves (id, entry)
  SELECT (SELECT coalesce(max(id), 0) FROM audit_leaves) + number, entry
  FROM unnest($1::bytea[]) WITH ORDINALITY AS leaf (entry, number)`;

const selectHead = 'SELECT * FROM audit_heads ORDER BY tree_size DESC LIMIT 1';

async function rootAt(connection: Connection, treeSize: number): Promise<Uint8Array | undefined> {
  const row = await connection.first('SELECT root FROM audit_heads WHERE tree_size = $1', treeSize);
  return row === undefined ? undefined : blob(row, 'root');
}
