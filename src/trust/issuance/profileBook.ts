/**
 * All profiles of an installation: those that come with Birthmark and those that a person added, each in
 * every version that ever was. A version is written down with its hash before anything is issued from it,
 * and never changes: what `idevid@1` of an old certificate meant can be read for as long as the store is.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { ActRequests } from '../approvals/acts.ts';
import type { Approved } from '../approvals/permissions.ts';
import { type ApprovalRefusal, refuseApproval } from '../approvals/refusals.ts';
import type { Spending, SpendingFault } from '../ports/approvalStore.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { Clock } from '../ports/clock.ts';
import { EnvironmentError, InvariantError, type Refusal, refuse } from '../ports/faults.ts';
import type { ProfileView } from '../ports/profileDesk.ts';
import type { ProfileRecord, ProfileStore } from '../ports/profileStore.ts';
import { faultsOfProfile, type Profile, profileLabel } from './profile.ts';
import { addedAuthority, isBirthProfile, isDeviceProfile } from './profiles.ts';

export interface ProfileBookOptions {
  readonly store: ProfileStore;
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly builtIn: ReadonlyMap<string, Profile>;
  /** A stored text as a profile. Throws when it is none. */
  readonly read: (text: string) => Profile;
}

export type ProfileRefusal =
  | Refusal<'invalid-profile' | 'built-in' | 'version-not-next' | 'taken'>
  | ApprovalRefusal;

export class ProfileBook {
  readonly #options: ProfileBookOptions;
  readonly #views = new Map<string, ProfileView>();
  readonly #current = new Map<string, Profile>();
  readonly #labelled = new Map<string, Profile>();
  readonly #devices = new Set<string>();
  readonly #births = new Set<string>();
  /** Newest version of each name whose text a restore has lost: its number stands for no other text. */
  readonly #lost = new Map<string, number>();

  private constructor(options: ProfileBookOptions) {
    this.#options = options;
  }

  /**
   * Writes down what this version of Birthmark brought. Rejects with an `EnvironmentError` when a profile
   * means something else here than it did when it was written down.
   */
  static async open(options: ProfileBookOptions): Promise<ProfileBook> {
    const book = new ProfileBook(options);
    const { store, builtIn, read } = options;
    const stored = await store.profiles();
    for (const record of stored) {
      if (record.text === '') book.#lost.set(record.name, record.version);
      else book.#enter(read(record.text), record);
    }
    for (const profile of builtIn.values()) {
      const known = book.#views.get(profileLabel(profile));
      if (known === undefined) await book.#write(profile);
      else book.#requireSame(profile, known);
      // A newer Birthmark may have been here: this one issues what it knows.
      book.#makeCurrent(profile);
    }
    return book;
  }

  /** From which certificates are issued, by name. Follows what is added. */
  get current(): ReadonlyMap<string, Profile> {
    return this.#current;
  }

  /** Every version, by `name@version`. */
  get labelled(): ReadonlyMap<string, Profile> {
    return this.#labelled;
  }

  /** Names of those that enrolment gives to devices. Follows what is added. */
  get devices(): ReadonlySet<string> {
    return this.#devices;
  }

  /** Names of those that elements are born with. Follows what is added. */
  get births(): ReadonlySet<string> {
    return this.#births;
  }

