/**
 * Calls about few rows each, turned into statements about many: who calls until the transaction begins is
 * in it, and each gets its own share of the outcomes. A round trip to the server costs as much as dozens of
 * rows.
 */
import { EnvironmentError, InvariantError } from '../../../trust/ports/faults.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';

/** Gives an outcome for each item, in their order. May run again after what it did was undone. */
export type GatheredWork<Item, Outcome> = (
  connection: Connection,
  items: readonly Item[],
) => Promise<readonly Outcome[]>;

interface Call<Item, Outcome> {
  readonly items: readonly Item[];
  readonly resolve: (outcomes: readonly Outcome[]) => void;
  readonly reject: (error: unknown) => void;
}

/** Items in one statement at most; the calls behind go into the next. */
const maximumItems = 2_000;

export class Gathering<Item, Outcome> {
  readonly #database: PostgresDatabase;
  readonly #work: GatheredWork<Item, Outcome>;
  readonly #calls: Array<Call<Item, Outcome>> = [];
  #announced = false;

  constructor(database: PostgresDatabase, work: GatheredWork<Item, Outcome>) {
    this.#database = database;
    this.#work = work;
  }

  /** Outcomes in the order of the items; all of one call are in one transaction. */
  call(items: readonly Item[]): Promise<readonly Outcome[]> {
    if (items.length === 0) return Promise.resolve([]);
    return new Promise((resolve, reject) => {
      this.#calls.push({ items, resolve, reject });
      this.#announce();
    });
  }

  async one(item: Item): Promise<Outcome> {
    const [outcome, ...others] = await this.call([item]);
    if (outcome === undefined || others.length > 0) throw new InvariantError('an outcome got lost');
    return outcome;
  }

  #announce(): void {
    if (this.#announced || this.#calls.length === 0) return;
    this.#announced = true;
    void this.#carryOut();
  }

  async #carryOut(): Promise<void> {
    let calls: ReadonlyArray<Call<Item, Outcome>> | undefined;
    try {
      const outcomes = await this.#database.transact((connection) => {
        calls ??= this.#take();
        return this.#work(
          connection,
          calls.flatMap(({ items }) => items),
        );
      });
      let from = 0;
      for (const { items, resolve } of calls ?? []) {
        resolve(outcomes.slice(from, from + items.length));
        from += items.length;
      }
    } catch (error) {
      await this.#failed(calls ?? this.#take(), error);
    }
  }

  /** What one caller's items break must not fail the others: each by itself then. */
  async #failed(calls: ReadonlyArray<Call<Item, Outcome>>, error: unknown): Promise<void> {
    if (calls.length === 1 || error instanceof EnvironmentError) {
      for (const { reject } of calls) reject(error);
      return;
    }
    const alone = calls.map(async ({ items, resolve, reject }) => {
      await this.#database
        .transact((connection) => this.#work(connection, items))
        .then(resolve, reject);
    });
    await Promise.all(alone);
  }

  #take(): ReadonlyArray<Call<Item, Outcome>> {
    let items = 0;
    const fit = this.#calls.findIndex((call) => {
      items += call.items.length;
      return items > maximumItems;
    });
    const calls = this.#calls.splice(0, fit < 0 ? this.#calls.length : Math.max(fit, 1));
    this.#announced = false;
    this.#announce();
    return calls;
  }
}
