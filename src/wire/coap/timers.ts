/** Points in time with something to do at each, the earliest first. Time is whatever the caller says. */

export interface Timer {
  readonly atMs: number;
  readonly run: (nowMs: number) => void;
  cancelled: boolean;
}

export function cancelTimer(timer: Timer | undefined): void {
  if (timer !== undefined) timer.cancelled = true;
}

/** A binary heap; cancelled timers stay in it until they would be due. */
export class Timers {
  readonly #heap: Timer[] = [];

  /** Undefined when nothing waits. */
  get nextAtMs(): number | undefined {
    while (this.#heap[0]?.cancelled === true) this.#removeFirst();
    return this.#heap[0]?.atMs;
  }

  add(atMs: number, run: (nowMs: number) => void): Timer {
    const timer = { atMs, run, cancelled: false };
    this.#heap.push(timer);
    let index = this.#heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#at(parent) <= timer.atMs) break;
      this.#swap(index, parent);
      index = parent;
    }
    return timer;
  }

  /** Runs what is due, in the order of time; what that adds is run as well when it is due. */
  run(nowMs: number): void {
    for (let at = this.nextAtMs; at !== undefined && at <= nowMs; at = this.nextAtMs) {
      this.#removeFirst()?.run(nowMs);
    }
  }

  #removeFirst(): Timer | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (last === undefined || last === first) return first;
    this.#heap[0] = last;
    let index = 0;
    for (;;) {
      const left = 2 * index + 1;
      const smaller = this.#at(left + 1) < this.#at(left) ? left + 1 : left;
      if (this.#at(smaller) >= last.atMs) return first;
      this.#swap(index, smaller);
      index = smaller;
    }
  }

  #at(index: number): number {
    return this.#heap[index]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  #swap(one: number, other: number): void {
    const left = this.#heap[one];
    const right = this.#heap[other];
    if (left === undefined || right === undefined) return;
    this.#heap[one] = right;
    this.#heap[other] = left;
  }
}
