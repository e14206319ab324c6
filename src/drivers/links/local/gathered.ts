/**
 * Calls that would each cost a message, sent together: a few messages are under way, and who asks
 * meanwhile goes into the next one. Who asks alone does not wait.
 */

/** Tells each caller, in their order, what became of its item; throwing tells it that one's error. */
export type SendTogether<Item, Outcome> = (
  items: readonly Item[],
) => Promise<ReadonlyArray<() => Outcome>>;

interface Call<Item, Outcome> {
  readonly item: Item;
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/** One is answered while the next one gathers; more would make the groups small. */
const messagesUnderWay = 2;

export class Gathered<Item, Outcome> {
  readonly #send: SendTogether<Item, Outcome>;
  readonly #maximum: number;
  #waiting: Array<Call<Item, Outcome>> = [];
  #underWay = 0;

  /** `maximum` items go into one message. */
  constructor(maximum: number, send: SendTogether<Item, Outcome>) {
    this.#maximum = maximum;
    this.#send = send;
  }

  /** Rejects as the message does that the item went with. */
  ask(item: Item): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      // Behind the callers of this turn, which belong to the same message.
      if (this.#waiting.length === 1) queueMicrotask(() => this.#next());
    });
  }

  #next(): void {
    while (this.#waiting.length > 0 && this.#underWay < messagesUnderWay) {
      const calls = this.#waiting;
      this.#waiting = calls.splice(this.#maximum);
      void this.#carry(calls);
    }
  }

  async #carry(calls: ReadonlyArray<Call<Item, Outcome>>): Promise<void> {
    this.#underWay += 1;
    try {
      const outcomes = await this.#send(calls.map(({ item }) => item));
      for (const [index, call] of calls.entries()) settle(call, outcomes[index]);
    } catch (error) {
      for (const { reject } of calls) reject(error);
    }
    this.#underWay -= 1;
    this.#next();
  }
}

function settle<Item, Outcome>(
  { resolve, reject }: Call<Item, Outcome>,
  outcome: (() => Outcome) | undefined,
): void {
  if (outcome === undefined) throw new TypeError('an outcome got lost');
  try {
    resolve(outcome());
  } catch (error) {
    reject(error);
  }
}
