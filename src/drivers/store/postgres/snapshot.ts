/** One moment of a schema on PostgreSQL; whoever writes it goes on meanwhile. */
import type { Client } from 'pg';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { type Snapshot, type Table, tablesFrom } from '../snapshot.ts';
import { type Row, text } from '../sqlite/rows.ts';
import { describeAddress, type StoreAddress } from './address.ts';
import { ClientConnection, connect, disconnect } from './connection.ts';
import { environmentFault } from './faults.ts';

export interface SnapshotOptions {
  readonly address: StoreAddress;
  readonly password?: () => Promise<string>;
  readonly schema: string;
}

/** Rows in one answer of the server. */
const pageRows = 2_000;
/** A statement that walks a table of millions may take this long. */
const statementTimeoutMs = 3_600_000;

/** Changes nothing. Rejects with an `EnvironmentError` when the server is away or has no such schema. */
export async function openPostgresSnapshot(options: SnapshotOptions): Promise<Snapshot> {
  const { address, password, schema } = options;
  let client: Client | undefined;
  try {
    client = await connect({
      address,
      password,
      schema,
      applicationName: `birthmark reader of process ${process.pid}`,
      statementTimeoutMs,
      lockTimeoutMs: 5_000,
    });
    const connection = new ClientConnection(client);
    await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await connection.execute('SET LOCAL enable_seqscan = on');
    const found = await connection.once('SELECT 1 FROM pg_namespace WHERE nspname = $1', schema);
    if (found.length === 0) {
      throw new EnvironmentError(`${describeAddress(address)} has no schema ${schema}`, {
        retryable: false,
      });
    }
    return new PostgresSnapshot(client, connection);
  } catch (error) {
    if (client !== undefined) await disconnect(client);
    throw environmentFault(error, `cannot read ${describeAddress(address)}`);
  }
}

class PostgresSnapshot implements Snapshot {
  readonly #client: Client;
  readonly #connection: ClientConnection;
  #cursors = 0;

  constructor(client: Client, connection: ClientConnection) {
    this.#client = client;
    this.#connection = connection;
  }

  async *rows(sql: string, ...values: ReadonlyArray<string | number>): AsyncGenerator<Row, void> {
    this.#cursors += 1;
    const cursor = `reading_${this.#cursors}`;
    try {
      await this.#connection.once(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${sql}`, ...values);
      for (;;) {
        const page = await this.#connection.once(`FETCH ${pageRows} FROM ${cursor}`);
        yield* page;
        if (page.length < pageRows) break;
      }
      await this.#connection.execute(`CLOSE ${cursor}`);
    } catch (error) {
      throw environmentFault(error, 'cannot read the database');
    }
  }

  /** Of pages the server has checksums of its own, which it tells when it reads them. */
  async *damage(): AsyncGenerator<string, void> {
    const references: Row[] = [];
    for await (const row of this.rows(selectReferences)) references.push(row);
    for (const row of references) {
      const [table, column] = [text(row, 'table_name'), text(row, 'column_name')];
      const [parent, key] = [text(row, 'parent_name'), text(row, 'key_name')];
      const dangling = `
        SELECT 1 FROM ${table} AS child WHERE ${column} IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM ${parent} WHERE ${parent}.${key} = child.${column})`;
      for await (const _ of this.rows(dangling)) {
        yield `a row of ${table} refers to a row of ${parent} that is not there`;
      }
    }
  }

  tables(): Promise<readonly Table[]> {
    return tablesFrom(this.rows(selectTables));
  }

  async close(): Promise<void> {
    await disconnect(this.#client);
  }
}

/** A table is never older than one that it refers to. */
const selectTables = `
  SELECT relname AS table_name, attname AS column_name
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
  WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
    AND relname <> 'store_state' AND attnum > 0 AND NOT attisdropped
  ORDER BY pg_class.oid, attnum`;

/** Constraints of one column each, as all of ours are. */
const selectReferences = `
  SELECT child.relname AS table_name, parent.relname AS parent_name,
         referring.attname AS column_name, referred.attname AS key_name
  FROM pg_constraint
  JOIN pg_class AS child ON child.oid = conrelid
  JOIN pg_class AS parent ON parent.oid = confrelid
  JOIN pg_attribute AS referring ON referring.attrelid = conrelid AND referring.attnum = conkey[1]
  JOIN pg_attribute AS referred ON referred.attrelid = confrelid AND referred.attnum = confkey[1]
  WHERE contype = 'f' AND connamespace = current_schema()::regnamespace`;
