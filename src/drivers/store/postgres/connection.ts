/**
 * Statements on one connection. Their text is one of a fixed set and values travel beside it, so that a
 * statement is planned once a connection and no value can ever be read as SQL.
 */
import { Client, type ClientConfig, DatabaseError, TypeOverrides } from 'pg';
import { InvariantError } from '../../../trust/ports/faults.ts';
import type { Row } from '../sqlite/rows.ts';
import { type StoreAddress, tlsOptions } from './address.ts';
import { ConnectionLost } from './faults.ts';

export type Value = string | number | Uint8Array | null;

/** An array is one value of an array type, for statements about many rows at once. */
export type Parameter = Value | readonly Value[];

export interface Connection {
  all(sql: string, ...values: readonly Parameter[]): Promise<readonly Row[]>;
  first(sql: string, ...values: readonly Parameter[]): Promise<Row | undefined>;
  /** Returns how many rows changed. */
  run(sql: string, ...values: readonly Parameter[]): Promise<number>;
}

export interface ConnectionOptions {
  readonly address: StoreAddress;
  /** Asked for every connection, so that a changed password needs no restart. */
  readonly password: (() => Promise<string>) | undefined;
  /** Holds the tables. A name of ours, never of a peer. */
  readonly schema: string;
  /** What `pg_stat_activity` shows. */
  readonly applicationName: string;
  readonly statementTimeoutMs: number;
  /** How long a transaction waits for one of another process. */
  readonly lockTimeoutMs: number;
}

const connectTimeoutMs = 5_000;
/** Beyond the server's own timeout: the network, not the statement, is at fault. */
const answerMarginMs = 5_000;

export function clientConfig(options: ConnectionOptions): ClientConfig {
  const { address, password, schema, statementTimeoutMs, lockTimeoutMs } = options;
  if (!/^[a-z_]{1,40}$/.test(schema)) throw new TypeError('a schema has a plain name');
  return {
    host: address.host,
    port: address.port,
    user: address.user,
    database: address.database,
    ssl: tlsOptions(address),
    ...(password === undefined ? {} : { password }),
    application_name: options.applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    lock_timeout: lockTimeoutMs,
    idle_in_transaction_session_timeout: statementTimeoutMs,
    query_timeout: statementTimeoutMs + answerMarginMs,
    keepAlive: true,
    options: sessionOptions(schema),
    types: columnTypes,
  };
}

function sessionOptions(schema: string): string {
  const settings: Readonly<Record<string, string>> = {
    search_path: schema,
    // What a caller is told is stored has to survive the machine.
    synchronous_commit: 'on',
    // Every statement on the way of a request is a look-up by index. A plan that was made while the tables
    // were small must not stay a walk over them when they have grown.
    enable_seqscan: 'off',
    jit: 'off',
    // A server must notice within a minute that the other end is gone, since our lock lives as long as it.
    tcp_keepalives_idle: '20',
    tcp_keepalives_interval: '10',
    tcp_keepalives_count: '3',
    TimeZone: 'UTC',
  };
  return Object.entries(settings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ');
}

/** Statements on a client of `pg`. Whatever is not an answer of the server becomes `ConnectionLost`. */
export class ClientConnection implements Connection {
  readonly #client: Pick<Client, 'query'>;

  constructor(client: Pick<Client, 'query'>) {
    this.#client = client;
  }

  async all(sql: string, ...values: readonly Parameter[]): Promise<readonly Row[]> {
    return (await this.#query(sql, values)).rows;
  }

  async first(sql: string, ...values: readonly Parameter[]): Promise<Row | undefined> {
    return (await this.#query(sql, values)).rows[0];
  }

  async run(sql: string, ...values: readonly Parameter[]): Promise<number> {
    return (await this.#query(sql, values)).rowCount ?? 0;
  }

  /** Statements without values, in one round trip; for what is not prepared, such as BEGIN. */
  async execute(sql: string): Promise<string> {
    return answered(async () => (await this.#client.query(sql)).command);
  }

  /** A statement that is not kept, for those that are made from names of the catalogue. */
  async once(text: string, ...values: readonly Parameter[]): Promise<readonly Row[]> {
    return answered(
      async () => (await this.#client.query<Row>({ text, values: [...values] })).rows,
    );
  }

  #query(
    text: string,
    values: readonly Parameter[],
  ): Promise<{ readonly rows: readonly Row[]; readonly rowCount: number | null }> {
    const query = { name: nameOf(text), text, values: [...values] };
    return answered(() => this.#client.query<Row>(query));
  }
}

/** Connected, or `ConnectionLost`, or the server's own refusal. */
export async function connect(options: ConnectionOptions): Promise<Client> {
  const client = new Client(clientConfig(options));
  // Of a connection that dies while nobody asks; whoever asks next is told.
  client.on('error', () => undefined);
  await answered(() => client.connect());
  return client;
}

/** Never rejects. */
export async function disconnect(client: Client): Promise<void> {
  await client.end().catch(() => undefined);
}

async function answered<Result>(ask: () => Promise<Result>): Promise<Result> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof DatabaseError || error instanceof TypeError) throw error;
    throw new ConnectionLost(error);
  }
}

/** Names of prepared statements, the same on every connection of this process. */
const names = new Map<string, string>();

function nameOf(sql: string): string {
  const known = names.get(sql);
  if (known !== undefined) return known;
  if (names.size === maximumStatements) throw new InvariantError('SQL is built from values');
  const name = `birthmark_${names.size + 1}`;
  names.set(sql, name);
  return name;
}

const maximumStatements = 1_000;

const columnTypes = new TypeOverrides();
const typeOf = { bytea: 17, bigint: 20 } as const;
columnTypes.setTypeParser(typeOf.bytea, (text) => {
  if (!text.startsWith(String.raw`\x`)) throw new InvariantError('bytea_output is not hex');
  return new Uint8Array(Buffer.from(text.slice(2), 'hex'));
});
columnTypes.setTypeParser(typeOf.bigint, (text) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new InvariantError('a number beyond 2^53');
  return value;
});
