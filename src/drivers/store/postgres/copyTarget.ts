/** A schema that takes the rows of another database, in a transaction of the caller: all of them or none. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import type { CopyTarget } from '../copy.ts';
import type { Table } from '../snapshot.ts';
import { type Row, text } from '../sqlite/rows.ts';
import type { Connection, Value } from './connection.ts';

/** Empties the tables first: what the migrations put there comes with the copy too. */
export async function postgresTarget(connection: Connection): Promise<CopyTarget> {
  const types = await columnTypes(connection);
  const tables = [...types].map(([name, columns]) => ({ name, columns: [...columns.keys()] }));
  for (const { name } of tables.toReversed()) await connection.run(`DELETE FROM "${name}"`);
  return {
    tables: async () => tables,
    insert: async (table, rows) => {
      const columns = types.get(table.name);
      if (columns === undefined) throw new InvariantError(`no table ${table.name}`);
      await connection.run(
        insertInto(table, columns),
        ...table.columns.map((column) => rows.map((row) => valueOf(row, column))),
      );
    },
  };
}

/** After the rows: numbers that the server gives out go on behind those that are there. */
export async function continueNumbers(connection: Connection): Promise<void> {
  for (const row of await connection.all(selectNumbered)) {
    const [table, column] = [text(row, 'table_name'), text(row, 'column_name')];
    await connection.all(
      `SELECT setval(pg_get_serial_sequence('"${table}"', '${column}'), coalesce(max("${column}"), 0) + 1, false)
       FROM "${table}"`,
    );
  }
}

type Types = ReadonlyMap<string, string>;

/** In the order in which the tables were made: a table is never older than one that it refers to. */
async function columnTypes(connection: Connection): Promise<ReadonlyMap<string, Types>> {
  const tables = new Map<string, Map<string, string>>();
  for (const row of await connection.all(selectColumns)) {
    const name = text(row, 'table_name');
    const columns = tables.get(name) ?? new Map<string, string>();
    tables.set(name, columns.set(text(row, 'column_name'), text(row, 'type')));
  }
  return tables;
}

function insertInto({ name, columns }: Table, types: Types): string {
  const arrays = columns.map((column, index) => `$${index + 1}::${types.get(column) ?? ''}[]`);
  const names = columns.map((column) => `"${column}"`);
  return `INSERT INTO "${name}" (${names.join(', ')}) SELECT * FROM unnest(${arrays.join(', ')})`;
}

function valueOf(row: Row, column: string): Value {
  const value = row[column] ?? null;
  if (typeof value !== 'bigint') return value;
  throw new InvariantError(`${column} holds a number beyond 2^53`);
}

const selectColumns = `
  SELECT relname::text AS table_name, attname::text AS column_name,
         format_type(atttypid, NULL) AS type
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
  WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'store_state' AND attnum > 0 AND NOT attisdropped
  ORDER BY pg_class.oid, attnum`;

const selectNumbered = `
  SELECT relname::text AS table_name, attname::text AS column_name
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
  WHERE relnamespace = current_schema()::regnamespace AND attidentity <> ''`;