  views(): readonly ProfileView[] {
    const { builtIn } = this.#options;
    return [...this.#views.values()]
      .map((view) => ({
        ...view,
        builtIn: builtIn.has(view.name),
        former: this.#current.get(view.name)?.version !== view.version,
      }))
      .sort(byNameAndVersion);
  }

  /** A new profile, or the next version of one that was added before: the very one that was approved. */
  async add(
    profile: Profile,
    { request, spending }: Approved<'profile.change'>,
  ): Promise<ProfileView | ProfileRefusal> {
    const { name, version } = profile;
    const { profile: label, sha256 } = this.requestFor(profile);
    if (request.profile !== label || !equal(request.sha256, sha256)) {
      return refuseApproval('other-bytes');
    }
    const faults = faultsOfProfile(profile);
    if (faults.length > 0) return refuse('invalid-profile', faults.join('; '));
    if (this.#options.builtIn.has(name)) {
      return refuse('built-in', `Profile ${name} comes with Birthmark; choose another name.`);
    }
    const unfit = faultOfAddition(profile);
    if (unfit !== undefined) return refuse('invalid-profile', unfit);
    const present = Math.max(this.#current.get(name)?.version ?? 0, this.#lost.get(name) ?? 0);
    if (version !== present + 1) {
      return refuse('version-not-next', `The next version of ${name} is ${present + 1}.`);
    }
    const outcome = await this.#write(profile, spending);
    if (outcome === 'taken') return refuse('taken', `${label} is there already.`);
    if (outcome !== 'added') return refuseApproval(outcome);
    const view = this.views().find((one) => one.name === name && one.version === version);
    if (view === undefined) throw new InvariantError('a profile got lost');
    return view;
  }

  /** What a second person approves: which profile, and its hash. */
  requestFor(profile: Profile): ActRequests['profile.change'] {
    const sha256 = this.#options.crypto.hash('SHA-256', utf8(profileText(profile)));
    return { profile: profileLabel(profile), sha256 };
  }

  async #write(profile: Profile, spending?: Spending): Promise<'added' | 'taken' | SpendingFault> {
    const { store, clock } = this.#options;
    const { name, version } = profile;
    const { sha256 } = this.requestFor(profile);
    const text = profileText(profile);
    const addedMs = clock.nowMs();
    const entry = encodeAuditEntry({
      kind: 'decision',
      atMs: addedMs,
      act: 'profile',
      subject: profileLabel(profile),
      detail: toHex(sha256),
    });
    const record = { name, version, sha256, text, addedMs };
    const outcome = await store.addProfile(record, entry, spending);
    if (outcome === 'added') this.#enter(profile, record);
    return outcome;
  }

  #enter(profile: Profile, record: ProfileRecord): void {
    const { crypto } = this.#options;
    const label = profileLabel(profile);
    const says = crypto.hash('SHA-256', utf8(record.text));
    if (!equal(says, record.sha256) || label !== `${record.name}@${record.version}`) {
      throw broken(`the stored profile ${record.name}@${record.version} is not what was stored`);
    }
    this.#views.set(label, { ...record, builtIn: false, former: false });
    this.#labelled.set(label, profile);
    const present = this.#current.get(profile.name);
    if (present === undefined || present.version < profile.version) this.#makeCurrent(profile);
  }

  #makeCurrent(profile: Profile): void {
    this.#current.set(profile.name, profile);
    for (const [names, belongs] of [
      [this.#devices, isDeviceProfile(profile)],
      [this.#births, isBirthProfile(profile)],
    ] as const) {
      if (belongs) names.add(profile.name);
      else names.delete(profile.name);
    }
  }

  #requireSame(profile: Profile, { sha256 }: ProfileView): void {
    const { crypto } = this.#options;
    if (equal(crypto.hash('SHA-256', utf8(profileText(profile))), sha256)) return;
    throw broken(`profile ${profileLabel(profile)} has changed without a new version`);
  }
}

/** Roots and what leads from one to another are nobody's to change; certificates of both are known by their names. */
function faultOfAddition({ name, authority, issuedBy }: Profile): string | undefined {
  if (/^(?:link|ocsp)-/.test(name)) return 'names that begin with link- or ocsp- are taken';
  if ((authority !== undefined) !== name.startsWith(addedAuthority)) {
    return `profiles of authorities, and no others, are called ${addedAuthority}...`;
  }
  if (authority === undefined) return undefined;
  const [above, ...others] = issuedBy;
  if (others.length > 0 || !(above === 'root' || above === 'self' || above === 'matter-paa')) {
    return 'an authority is certified by root, by matter-paa, or by itself, and by one of them';
  }
  return authority.linksGenerations === true ? 'links come with Birthmark alone' : undefined;
}

/** The one form that is stored and hashed: members sorted, no white space. */
export function profileText(profile: Profile): string {
  return JSON.stringify(sorted(profile));
}

function byNameAndVersion(left: ProfileView, right: ProfileView): number {
  if (left.name !== right.name) return left.name < right.name ? -1 : 1;
  return left.version - right.version;
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

function broken(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
