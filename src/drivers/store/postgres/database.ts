/**
 * One schema of a PostgreSQL database, opened for good: durable, migrated, and written by group commit. As
 * on SQLite, `transact` gathers every caller that waits at the moment into one transaction on one
 * connection; a caller's promise resolves only after the commit that holds its work. A lost connection
 * fails the calls that were on it, retryable, and the next call makes a new one.
 */
import { Pool, type PoolClient } from 'pg';
import { hostname } from 'node:os';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Migration } from '../sqlite/migrations.ts';
import { describeAddress, type StoreAddress } from './address.ts';
import {
  ClientConnection,
  clientConfig,
  type Connection,
  type ConnectionOptions,
} from './connection.ts';
import { ConnectionLost, environmentFault, isConnectionLost, isEnvironmental } from './faults.ts';
import { Writer } from './writer.ts';

export interface PostgresOptions {
  readonly address: StoreAddress;
  /** Without it, what libpq's PGPASSWORD and PGPASSFILE say. */
  readonly password?: () => Promise<string>;
  readonly schema: string;
  readonly migrations: readonly Migration[];
  /** `exclusive` keeps every other process from writing for as long as this one is open. */
  readonly use: 'exclusive' | 'shared';
  readonly statementTimeoutMs?: number;
  readonly lockTimeoutMs?: number;
  /** Connections that read at the same time. */
  readonly readers?: number;
}

/** Callers in one commit at most, so that one caller's wait stays bounded; the rest go into the next. */
const maximumMembers = 500;
/** Callers that may wait; beyond it the server cannot keep up and waiting only hides it. */
const maximumWaiting = 100_000;

interface Member {
  /** Does the work; returns how to tell the caller once the commit has happened. */
  readonly run: (connection: Connection) => Promise<() => void>;
  readonly reject: (error: unknown) => void;
}

export class PostgresDatabase {
  readonly #writer: Writer;
  readonly #readers: Pool;
  readonly #waiting: Member[] = [];
  /** Resolves when nobody waits any more. */
  #committing: Promise<void> | undefined;
  #closed = false;

  private constructor(writer: Writer, readers: Pool) {
    this.#writer = writer;
    this.#readers = readers;
  }

  /**
   * Makes the schema when it is missing and brings its tables up to date. Rejects with an
   * `EnvironmentError` when the server is away or refuses, another process holds the schema, or a newer
   * version made it.
   */
  static async open(options: PostgresOptions): Promise<PostgresDatabase> {
    const { address, schema, statementTimeoutMs = 30_000, lockTimeoutMs = 5_000 } = options;
    const connection: ConnectionOptions = {
      address,
      password: options.password,
      schema,
      applicationName: `birthmark ${schema} of process ${process.pid} on ${hostname()}`.slice(
        0,
        63,
      ),
      statementTimeoutMs,
      lockTimeoutMs,
    };
    const { migrations, use } = options;
    const writer = await Writer.open({ ...connection, migrations, use });
    const readers = new Pool({ ...clientConfig(connection), max: options.readers ?? 4 });
    // Of a connection that dies in the pool; it is replaced when somebody reads.
    readers.on('error', () => undefined);
    // The pool listens while a connection is idle alone; one that dies at work tells whoever works with it.
    readers.on('connect', (client) => client.on('error', () => undefined));
    return new PostgresDatabase(writer, readers);
  }

  /**
   * Runs `work` in a transaction together with whoever else waits. What it wrote is durable when the
   * promise resolves. When it throws, its own writes are undone, those of others stay, and the promise
   * rejects with that error; faults of the server become an `EnvironmentError`.
   *
   * `work` awaits nothing but its connection, and may be run a second time after all that it did was
   * undone. When the connection is lost while it commits, nobody knows whether it did: what is called
   * again has to be such that a second time changes nothing, as every port of `trust` asks anyway.
   */
  transact<Result>(work: (connection: Connection) => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new TypeError('the database is closed');
      if (this.#waiting.length >= maximumWaiting) {
        throw new EnvironmentError('the server does not keep up', { retryable: true });
      }
      this.#waiting.push({
        run: async (connection) => {
          const result = await work(connection);
          return () => {
            resolve(result);
          };
        },
        reject,
      });
      this.#committing ??= this.#commitAll();
    });
  }

  /** Reads what is committed. Must not write. */
  read<Result>(work: (connection: Connection) => Promise<Result>): Promise<Result> {
    return this.#reading(work);
  }

  /**
   * Reads one moment of the database, however many statements and however long it takes; others write
   * meanwhile.
   */
  snapshot<Result>(work: (connection: Connection) => Promise<Result>): Promise<Result> {
    return this.#reading(async (connection) => {
      await connection.execute('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      try {
        return await work(connection);
      } finally {
        await connection.execute('ROLLBACK');
      }
    });
  }

  /** Commits what waits, then lets go of connections and lock. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#committing;
    await this.#writer.close();
    await this.#readers.end();
  }

  async #reading<Result>(work: (connection: ClientConnection) => Promise<Result>): Promise<Result> {
    if (this.#closed) throw new TypeError('the database is closed');
    const client = await this.#reader();
    let lost = true;
    try {
      const result = await work(new ClientConnection(client));
      lost = false;
      return result;
    } catch (error) {
      lost = isConnectionLost(error);
      throw environmentFault(error, 'cannot read the database');
    } finally {
      client.release(lost);
    }
  }

  async #reader(): Promise<PoolClient> {
    try {
      return await this.#readers.connect();
    } catch (error) {
      const cause = isEnvironmental(error) ? error : new ConnectionLost(error);
      throw environmentFault(cause, 'cannot read the database');
    }
  }

  async #commitAll(): Promise<void> {
    // Whoever calls in the same turn of the event loop joins; later on, whoever calls during a commit.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) await this.#commit(this.#waiting.splice(0, maximumMembers));
    this.#committing = undefined;
  }

  async #commit(members: readonly Member[]): Promise<void> {
    try {
      // Work seldom throws: a savepoint each, which costs as much as a statement, waits until one does.
      const settled = (await this.#attempt(members, false)) ?? (await this.#attempt(members, true));
      for (const settle of settled ?? []) settle();
    } catch (error) {
      const fault = environmentFault(error, 'cannot write the database');
      for (const member of members) member.reject(fault);
    }
  }

  /** `undefined`: one of several members threw, and nothing of anybody was written. */
  async #attempt(
    members: readonly Member[],
    savepoints: boolean,
  ): Promise<ReadonlyArray<() => void> | undefined> {
    const settled: Array<() => void> = [];
    const connection = await this.#writer.begin();
    try {
      for (const member of members) {
        if (savepoints) await connection.execute('SAVEPOINT member');
        try {
          settled.push(await member.run(connection));
        } catch (error) {
          // A server that fails concerns every member.
          if (isEnvironmental(error) || members.length === 1) throw error;
          if (!savepoints) {
            await this.#writer.rollBack(error);
            return undefined;
          }
          await connection.execute('ROLLBACK TO member');
          settled.push(() => {
            member.reject(error);
          });
        }
        if (savepoints) await connection.execute('RELEASE member');
      }
      // A crash before this line leaves nothing of any member; after it, everything of those that settled.
      await this.#writer.commit(connection);
      return settled;
    } catch (error) {
      await this.#writer.rollBack(error);
      throw error;
    }
  }
}

/** For people: which database this is. */
export function describeStore(address: StoreAddress): string {
  return `PostgreSQL, ${describeAddress(address)}`;
}
