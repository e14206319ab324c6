/** A new SQLite file that takes the rows of another database. It is nobody's before it gets its name. */
import { rmSync } from 'node:fs';
import type { CopyTarget } from '../copy.ts';
import type { Table } from '../snapshot.ts';
import { SqliteDatabase } from './database.ts';
import type { Migration } from './migrations.ts';
import { openSqliteSnapshot } from './snapshot.ts';

export interface SqliteTarget extends CopyTarget {
  /** Everything is on the disk, in one file. */
  close(): void;
}

/** Begins anew when there was one before. */
export async function newSqliteTarget(
  path: string,
  migrations: readonly Migration[],
): Promise<SqliteTarget> {
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`, { force: true });
  const database = new SqliteDatabase({ path, migrations });
  const snapshot = openSqliteSnapshot(path);
  const tables = await snapshot.tables();
  await snapshot.close();
  const columnsOf = new Map(tables.map(({ name, columns }) => [name, columns]));
  // What the migrations put there comes with the copy too.
  await database.transact((connection) => {
    for (const { name } of tables.toReversed()) connection.prepare(`DELETE FROM "${name}"`).run();
  });
  return {
    tables: async () => tables,
    insert: (table, rows) =>
      database.transact((connection) => {
        const insert = connection.prepare(insertInto(table, columnsOf.get(table.name) ?? []));
        for (const row of rows) insert.run(...table.columns.map((column) => row[column] ?? null));
      }),
    close: () => {
      database.close();
      for (const suffix of ['-lock', '-lock.pid']) rmSync(`${path}${suffix}`, { force: true });
    },
  };
}

/** A column that is none of the table's is its row number. */
function insertInto({ name, columns }: Table, own: readonly string[]): string {
  const names = columns.map((column) => (own.includes(column) ? `"${column}"` : 'rowid'));
  const marks = columns.map(() => '?');
  return `INSERT INTO "${name}" (${names.join(', ')}) VALUES (${marks.join(', ')})`;
}
