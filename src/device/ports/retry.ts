/** When to send again: pauses that double, each a little longer by chance (RFC 7252 §4.2). */
import type { Crypto } from '../../wire/crypto/crypto.ts';

export interface RetryPolicy {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** Up to half as long again, so that two sensors that collided do not collide again. */
const randomFactor = 0.5;

/** `attempt` counts from 0. */
export function pauseOf(policy: RetryPolicy, attempt: number, crypto: Crypto): number {
  const pauseMs = Math.min(policy.firstMs * 2 ** Math.min(attempt, 40), policy.longestMs);
  const [chance = 0] = crypto.random(1);
  return pauseMs * (1 + (randomFactor * chance) / 255);
}
