/** What the authority is told of changes made here, and what of it takes an approval that nobody has given. */
import { setTimeout as after } from 'node:timers/promises';
import type { Metrics } from '../../servers/http/metrics.ts';
import type { ProvisioningAuthority } from '../../trust/ports/authority.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { AuthorityNotice, RegistryStore } from '../../trust/ports/registryStore.ts';
import type { ListsState } from '../../trust/ports/revocationReport.ts';
import { tellAuthority } from '../../trust/revocation/outbox.ts';
import { settling, type Status } from './status.ts';

export interface TellingOptions {
  readonly store: RegistryStore;
  readonly authority: ProvisioningAuthority;
  readonly status: Pick<Status, 'answers'> | undefined;
  readonly metrics: Pick<Metrics, 'watch'>;
}

/** What was ended has ended: whoever ended it need not wait longer to hear how the lists stand. */
const patienceMs = 2_000;

export class Telling {
  readonly #options: TellingOptions;
  #waiting: readonly AuthorityNotice[] = [];
  #stopped = false;

  constructor(options: TellingOptions) {
    this.#options = options;
    options.metrics.watch(
      'birthmark_notices_waiting',
      'Changes of status that lists and answers follow only with an approval, or on another day',
      () => this.#waiting.length,
    );
  }

  /** Rejects with an `EnvironmentError` while something is not taken. */
  async tell(): Promise<void> {
    const { store, authority, status } = this.#options;
    await settling(status, async () => {
      const { stopped, waiting } = await tellAuthority(store, authority);
      this.#stopped = stopped !== undefined;
      if (stopped !== undefined) throw new EnvironmentError(stopped, { retryable: true });
      this.#waiting = waiting;
      return waiting;
    });
    const { length } = this.#waiting;
    if (length > 0) throw new EnvironmentError(tooMany(length), { retryable: true });
  }

  /**
   * How lists and answers stand to a change that was just made of `subjects`, devices or certificates as
   * notices name them. `told` resolves when they have been told of, or could not be.
   */
  async listsOf(subjects: readonly string[], told: () => Promise<void>): Promise<ListsState> {
    return Promise.race([
      this.#listsOf(subjects, told),
      after(patienceMs, 'untold' as const, { ref: false }),
    ]);
  }

  async #listsOf(subjects: readonly string[], told: () => Promise<void>): Promise<ListsState> {
    try {
      if ((await this.#options.authority.soleChangesLeft()) === undefined) return 'follow';
    } catch (error) {
      if (error instanceof EnvironmentError) return 'untold';
      throw error;
    }
    await told();
    if (this.#stopped) return 'untold';
    return this.#waiting.some(({ subject }) => subjects.includes(subject))
      ? 'approval-needed'
      : 'follow';
  }
}

function tooMany(waiting: number): string {
  return `${waiting} changes of status are more than one person may make in a day: they take an approval (docs/approvals.md)`;
}
