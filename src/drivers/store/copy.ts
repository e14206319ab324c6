/**
 * A database into one of the other kind, row by row, and the proof that both hold the same. Tables have the
 * same names and columns in both; where SQLite's row number says what came first, PostgreSQL has a column
 * `sequence`.
 */
import { createHash } from 'node:crypto';
import { InvariantError } from '../../trust/ports/faults.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { GrowingTree } from '../../wire/tlog/growingTree.ts';
import type { Snapshot, Table } from './snapshot.ts';
import { blob, type Row } from './sqlite/rows.ts';

export interface CopyTarget {
  /** Each behind those that it refers to. */
  tables(): Promise<readonly Table[]>;
  insert(table: Table, rows: readonly Row[]): Promise<void>;
}

export interface Contents {
  /** Rows of each table by its name. */
  readonly counts: Readonly<Record<string, number>>;
  /** Over every value of every row, whatever their order; hexadecimal, by table. */
  readonly digests: Readonly<Record<string, string>>;
  /** Of the audit log, where there is one: recomputed from its leaves. */
  readonly logSize: number;
  readonly logRoot: string;
}

/** Hears of every page. */
export type OnRows = (rows: number) => void;

const rowsTogether = 2_000;
/** Lists and certificates of a page in memory. */
const bytesTogether = 4 * 1024 * 1024;

/** Rejects with an `InvariantError` when the tables are not the same. */
export async function copyTables(
  source: Snapshot,
  target: CopyTarget,
  onRows: OnRows = () => undefined,
): Promise<void> {
  const own = await source.tables();
  for (const table of commonTables(own, await target.tables())) {
    for await (const rows of pagesOf(source.rows(selectOf(own, table)))) {
      await target.insert(table, rows);
      onRows(rows.length);
    }
  }
}

/** `tables`: those of both, as `commonTables` has them. */
export async function contentsOf(
  snapshot: Snapshot,
  tables: readonly Table[],
  onRows: OnRows = () => undefined,
): Promise<Contents> {
  const own = await snapshot.tables();
  const counts: Record<string, number> = {};
  const digests: Record<string, string> = {};
  const log = new GrowingTree((data) => createHash('sha256').update(data).digest());
  for (const table of tables) {
    const isLog = table.name === 'audit_leaves';
    const total = new Uint8Array(32);
    let rows = 0;
    for await (const row of snapshot.rows(
      `${selectOf(own, table)}${isLog ? ' ORDER BY id' : ''}`,
    )) {
      addTo(total, digestOf(row, table.columns));
      if (isLog) log.append(blob(row, 'entry'));
      rows += 1;
      if (rows % rowsTogether === 0) onRows(rowsTogether);
    }
    counts[table.name] = rows;
    digests[table.name] = toHex(total);
  }
  return { counts, digests, logSize: log.size, logRoot: toHex(log.root()) };
}

/** Where they differ, in words; empty when they are the same. */
export function differences(left: Contents, right: Contents): readonly string[] {
  const tables = Object.keys(left.counts).flatMap((name) => {
    const [one, other] = [left.counts[name], right.counts[name]];
    if (one !== other) return [`${name}: ${one} rows and ${other}`];
    return left.digests[name] === right.digests[name] ? [] : [`${name}: other rows`];
  });
  return left.logRoot === right.logRoot ? tables : [...tables, 'the log has another root'];
}

const rowNumber = 'sequence';

/** In the order of the second; with the row number as a column where either has it as one. */
export function commonTables(left: readonly Table[], right: readonly Table[]): readonly Table[] {
  const known = new Map(left.map(({ name, columns }) => [name, columns]));
  if (known.size !== right.length) throw new InvariantError('the databases differ in their tables');
  return right.map(({ name, columns }) => {
    const others = known.get(name) ?? [];
    const all = [...new Set([...columns, ...others])].toSorted();
    const lonely = all.filter(
      (column) => column !== rowNumber && !(columns.includes(column) && others.includes(column)),
    );
    if (lonely.length === 0) return { name, columns: all };
    throw new InvariantError(`the databases differ in ${name}: ${lonely.join(', ')}`);
  });
}

function selectOf(own: readonly Table[], { name, columns }: Table): string {
  const present = new Set(own.find((table) => table.name === name)?.columns);
  const selected = columns.map((column) =>
    present.has(column) ? `"${column}"` : `rowid AS "${column}"`,
  );
  return `SELECT ${selected.join(', ')} FROM "${name}"`;
}

async function* pagesOf(rows: AsyncIterable<Row>): AsyncGenerator<readonly Row[], void> {
  let page: Row[] = [];
  let bytes = 0;
  for await (const row of rows) {
    page.push(row);
    for (const value of Object.values(row)) if (value instanceof Uint8Array) bytes += value.length;
    if (page.length < rowsTogether && bytes < bytesTogether) continue;
    yield page;
    [page, bytes] = [[], 0];
  }
  if (page.length > 0) yield page;
}

/** Each value with its type and length in front, so that no two rows are written alike. */
function digestOf(row: Row, columns: readonly string[]): Uint8Array {
  const hash = createHash('sha256');
  for (const column of columns) {
    const value = row[column];
    if (value instanceof Uint8Array) hash.update(`b${value.length}:`).update(value);
    else if (value === null || value === undefined) hash.update('n');
    else hash.update(`${typeof value === 'string' ? 's' : 'i'}${String(value).length}:${value}`);
  }
  return hash.digest();
}

/** Rows are distinct, so that a sum without carries tells one set of them from another. */
function addTo(total: Uint8Array, digest: Uint8Array): void {
  for (const [index, byte] of digest.entries()) total[index] = (total[index] ?? 0) ^ byte;
}
