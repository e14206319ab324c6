/**
 * Gathers what single units ask for into few requests, without a timer. A request leaves when enough wait
 * for it, or when nobody is left who could still join: one slow handler gets an answer at once, a fast
 * line gets full requests.
 */

/** How many units are being worked on, and how many of them wait for an answer at the moment. */
export class Crowd {
  #present = 0;
  #waiting = 0;
  readonly #listeners: Array<() => void> = [];

  /** Everybody waits: nobody will join any more before somebody is answered. */
  get isStill(): boolean {
    return this.#waiting >= this.#present;
  }

  enter(): void {
    this.#present += 1;
  }

  leave(): void {
    this.#present -= 1;
    this.#tell();
  }

  async wait<Answer>(answer: Promise<Answer>): Promise<Answer> {
    this.#waiting += 1;
    this.#tell();
    try {
      return await answer;
    } finally {
      this.#waiting -= 1;
    }
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

export interface BatchLimits {
  /** In one request at most. */
  readonly most: number;
  /** From this many on a request leaves at once, though others could still join. */
  readonly enough: number;
  /** Requests under way at the same time. */
  readonly concurrency: number;
}

export class Batcher<Item, Answer> {
  readonly #limits: BatchLimits;
  readonly #crowd: Crowd;
  readonly #send: (items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly #queue: Array<Waiting<Item, Answer>> = [];
  #underWay = 0;
  #scheduled = false;

  /** `send` answers every item, in order. */
  constructor(
    limits: BatchLimits,
    crowd: Crowd,
    send: (items: readonly Item[]) => Promise<readonly Answer[]>,
  ) {
    this.#limits = limits;
    this.#crowd = crowd;
    this.#send = send;
    crowd.onChange(() => this.#schedule());
  }

  /** For a member of the crowd. Rejects with whatever the request that carried the item rejected with. */
  submit(item: Item): Promise<Answer> {
    return this.#crowd.wait(
      new Promise((resolve, reject) => {
        this.#queue.push({ item, resolve, reject });
      }),
    );
  }

  /** After the present callbacks, so that those who come together travel together. */
  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    void Promise.resolve().then(() => {
      this.#scheduled = false;
      return this.#drain();
    });
  }

  #drain(): void {
    const { most, enough, concurrency } = this.#limits;
    while (this.#queue.length > 0 && this.#underWay < concurrency) {
      if (this.#queue.length < enough && !this.#crowd.isStill) return;
      const batch = this.#queue.splice(0, most);
      this.#underWay += 1;
      void this.#deliver(batch).then(() => {
        this.#underWay -= 1;
        return this.#schedule();
      });
    }
  }

  async #deliver(batch: ReadonlyArray<Waiting<Item, Answer>>): Promise<void> {
    try {
      const answers = await this.#send(batch.map(({ item }) => item));
      for (const [index, { resolve, reject }] of batch.entries()) {
        const answer = answers[index];
        if (answer === undefined) reject(new TypeError('an item was not answered'));
        else resolve(answer);
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
}

interface Waiting<Item, Answer> {
  readonly item: Item;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}
