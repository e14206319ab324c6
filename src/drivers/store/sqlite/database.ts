/**
 * One SQLite database, opened for good: durable, migrated, held by this process alone, and written by
 * group commit. `transact` gathers every caller that waits at the moment into one transaction, since a
 * commit with a disk flush costs as much as dozens of rows; a caller's promise resolves only after the
 * flush of the commit that holds its work. While the disk works the event loop goes on, and the callers
 * of the next commit gather.
 */
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { Checkpointer } from './checkpointer.ts';
import { environmentFault, isEnvironmental } from './faults.ts';
import { LogFlush } from './logFlush.ts';
import { type Migration, migrate } from './migrations.ts';
import { holdLock, type ProcessLock } from './processLock.ts';

export interface DatabaseOptions {
  readonly path: string;
  readonly migrations: readonly Migration[];
  /** Page cache of this connection. Default 64 MiB. */
  readonly cacheMebibytes?: number;
}

/** What work inside a transaction may use: synchronous, so that nothing else runs in between. */
export interface Connection {
  /** Prepared once and kept. The text has to be one of a fixed set, never built from values. */
  prepare(sql: string): StatementSync;
}

/** Callers in one commit at most, so that one caller's wait stays bounded; the rest go into the next. */
const maximumMembers = 2_000;
/** Callers that may wait; beyond it the disk cannot keep up and waiting only hides it. */
const maximumWaiting = 100_000;

interface Member {
  /** Does the work; returns how to tell the caller once the commit is durable. */
  readonly run: (connection: Connection) => () => void;
  readonly reject: (error: unknown) => void;
}

/** Whoever saw what the disk may not have yet. */
interface Witness {
  readonly settle: () => void;
  readonly reject: (error: unknown) => void;
}

export class SqliteDatabase implements Connection {
  readonly #database: DatabaseSync;
  readonly #lock: ProcessLock;
  readonly #log: LogFlush;
  readonly #checkpointer: Checkpointer;
  readonly #statements = new Map<string, StatementSync>();
  #waiting: Member[] = [];
  /** From the first caller that waits to the flush of its commit. */
  #busy = false;
  /** Of the commit that is being flushed. */
  #witnesses: Witness[] = [];
  /** A flush failed: what of the log is on the disk is unknown. */
  #doubtful = false;
  #rowsBefore = 0;
  #closed = false;

  /**
   * Creates the file when it is missing, and brings its tables up to date. Throws an `EnvironmentError`
   * when another process holds it, it was made by a newer version, or the disk says no.
   */
  constructor(options: DatabaseOptions) {
    this.#lock = holdLock(options.path);
    try {
      const { database, log } = connect(options);
      this.#database = database;
      this.#log = log;
    } catch (error) {
      this.#lock.release();
      throw environmentFault(error, `cannot open ${options.path}`);
    }
    this.#checkpointer = new Checkpointer(options.path);
  }

  prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  /**
   * Runs `work` in a transaction together with whoever else waits. What it wrote is durable when the
   * promise resolves. When it throws, its own writes are undone, those of others stay, and the promise
   * rejects with that error; database faults become an `EnvironmentError`. It is run once more when it
   * shared a commit with one that threw: it has to change nothing but the database.
   */
  transact<Result>(work: (connection: Connection) => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new TypeError('the database is closed');
      if (this.#waiting.length >= maximumWaiting) {
        throw new EnvironmentError('the disk does not keep up', { retryable: true });
      }
      this.#waiting.push({
        run: (connection) => {
          const result = work(connection);
          return () => {
            resolve(result);
          };
        },
        reject,
      });
      this.#schedule();
    });
  }

  /**
   * Reads what is committed. Must not write. The promise resolves when what was read is durable: nothing
   * may follow from a row that a loss of power takes back. `holds` tells of a result that it cannot be made
   * untrue that way, as that there is no row yet where rows are never deleted: it is told at once.
   */
  read<Result>(
    work: (connection: Connection) => Result,
    holds: (result: Result) => boolean = () => false,
  ): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new TypeError('the database is closed');
      try {
        this.#heal();
        const result = work(this);
        if (this.#witnesses.length === 0 || holds(result)) resolve(result);
        else this.#witnesses.push({ settle: () => resolve(result), reject });
      } catch (error) {
        throw environmentFault(error, 'cannot read the database');
      }
    });
  }

  /** Commits and flushes what waits, then lets go of file and lock. */
  close(): void {
    if (this.#closed) return;
    while (this.#waiting.length > 0) this.#commit();
    this.#closed = true;
    if (this.#witnesses.length > 0) this.#flushNow();
    this.#log.close();
    this.#checkpointer.close();
    this.#database.close();
    this.#lock.release();
  }

  #schedule(): void {
    if (this.#busy) return;
    this.#busy = true;
    // After the callbacks of this turn of the event loop: their calls join the same commit.
    setImmediate(() => {
      if (this.#closed) return;
      this.#commit();
      if (this.#witnesses.length === 0) this.#goOn();
      else this.#flush();
    });
  }

  #goOn(): void {
    this.#busy = false;
    if (this.#waiting.length > 0) this.#schedule();
  }

  #flush(): void {
    this.#log.flush((error) => {
      // Whoever closed the database meanwhile flushed it, and told everybody.
      if (this.#closed) return;
      this.#flushed(error);
      this.#goOn();
    });
  }

  #flushNow(): void {
    try {
      this.#log.flushNow();
    } catch (error) {
      this.#flushed(error);
      return;
    }
    this.#flushed(null);
  }

  #flushed(error: unknown): void {
    const witnesses = this.#witnesses;
    this.#witnesses = [];
    if (error === null) {
      for (const { settle } of witnesses) settle();
      return;
    }
    this.#doubtful = true;
    const fault = environmentFault(error, 'cannot write the database');
    for (const { reject } of witnesses) reject(fault);
  }

  /**
   * After a failed flush the system may take the lost pages of the log for written. Everything is written
   * once more, into the database itself, and the log begun anew; before that succeeds nothing is answered.
   */
  #heal(): void {
    if (!this.#doubtful) return;
    const { busy } = this.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() ?? {};
    if (busy !== 0) {
      throw new EnvironmentError('the disk has failed, and the database is being read', {
        retryable: true,
      });
    }
    this.#doubtful = false;
  }

  #commit(): void {
    const members = this.#waiting.splice(0, maximumMembers);
    try {
      this.#heal();
      this.#checkpointer.turn(this.#database);
      const settled = this.#runTogether(members) ?? this.#runApart(members);
      for (const [index, { reject }] of members.entries()) {
        const settle = settled[index];
        if (settle !== undefined) this.#witnesses.push({ settle, reject });
      }
      const rows = this.#changedRows();
      this.#checkpointer.changed(rows);
      if (rows === 0) this.#flushed(null);
    } catch (error) {
      this.#rollBack();
      const fault = environmentFault(error, 'cannot write the database');
      for (const member of members) member.reject(fault);
    }
  }

  /** Since it was asked before. */
  #changedRows(): number {
    const { n } = this.prepare('SELECT total_changes() AS n').get() ?? {};
    const rows = Number(n) - this.#rowsBefore;
    this.#rowsBefore += rows;
    return rows;
  }

  /**
   * The usual case. `undefined`, and nothing written, when one of several members throws; a savepoint for
   * each would tell which writes are its own, and make SQLite copy every page that is touched.
   */
  #runTogether(members: readonly Member[]): ReadonlyArray<() => void> | undefined {
    this.#database.exec('BEGIN IMMEDIATE');
    const settled: Array<() => void> = [];
    try {
      for (const member of members) settled.push(member.run(this));
    } catch (error) {
      if (members.length === 1 || isEnvironmental(error)) throw error;
      this.#rollBack();
      return undefined;
    }
    // A crash before this line leaves nothing of any member; after it, and a loss of power after the flush,
    // everything of all.
    this.#database.exec('COMMIT');
    return settled;
  }

  /** Each member in a savepoint: those that throw are undone alone. */
  #runApart(members: readonly Member[]): ReadonlyArray<() => void> {
    this.#database.exec('BEGIN IMMEDIATE');
    const settled = members.map((member) => {
      this.prepare('SAVEPOINT member').run();
      const settle = this.#runAlone(member);
      this.prepare('RELEASE member').run();
      return settle;
    });
    this.#database.exec('COMMIT');
    return settled;
  }

  #runAlone(member: Member): () => void {
    try {
      return member.run(this);
    } catch (error) {
      // A full or failing disk concerns every member, and SQLite may have ended the transaction already.
      if (isEnvironmental(error) || !this.#database.isTransaction) throw error;
      this.prepare('ROLLBACK TO member').run();
      return () => {
        member.reject(error);
      };
    }
  }

  #rollBack(): void {
    try {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch {
      // The transaction is gone either way: an unfinished one is not replayed from the journal.
    }
  }
}

function connect({ path, migrations, cacheMebibytes = 64 }: DatabaseOptions): {
  readonly database: DatabaseSync;
  readonly log: LogFlush;
} {
  // Before SQLite makes it: its journal and shared memory files inherit this mode.
  closeSync(openSync(path, 'a', 0o600));
  const database = new DatabaseSync(path, {
    enableForeignKeyConstraints: true,
    enableDoubleQuotedStringLiterals: false,
    timeout: 5_000,
  });
  try {
    database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA trusted_schema = OFF;
      PRAGMA cache_size = -${cacheMebibytes * 1024};
      PRAGMA wal_autocheckpoint = 0;
    `);
    migrate(database, migrations);
    // From here on `LogFlush` flushes what was committed.
    database.exec('PRAGMA synchronous = NORMAL');
    return { database, log: new LogFlush(path) };
  } catch (error) {
    database.close();
    throw error;
  }
}
