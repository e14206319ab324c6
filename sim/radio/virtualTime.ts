/**
 * A clock that stands still until the next event: whole days of a radio in milliseconds, and the same
 * order of events every time. Every event runs to its end before time goes on.
 */
import type { Timer } from '../../src/device/ports/timer.ts';

interface Planned {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => Promise<void>;
}

export class VirtualTime implements Timer {
  #nowMs = 0;
  #order = 0;
  readonly #planned = new Set<Planned>();
  readonly #held = new Set<Promise<unknown>>();
  /** Events that have run. */
  steps = 0;

  nowMs(): number {
    return this.#nowMs;
  }

  wakeAt(atMs: number, wake: () => Promise<void>): () => void {
    const planned = { atMs: Math.max(atMs, this.#nowMs), order: this.#order++, run: wake };
    this.#planned.add(planned);
    return () => this.#planned.delete(planned);
  }

  after(delayMs: number, run: () => Promise<void>): () => void {
    return this.wakeAt(this.#nowMs + delayMs, run);
  }

  /** Work that an event began and did not wait for: time stands still until it is done. */
  hold<Result>(work: Promise<Result>): Promise<Result> {
    this.#held.add(work);
    const release = (): boolean => this.#held.delete(work);
    work.then(release, release);
    return work;
  }

  /** Runs the earliest event; false when there is none. */
  async step(): Promise<boolean> {
    await this.#settle();
    let next: Planned | undefined;
    for (const planned of this.#planned) {
      if (next === undefined || comesBefore(planned, next)) next = planned;
    }
    if (next === undefined) return false;
    this.#planned.delete(next);
    this.#nowMs = next.atMs;
    this.steps += 1;
    await next.run();
    await this.#settle();
    return true;
  }

  /**
   * Lets time go on until `done` holds. Throws when nothing is left to happen, or when too much has:
   * a story that does not end is a defect.
   */
  async until(done: () => boolean, maximumSteps = 100_000): Promise<void> {
    for (let count = 0; !done(); count++) {
      if (count >= maximumSteps) throw new Error(`not done after ${maximumSteps} events`);
      if (!(await this.step())) throw new Error('nothing left to happen');
    }
  }

  /** Lets this much time pass, with everything that falls into it. */
  async pass(durationMs: number): Promise<void> {
    await this.#settle();
    const endMs = this.#nowMs + durationMs;
    while ([...this.#planned].some(({ atMs }) => atMs <= endMs)) await this.step();
    this.#nowMs = endMs;
  }

  async #settle(): Promise<void> {
    while (this.#held.size > 0) await Promise.allSettled(this.#held);
  }
}

function comesBefore(left: Planned, right: Planned): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}
