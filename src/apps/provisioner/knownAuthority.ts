/** What the authority has told of itself: asked at the start, and again from time to time. */
import type { Hierarchy, ProvisioningAuthority } from '../../trust/ports/authority.ts';
import type { ProfilePolicy } from '../../trust/ports/grantStore.ts';

const dayMs = 86_400_000;

export class KnownAuthority {
  readonly #authority: ProvisioningAuthority;
  #hierarchy: Hierarchy;
  #policies: readonly ProfilePolicy[];

  private constructor(
    authority: ProvisioningAuthority,
    hierarchy: Hierarchy,
    policies: readonly ProfilePolicy[],
  ) {
    this.#authority = authority;
    this.#hierarchy = hierarchy;
    this.#policies = policies;
  }

  /** Rejects with an `EnvironmentError` when the authority cannot be reached. */
  static async ask(authority: ProvisioningAuthority): Promise<KnownAuthority> {
    return new KnownAuthority(authority, await authority.hierarchy(), await authority.policies());
  }

  get hierarchy(): Hierarchy {
    return this.#hierarchy;
  }

  /** Names of the profiles that devices may be given. */
  get deviceProfiles(): ReadonlySet<string> {
    return new Set(this.#policies.map(({ profile }) => profile));
  }

  /**
   * How long after its end an operational certificate still opens the door for its own renewal. The
   * authority judges each profile by itself; here the most generous one counts.
   */
  get renewalGraceMs(): number {
    const graces = this.#policies.map(({ afterExpiry }) => {
      if (afterExpiry.kind === 'approval') return Infinity;
      return afterExpiry.kind === 'within' ? afterExpiry.days * dayMs : 0;
    });
    return Math.max(0, ...graces);
  }

  /** Whether anything is different now. */
  async refresh(): Promise<boolean> {
    const before = JSON.stringify([this.#hierarchy, this.#policies]);
    this.#hierarchy = await this.#authority.hierarchy();
    this.#policies = await this.#authority.policies();
    return JSON.stringify([this.#hierarchy, this.#policies]) !== before;
  }
}
