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

  /** Runs the earliest event; false when there is none. */
  async step(): Promise<boolean> {
    let next: Planned | undefined;
    for (const planned of this.#planned) {
      if (next === undefined || comesBefore(planned, next)) next = planned;
    }
    if (next === undefined) return false;
    this.#planned.delete(next);
    this.#nowMs = next.atMs;
    this.steps += 1;
    await next.run();
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
    const endMs = this.#nowMs + durationMs;
    while ([...this.#planned].some(({ atMs }) => atMs <= endMs)) await this.step();
    this.#nowMs = endMs;
  }
}

function comesBefore(left: Planned, right: Planned): boolean {
  return left.atMs < right.atMs || (left.atMs === right.atMs && left.order < right.order);
}
