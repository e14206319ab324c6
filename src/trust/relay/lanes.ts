/** Work in lanes: one after the other within a lane, lanes side by side, each with a bounded queue. */

interface Lane {
  last: Promise<void>;
  waiting: number;
}

export class Lanes {
  readonly #lanes = new Map<string, Lane>();
  readonly #maximumPerLane: number;
  readonly #maximumInAll: number;
  #inAll = 0;

  constructor(maximumPerLane: number, maximumInAll: number) {
    this.#maximumPerLane = maximumPerLane;
    this.#maximumInAll = maximumInAll;
  }

  /** `undefined` when the lane, or all of them together, are full; the work is not done then. */
  run(name: string, work: () => Promise<void>): Promise<void> | undefined {
    const lane = this.#lanes.get(name) ?? { last: Promise.resolve(), waiting: 0 };
    if (lane.waiting >= this.#maximumPerLane || this.#inAll >= this.#maximumInAll) return undefined;
    lane.waiting += 1;
    this.#inAll += 1;
    this.#lanes.set(name, lane);
    const done = lane.last.then(work).finally(() => {
      lane.waiting -= 1;
      this.#inAll -= 1;
      if (lane.waiting === 0) this.#lanes.delete(name);
    });
    // A defect of one piece of work is its caller's; the next in the lane runs all the same.
    lane.last = done.catch(() => undefined);
    return done;
  }
}
