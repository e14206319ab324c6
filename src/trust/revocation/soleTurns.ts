/**
 * What one person may do alone is done in turns: each act is judged after the authority has counted those
 * before it, so that no two are allowed by the same rest of a day.
 */
import type { ProvisioningAuthority } from '../ports/authority.ts';

export interface SoleTurnsParts {
  readonly authority: Pick<ProvisioningAuthority, 'soleChangesLeft'>;
  /** Resolves when the authority has heard of everything that was changed here, or cannot be reached. */
  readonly told: () => Promise<void>;
}

export class SoleTurns {
  readonly #parts: SoleTurnsParts;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: SoleTurnsParts) {
    this.#parts = parts;
  }

  /** `left`: as `soleChangesLeft` says it; where one person is enough nothing waits for its turn. */
  async take<Outcome>(act: (left: number | undefined) => Promise<Outcome>): Promise<Outcome> {
    const { authority, told } = this.#parts;
    if ((await authority.soleChangesLeft()) === undefined) return act(undefined);
    const turn = this.#last.then(async () => {
      await told();
      return act(await authority.soleChangesLeft());
    });
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
