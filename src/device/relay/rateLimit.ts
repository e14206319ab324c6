/** A token bucket for each link address, for the busiest ones of the moment: one babbler cannot fill the uplink. */

export interface RateLimit {
  /** Frames at once, after silence. */
  readonly burst: number;
  readonly perSecond: number;
}

interface Bucket {
  tokens: number;
  filledMs: number;
}

export class RateLimiter {
  readonly #limit: RateLimit;
  readonly #maximumAddresses: number;
  /** In the order of their last frame, oldest first. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(limit: RateLimit, maximumAddresses: number) {
    this.#limit = limit;
    this.#maximumAddresses = maximumAddresses;
  }

  /** Whether this address may send a frame now. */
  take(address: string, nowMs: number): boolean {
    const { burst, perSecond } = this.#limit;
    const bucket = this.#buckets.get(address) ?? { tokens: burst, filledMs: nowMs };
    bucket.tokens = Math.min(burst, bucket.tokens + ((nowMs - bucket.filledMs) / 1000) * perSecond);
    bucket.filledMs = nowMs;
    // Once more at the end: who is silent longest is forgotten first, and would have a full bucket anyway.
    this.#buckets.delete(address);
    this.#buckets.set(address, bucket);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > this.#maximumAddresses && oldest !== undefined) {
      this.#buckets.delete(oldest);
    }
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}
