/**
 * Devices that have to enrol anew all at once come at a limited rate: one that is too many is told when to
 * come again, each a moment later than the one before, so that they do not all come again at once.
 */
import type { Clock } from '../ports/clock.ts';

/** Nobody is sent away for longer. */
const longestWaitMs = 3_600_000;

export class ReenrolmentPace {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  /** When the next one may come in. */
  #freeMs = 0;
  /** When the last one that was sent away was told to come again. */
  #promisedMs = 0;

  /** `perSecond`: greater than 0. */
  constructor(perSecond: number, clock: Clock) {
    if (!(perSecond > 0)) throw new TypeError('a pace of nobody');
    this.#intervalMs = 1000 / perSecond;
    this.#clock = clock;
  }

  /** `undefined`: come in. Else seconds after which to come again, at least 1. */
  retryAfterS(): number | undefined {
    const nowMs = this.#clock.nowMs();
    // One interval may be saved up: whoever comes a little early is not sent away for it.
    if (this.#freeMs <= nowMs + this.#intervalMs) {
      this.#freeMs = Math.max(this.#freeMs, nowMs) + this.#intervalMs;
      return undefined;
    }
    const earliestMs = Math.max(this.#promisedMs, this.#freeMs) + this.#intervalMs;
    this.#promisedMs = Math.min(earliestMs, nowMs + longestWaitMs);
    return Math.max(1, Math.ceil((this.#promisedMs - nowMs) / 1000));
  }
}
