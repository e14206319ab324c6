/**
 * Up to which id every intent has its signature. It only grows, and what is below it stays finished: nobody
 * has to look there again, at the next start either. Kept as a setting when it has come far enough.
 */
export const finishedSetting = 'finished-up-to';

/** Ids between two writings. */
const worthSaving = 20_000;

export class FinishedMark {
  #upTo: number;
  #saved: number;

  constructor(stored: Uint8Array | undefined) {
    const saved = stored?.length === 8 ? new DataView(stored.slice().buffer).getBigUint64(0) : 0n;
    this.#upTo = Number(saved);
    this.#saved = this.#upTo;
  }

  /** Where a search behind `afterId` may begin. */
  from(afterId: number): number {
    return Math.max(afterId, this.#upTo);
  }

  /**
   * A search that began at `from` found this one first, or none up to `lastId`, which was the largest before
   * it. Gives what is worth being stored.
   */
  found(from: number, first: number | undefined, lastId: number): Uint8Array | undefined {
    if (from > this.#upTo) return undefined;
    this.#upTo = Math.max(this.#upTo, first === undefined ? lastId : first - 1);
    if (this.#upTo - this.#saved < worthSaving) return undefined;
    this.#saved = this.#upTo;
    const stored = new Uint8Array(8);
    new DataView(stored.buffer).setBigUint64(0, BigInt(this.#upTo));
    return stored;
  }
}
