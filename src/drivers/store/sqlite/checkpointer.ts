/**
 * Brings what the write-ahead log holds into the database, on a thread of its own: the pages of a busy
 * minute are many, and the event loop would wait for the disk. The thread is started when there is much
 * to bring for the first time, and has a connection of its own for each pass.
 */
import type { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';

/** What crosses to the thread. */
export interface PassRequest {
  readonly path: string;
  readonly state: Int32Array<SharedArrayBuffer>;
}

/** Pages in the log when the pass ended, or none where it failed. */
export interface PassResult {
  readonly logPages: number;
}

export const passStates = { idle: 0, asked: 1, underWay: 2, calledOff: 3 } as const;

/** Rows that are changed between two passes. Half of them cost a page of the log, where keys are random. */
export const rowsBetweenPasses = 16_000;
/**
 * 128 MiB of log. A pass ends behind commits that came meanwhile, and only a log that is brought in whole
 * is begun anew: under a load that never pauses the event loop has to wait for the rest now and then.
 */
const maximumLogPages = 32_768;
/** For a pass that is under way when the database is closed. */
const patienceMs = 60_000;

export class Checkpointer {
  readonly #path: string;
  readonly #state = new Int32Array(new SharedArrayBuffer(4));
  #worker: Worker | undefined;
  #rows = 0;
  #logPages = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** A commit changed so many. */
  changed(rows: number): void {
    this.#rows += rows;
  }

  /** Between two commits, when nothing waits for a flush. */
  turn(database: DatabaseSync): void {
    if (this.#passState() !== passStates.idle) return;
    if (this.#logPages >= maximumLogPages) {
      // At the first turn behind a pass, when little has come meanwhile.
      database.exec('PRAGMA wal_checkpoint(PASSIVE)');
      this.#logPages = 0;
      this.#rows = 0;
    } else if (this.#rows >= rowsBetweenPasses) {
      this.#rows = 0;
      this.#ask();
    }
  }

  /** Returns when no pass is under way. */
  close(): void {
    const { asked, calledOff, underWay } = passStates;
    Atomics.compareExchange(this.#state, 0, asked, calledOff);
    Atomics.wait(this.#state, 0, underWay, patienceMs);
    void this.#worker?.terminate();
  }

  #ask(): void {
    Atomics.store(this.#state, 0, passStates.asked);
    this.#worker ??= this.#start();
    const request: PassRequest = { path: this.#path, state: this.#state };
    this.#worker.postMessage(request, []);
  }

  #start(): Worker {
    const worker = new Worker(new URL('checkpointThread.ts', import.meta.url));
    worker.on('message', ({ logPages }: PassResult) => {
      this.#logPages = logPages;
    });
    // The next turn starts another one; the log keeps everything until then.
    worker.on('error', () => {
      this.#worker = undefined;
      Atomics.store(this.#state, 0, passStates.idle);
    });
    worker.unref();
    return worker;
  }

  #passState(): number {
    return Atomics.load(this.#state, 0);
  }
}
