/** Points in time with something to do at each, the earliest first. Time is whatever the caller says. */

export interface Timer {
  readonly atMs: number;
  readonly run: (nowMs: number) => void;
  cancelled: boolean;
}

/** A binary heap. Cancelled timers stay in it until they would be due, or until they are the most of it. */
export class Timers {
  #heap: Timer[] = [];
  #cancelled = 0;

  /** Undefined when nothing waits. */
  get nextAtMs(): number | undefined {
    while (this.#heap[0]?.cancelled === true) {
      this.#removeFirst();
      this.#cancelled -= 1;
    }
    return this.#heap[0]?.atMs;
  }

  add(atMs: number, run: (nowMs: number) => void): Timer {
    const timer = { atMs, run, cancelled: false };
    this.#insert(timer);
    return timer;
  }

  /** Nothing happens when it ran or was cancelled before. */
  cancel(timer: Timer | undefined): void {
    if (timer === undefined || timer.cancelled) return;
    timer.cancelled = true;
    this.#cancelled += 1;
    if (this.#cancelled < 64 || this.#cancelled * 2 < this.#heap.length) return;
    const alive = this.#heap.filter(({ cancelled }) => !cancelled);
    this.#heap = [];
    this.#cancelled = 0;
    for (const each of alive) this.#insert(each);
  }

  /** Runs what is due, in the order of time; what that adds is run as well when it is due. */
  run(nowMs: number): void {
    for (let at = this.nextAtMs; at !== undefined && at <= nowMs; at = this.nextAtMs) {
      const timer = this.#removeFirst();
      if (timer === undefined) return;
      // What ran cannot be cancelled any more.
      timer.cancelled = true;
      timer.run(nowMs);
    }
  }

  #insert(timer: Timer): void {
    this.#heap.push(timer);
    let index = this.#heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (this.#at(parent) <= timer.atMs) return;
      this.#swap(index, parent);
      index = parent;
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
