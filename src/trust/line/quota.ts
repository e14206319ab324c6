/**
 * The station's own count of what a ticket still allows, so that it does not make keys in elements that
 * the authority would refuse. The authority counts for itself and alone decides.
 */
export class Quota {
  #free: number;
  /** Taken by units that may yet turn out not to need an identity. */
  #uncertain = 0;
  #closed = false;
  readonly #waiting: Array<(taken: boolean) => void> = [];

  constructor(free: number) {
    this.#free = Math.max(0, free);
  }

  /** Nothing left, and nothing that could come back. */
  get exhausted(): boolean {
    return this.#free === 0 && this.#uncertain === 0;
  }

  /** The authority says that there is nothing left. */
  close(): void {
    this.#free = 0;
    this.#closed = true;
    this.#turnAway();
  }

  /** Waits while the last places are taken by units that may give them back. */
  take(): Promise<boolean> {
    if (this.#free > 0) {
      this.#free -= 1;
      this.#uncertain += 1;
      return Promise.resolve(true);
    }
    if (this.#uncertain === 0) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** The unit asks for its identity. */
  confirm(): void {
    this.#uncertain -= 1;
    if (this.exhausted) this.#turnAway();
  }

  /** The unit was given up before it asked. */
  release(): void {
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next(true);
      return;
    }
    this.#uncertain -= 1;
    if (!this.#closed) this.#free += 1;
  }

  #turnAway(): void {
    for (const answer of this.#waiting.splice(0)) answer(false);
  }
}
