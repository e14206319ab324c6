/**
 * Gathers what single units ask for into few requests, without a timer: while requests are under way,
 * newcomers wait and form the next one. One slow handler gets an answer at once, a fast line gets full
 * batches.
 */
export class Batcher<Item, Answer> {
  readonly #limit: number;
  readonly #concurrency: number;
  readonly #send: (items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly #waiting: Array<Waiting<Item, Answer>> = [];
  #underWay = 0;
  #scheduled = false;

  /** `send` answers every item, in order. */
  constructor(
    limits: { readonly items: number; readonly concurrency: number },
    send: (items: readonly Item[]) => Promise<readonly Answer[]>,
  ) {
    this.#limit = limits.items;
    this.#concurrency = limits.concurrency;
    this.#send = send;
  }

  /** Rejects with whatever the request that carried the item rejected with. */
  submit(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#schedule();
    });
  }

  /** After the present callbacks, so that those who come together travel together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void Promise.resolve().then(() => {
      this.#scheduled = false;
      return this.#drain();
    });
  }

  #drain(): void {
    while (this.#underWay < this.#concurrency && this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#limit);
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
