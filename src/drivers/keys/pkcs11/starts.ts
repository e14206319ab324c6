/** How soon a process may be started after the last one: at once when all was well, ever later while it is not. */

const firstPauseMs = 250;
const longestPauseMs = 4_000;

export class Starts {
  #count = 0;
  #lastMs = -Infinity;

  /** Takes the next start; it may happen after that many milliseconds. `nowMs` is of a clock that never goes back. */
  next(nowMs: number): number {
    const sinceMs = nowMs - this.#lastMs;
    // What ran for this long, or was not missed for this long, is no series of failures.
    if (sinceMs >= 2 * longestPauseMs) this.#count = 0;
    const pauseMs =
      this.#count === 0 ? 0 : Math.min(firstPauseMs * 2 ** (this.#count - 1), longestPauseMs);
    const waitMs = Math.max(0, pauseMs - sinceMs);
    this.#count++;
    this.#lastMs = nowMs + waitMs;
    return waitMs;
  }
}
