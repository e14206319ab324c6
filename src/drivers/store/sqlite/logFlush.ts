/**
 * The flush that makes commits durable, beside the event loop. SQLite appends a commit to its write-ahead
 * log and goes on (`synchronous = NORMAL`); the log is one file, so that a flush of it makes every commit
 * durable that was appended before. Whoever asked for a commit is told after that flush.
 */
import { closeSync, fdatasync, fdatasyncSync, openSync } from 'node:fs';

export class LogFlush {
  readonly #descriptor: number;
  #underWay = false;
  #closed = false;

  /** The log has to be there; it stays the same file as long as its database is open. */
  constructor(databasePath: string) {
    this.#descriptor = openSync(`${databasePath}-wal`, 'r+');
  }

  /** One at a time. Tells an error of the file system, or `null`. */
  flush(done: (error: unknown) => void): void {
    this.#underWay = true;
    fdatasync(this.#descriptor, (error) => {
      this.#underWay = false;
      if (this.#closed) closeSync(this.#descriptor);
      done(error);
    });
  }

  /** On the caller's thread; throws what the file system says. */
  flushNow(): void {
    fdatasyncSync(this.#descriptor);
  }

  close(): void {
    this.#closed = true;
    // A number that is given to another file must not be flushed in its place.
    if (!this.#underWay) closeSync(this.#descriptor);
  }
}
