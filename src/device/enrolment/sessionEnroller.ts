/**
 * Keeps the operational certificate of a device without TLS in force: asks for the first one, and for
 * another before the present one ends. Whatever fails is tried again; the session goes on meanwhile.
 */
import { isRetryable } from '../ports/faults.ts';
import { pauseOf, type RetryPolicy } from '../ports/retry.ts';
import type { Timer } from '../ports/timer.ts';
import {
  enrolInSession,
  type SessionEnrolmentOptions,
  type SessionEnrolmentOutcome,
  type SessionEnrolmentPorts,
} from './sessionEnrolment.ts';

export interface SessionEnrollerPorts extends SessionEnrolmentPorts {
  readonly timer: Timer;
}

export type SessionEnrollerOptions = Partial<Omit<SessionEnrolmentOptions, 'blockBytes'>> &
  Pick<SessionEnrolmentOptions, 'blockBytes'> & {
    /** Between attempts that came to nothing; a refusal waits for the longest. */
    readonly retry?: RetryPolicy;
  };

export type SessionEnrollerEvent =
  | SessionEnrolmentOutcome
  /** The session ended, or the element did not answer: tried again. */
  | { readonly kind: 'interrupted'; readonly reason: string }
  /** It will not get better without a person. */
  | { readonly kind: 'failed'; readonly error: unknown };

export const enrollerRetry: RetryPolicy = { firstMs: 30_000, longestMs: 6 * 3_600_000 };

/** Timers of microcontrollers are short and clocks are set late: the certificate is looked at daily. */
const lookAgainMs = 86_400_000;

export class SessionEnroller {
  readonly #ports: SessionEnrollerPorts;
  readonly #options: SessionEnrollerOptions;
  readonly #report: (event: SessionEnrollerEvent) => void;
  #cancelTimer: () => void = () => undefined;
  #running: Promise<void> = Promise.resolve();
  #attempts = 0;
  #stopped = false;

  private constructor(
    ports: SessionEnrollerPorts,
    options: SessionEnrollerOptions,
    report: (event: SessionEnrollerEvent) => void,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#report = report;
  }

  /** Begins at once. A port that has no session yet keeps it waiting, no longer than it pleases. */
  static start(
    ports: SessionEnrollerPorts,
    options: SessionEnrollerOptions,
    report: (event: SessionEnrollerEvent) => void,
  ): SessionEnroller {
    const enroller = new SessionEnroller(ports, options, report);
    enroller.#running = enroller.#run();
    return enroller;
  }

  /** Resolves when nothing is under way; to be called when the exchange is closed already. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.#running;
  }

  async #run(): Promise<void> {
    const outcome = await this.#attempt();
    if (this.#stopped) return;
    this.#report(outcome);
    if (outcome.kind === 'failed') this.#stopped = true;
    else this.#wakeAfter(this.#pauseAfter(outcome));
  }

  async #attempt(): Promise<SessionEnrollerEvent> {
    try {
      return await enrolInSession(this.#ports, this.#options);
    } catch (error) {
      if (!isRetryable(error)) return { kind: 'failed', error };
      const reason = error instanceof Error ? error.message : String(error);
      return { kind: 'interrupted', reason };
    }
  }

  #pauseAfter(outcome: Exclude<SessionEnrollerEvent, { readonly kind: 'failed' }>): number {
    const { crypto, clock } = this.#ports;
    const { retry = enrollerRetry } = this.#options;
    switch (outcome.kind) {
      case 'enrolled':
        this.#attempts = 0;
        return lookAgainMs;
      case 'in-force': {
        this.#attempts = 0;
        const nowMs = clock.nowMs();
        if (outcome.dueMs === undefined || nowMs === undefined) return lookAgainMs;
        return Math.min(lookAgainMs, Math.max(0, outcome.dueMs - nowMs));
      }
      case 'later':
        return outcome.retryAfterMs;
      case 'interrupted':
        return pauseOf(retry, this.#attempts++, crypto);
      case 'refused':
      case 'unacceptable':
        return retry.longestMs;
    }
  }

  #wakeAfter(pauseMs: number): void {
    const { timer } = this.#ports;
    this.#cancelTimer = timer.wakeAt(timer.nowMs() + pauseMs, () => {
      this.#running = this.#run();
      // The timer must not wait for days of radio: the run tells by itself what came of it.
      return Promise.resolve();
    });
  }
}
