/** Work that comes round: each chore at its own interval, never twice at a time. */
import { EnvironmentError } from '../../trust/ports/faults.ts';

export interface Chore {
  readonly name: string;
  readonly everyMs: number;
  readonly work: () => Promise<unknown>;
}

export interface Chores {
  /** Does the chore now, or after the run that is under way. */
  nudge(name: string): void;
  /** The same, and waits until it is done. Never rejects. */
  now(name: string): Promise<void>;
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>;
}

/** `onTrouble` hears what failed, and once of what goes on failing; it is tried again at the next round. */
export function startChores(
  chores: readonly Chore[],
  onTrouble: (name: string, error: unknown) => void,
): Chores {
  const running = chores.map((chore) => new Round(chore, onTrouble));
  const find = (name: string): Round => {
    const round = running.find((candidate) => candidate.name === name);
    if (round === undefined) throw new TypeError(`no chore is called ${name}`);
    return round;
  };
  return {
    nudge: (name) => void find(name).start(),
    now: (name) => find(name).start(),
    stop: async () => {
      await Promise.all(running.map((round) => round.stop()));
    },
  };
}

/** What happened, for a log: the outside is to blame for an `EnvironmentError`, we are for the rest. */
export function troubleText(name: string, error: unknown): string {
  if (error instanceof EnvironmentError) return `${name}: ${error.message}`;
  return `${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

class Round {
  readonly #chore: Chore;
  readonly #onTrouble: (name: string, error: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #current: Promise<void> | undefined;
  #again = false;
  /** What was said since it last went well. */
  #said: string | undefined;

  constructor(chore: Chore, onTrouble: (name: string, error: unknown) => void) {
    this.#chore = chore;
    this.#onTrouble = onTrouble;
    this.#timer = setInterval(() => void this.start(), chore.everyMs);
    this.#timer.unref();
  }

  get name(): string {
    return this.#chore.name;
  }

  /** Resolves when a run that began after this call has ended. */
  start(): Promise<void> {
    this.#again = true;
    this.#current ??= this.#run().finally(() => (this.#current = undefined));
    return this.#current;
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#again = false;
    await this.#current;
  }

  async #run(): Promise<void> {
    while (this.#again) {
      this.#again = false;
      try {
        await this.#chore.work();
        this.#said = undefined;
      } catch (error) {
        const text = troubleText(this.#chore.name, error);
        if (text !== this.#said) this.#onTrouble(this.#chore.name, error);
        this.#said = text;
      }
    }
  }
}
