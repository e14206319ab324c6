/** One moment of a SQLite database, also while another process writes it. */
import { existsSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { type Snapshot, tablesFrom } from '../snapshot.ts';
import { environmentFault } from './faults.ts';
import type { Row } from './rows.ts';

/** Changes nothing. Throws an `EnvironmentError` when there is no database, or it cannot be read. */
export function openSqliteSnapshot(path: string): Snapshot {
  if (!existsSync(path)) throw new EnvironmentError(`${path} is missing`, { retryable: false });
  const database = begun(path);
  async function* rows(
    sql: string,
    ...values: ReadonlyArray<string | number>
  ): AsyncGenerator<Row, void> {
    const named = Object.fromEntries(values.map((value, index) => [`$${index + 1}`, value]));
    try {
      yield* database.prepare(sql).iterate(named);
    } catch (error) {
      throw environmentFault(error, `cannot read ${path}`);
    }
  }
  async function* damage(): AsyncGenerator<string, void> {
    for await (const row of rows('PRAGMA integrity_check')) {
      if (row['integrity_check'] !== 'ok') yield String(row['integrity_check']);
    }
    for await (const row of rows('PRAGMA foreign_key_check')) {
      const { table, parent } = row;
      yield `a row of ${String(table)} refers to a row of ${String(parent)} that is not there`;
    }
  }
  return {
    rows,
    damage,
    tables: () => tablesFrom(rows(selectTables)),
    close: async () => {
      database.close();
    },
  };
}

const selectTables = `
  SELECT made.name AS table_name, info.name AS column_name
  FROM sqlite_master AS made JOIN pragma_table_info(made.name) AS info
  WHERE made.type = 'table' AND made.name NOT LIKE 'sqlite%'
  ORDER BY made.rowid, info.cid`;

function begun(path: string): DatabaseSync {
  try {
    const database = new DatabaseSync(path, { readOnly: true });
    database.exec('BEGIN');
    return database;
  } catch (error) {
    throw environmentFault(error, `cannot read ${path}`);
  }
}
