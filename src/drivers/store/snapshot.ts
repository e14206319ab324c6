/** One moment of a database of either kind, for whoever checks, counts or copies all of it. */
import { type Row, text } from './sqlite/rows.ts';

export interface Table {
  readonly name: string;
  readonly columns: readonly string[];
}

export interface Snapshot {
  /**
   * Rows in the order of the statement, read in pages. The text is one that both kinds understand, with
   * values as `$1`, `$2`; sums are cast to BIGINT, since PostgreSQL makes them wider.
   */
  rows(sql: string, ...values: ReadonlyArray<string | number>): AsyncIterable<Row>;
  /** Of the program's making, each behind those that it refers to. */
  tables(): Promise<readonly Table[]>;
  /** What the database says of its own state, in words: pages, and rows that refer to none. */
  damage(): AsyncIterable<string>;
  close(): Promise<void>;
}

/** The first row; a statement that counts has always one. */
export async function firstRow(
  snapshot: Snapshot,
  sql: string,
  ...values: ReadonlyArray<string | number>
): Promise<Row> {
  for await (const row of snapshot.rows(sql, ...values)) return row;
  return {};
}

/** From rows of `table_name` and `column_name`, in order. */
export async function tablesFrom(rows: AsyncIterable<Row>): Promise<readonly Table[]> {
  const tables = new Map<string, string[]>();
  for await (const row of rows) {
    const name = text(row, 'table_name');
    const columns = tables.get(name) ?? [];
    columns.push(text(row, 'column_name'));
    tables.set(name, columns);
  }
  return [...tables].map(([name, columns]) => ({ name, columns }));
}
