/**
 * The one connection on which a process writes. Transactions of all processes on a schema follow one another
 * under an advisory lock, so that what a transaction has read stays true until its commit: the stores check,
 * then write, exactly as on SQLite.
 *
 * A process that wants the schema for itself keeps the lock for its life. It belongs to the very connection
 * that writes: whoever has lost the lock has lost the means to write, and there is no moment in between.
 */
import type { Client } from 'pg';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Migration } from '../sqlite/migrations.ts';
import { integer, text } from '../sqlite/rows.ts';
import { describeAddress } from './address.ts';
import { ClientConnection, connect, type ConnectionOptions, disconnect } from './connection.ts';
import { environmentFault, isConnectionLost, isReadOnly } from './faults.ts';
import { migrate } from './migrations.ts';

export interface WriterOptions extends ConnectionOptions {
  readonly migrations: readonly Migration[];
  /** `shared`: several processes take turns, transaction by transaction. */
  readonly use: 'exclusive' | 'shared';
}

interface Session {
  readonly client: Client;
  readonly connection: ClientConnection;
}

export class Writer {
  readonly #options: WriterOptions;
  #session: Session | undefined;
  /** Of an exclusive writer: the number of its turn. */
  #epoch: number | undefined;

  private constructor(options: WriterOptions) {
    this.#options = options;
  }

  /** Tables are up to date, and an exclusive writer has the lock, when it resolves. */
  static async open(options: WriterOptions): Promise<Writer> {
    const writer = new Writer(options);
    await writer.#connected(async (session) => {
      await writer.#prepare(session.connection);
      return session;
    });
    return writer;
  }

  /**
   * A transaction that has begun, on a new connection when the last one was lost. Rejects with an
   * `EnvironmentError` when the server is away, or when another process has taken over: for good then,
   * since what this one knows may be of before.
   */
  async begin(): Promise<ClientConnection> {
    this.#session ??= await this.#connected((session) => this.#resume(session));
    const { connection } = this.#session;
    try {
      await connection.execute('BEGIN');
      if (this.#options.use === 'shared')
        await connection.all(lockForTransaction, this.#options.schema);
      return connection;
    } catch (error) {
      await this.rollBack(error);
      throw error;
    }
  }

  /** When it rejects with a lost connection, nobody knows whether the server committed. */
  async commit(connection: ClientConnection): Promise<void> {
    // A statement that failed unnoticed turns COMMIT into ROLLBACK, which the server tells in its tag alone.
    if ((await connection.execute('COMMIT')) !== 'COMMIT') {
      throw new TypeError('work went on after its statement had failed');
    }
  }

  /** Leaves no transaction behind: where it cannot be rolled back the connection is given up. Never rejects. */
  async rollBack(cause: unknown): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    try {
      // A session that began while the server took no writes may take none for as long as it lives.
      if (isConnectionLost(cause) || isReadOnly(cause)) throw cause;
      await session.connection.execute('ROLLBACK');
    } catch {
      this.#session = undefined;
      await disconnect(session.client);
    }
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    if (session !== undefined) await disconnect(session.client);
  }

  async #connected(prepare: (session: Session) => Promise<Session>): Promise<Session> {
    const { address } = this.#options;
    let client: Client | undefined;
    try {
      client = await connect(this.#options);
      const lost = client;
      client.once('end', () => {
        if (this.#session?.client === lost) this.#session = undefined;
      });
      const session = await prepare({ client, connection: new ClientConnection(client) });
      this.#session = session;
      return session;
    } catch (error) {
      if (client !== undefined) await disconnect(client);
      throw environmentFault(error, `cannot open ${describeAddress(address)}`);
    }
  }

  /** At the first connection: lock, tables, and a new turn. */
  async #prepare(connection: ClientConnection): Promise<void> {
    const { schema, migrations, use } = this.#options;
    if (use === 'exclusive') await this.#lock(connection);
    await connection.execute('BEGIN');
    await connection.all(lockForTransaction, schema);
    await migrate(connection, schema, migrations);
    if (use === 'exclusive') {
      const row = await connection.first(
        'UPDATE store_state SET epoch = epoch + 1 RETURNING epoch',
      );
      this.#epoch = integer(row ?? {}, 'epoch');
    }
    await this.commit(connection);
  }

  /** At every later one. */
  async #resume(session: Session): Promise<Session> {
    const { connection } = session;
    if (this.#options.use === 'shared') return session;
    await this.#lock(connection);
    const row = await connection.first('SELECT epoch FROM store_state');
    if (integer(row ?? {}, 'epoch') === this.#epoch) return session;
    throw new EnvironmentError(
      `another process has written ${describeAddress(this.#options.address)} meanwhile: start this one anew`,
      { retryable: false },
    );
  }

  async #lock(connection: ClientConnection): Promise<void> {
    const { schema, address } = this.#options;
    try {
      await connection.all(lockForSession, schema);
    } catch (error) {
      if (isConnectionLost(error)) throw error;
      const holder = await connection.first(selectHolder, schema);
      if (holder === undefined) throw error;
      throw new EnvironmentError(
        `${describeAddress(address)} is in use by ${text(holder, 'holder')}`,
        // Our own former connection may hold it still, until the server notices that it is gone.
        { retryable: this.#epoch !== undefined, cause: error },
      );
    }
  }
}

// One lock a schema; a hash, since the server names these locks by a number.
const lockForSession = `SELECT pg_advisory_lock(hashtextextended('birthmark ' || $1::text, 0))`;
const lockForTransaction = `SELECT pg_advisory_xact_lock(hashtextextended('birthmark ' || $1::text, 0))`;

const selectHolder = `
  SELECT coalesce(application_name, 'another process') || ' (server process ' || pid || ')' AS holder
  FROM pg_locks LEFT JOIN pg_stat_activity USING (pid)
  WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND (classid::bigint << 32) | objid::bigint = hashtextextended('birthmark ' || $1::text, 0)
  LIMIT 1`;
