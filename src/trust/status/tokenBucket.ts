/** How often something costly is done for people whom we do not know. */
import type { Clock } from '../ports/clock.ts';

export interface Rate {
  readonly perSecond: number;
  /** At once, after a time of silence. */
  readonly burst: number;
}

export class TokenBucket {
  readonly #rate: Rate;
  readonly #clock: Clock;
  #tokens: number;
  #filledMs: number;

  constructor(rate: Rate, clock: Clock) {
    this.#rate = rate;
    this.#clock = clock;
    this.#tokens = rate.burst;
    this.#filledMs = clock.nowMs();
  }

  take(): boolean {
    const { perSecond, burst } = this.#rate;
    const nowMs = this.#clock.nowMs();
    // A clock that was put back fills nothing, and does not drain either.
    const elapsedMs = Math.max(0, nowMs - this.#filledMs);
    this.#tokens = Math.min(burst, this.#tokens + (elapsedMs / 1000) * perSecond);
    this.#filledMs = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
