/** Authorities by their role: who certifies them, by which profile, and how they are called. */
import type { Profile } from '../../trust/issuance/profile.ts';
import { builtIn, linkOf } from '../../trust/issuance/profiles.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { AuthorityRole } from './authorityFolder.ts';
import type { AuthorityRecord } from './book.ts';

interface RoleRule {
  /** Of its certificate, unless its record names another. */
  readonly profile: string;
  /** Role of who certifies it. */
  readonly above: 'self' | 'root' | 'matter-paa';
  readonly title: string;
  /**
   * Whether two generations certify each other. A reader of a chip finds its signer by a name that is one
   * key's, and Matter knows no such links.
   */
  readonly isLinked: boolean;
}

const rules: Readonly<Record<AuthorityRole, RoleRule>> = {
  root: { profile: 'root', above: 'self', title: 'Root', isLinked: true },
  factory: { profile: 'issuing-factory', above: 'root', title: 'Factory', isLinked: true },
  operational: { profile: 'issuing', above: 'root', title: 'Operational', isLinked: true },
  server: { profile: 'issuing-server', above: 'root', title: 'Servers', isLinked: true },
  'chip-signer': { profile: 'chip-signer', above: 'root', title: 'Signer', isLinked: false },
  'matter-paa': { profile: 'matter-paa', above: 'self', title: 'PAA', isLinked: false },
  'matter-pai': { profile: 'matter-pai', above: 'matter-paa', title: 'PAI', isLinked: false },
};

/** Between two roots of different names. */
export const crossRootProfile = 'cross-root';

/** All that an installation has, by name. */
export type Profiles = ReadonlyMap<string, Profile>;

export function profileNameOf({
  profile,
  role,
}: Pick<AuthorityRecord, 'role' | 'profile'>): string {
  return profile ?? rules[role].profile;
}

/** Of the certificate of an authority. Throws an `EnvironmentError` when there is no such profile. */
export function profileOf(
  record: Pick<AuthorityRecord, 'role' | 'profile'>,
  profiles: Profiles,
): Profile {
  const name = profileNameOf(record);
  const found = profiles.get(name);
  if (found !== undefined) return found;
  throw new EnvironmentError(`there is no profile ${name}`, { retryable: false });
}

/** Of what leads from one generation of an authority to the next; `undefined` where nothing does. */
export function linkProfileOf(next: AuthorityRecord, profiles: Profiles): Profile | undefined {
  const { role, sharesNameOf } = next;
  if (!rules[role].isLinked) return undefined;
  if (role === 'root' && sharesNameOf === undefined) return builtIn(crossRootProfile);
  // Whoever comes by the link is bound by what binds the authority itself.
  return next.profile === undefined
    ? builtIn(`link-${role}`)
    : { ...linkOf(role, profileOf(next, profiles)), name: `link-${next.profile}` };
}

export function isLinked(role: AuthorityRole): boolean {
  return rules[role].isLinked;
}

/** What is wrong with a profile for authorities of a role; `undefined` when nothing is. */
export function faultOfRole(role: AuthorityRole, profile: Profile): string | undefined {
  const { authority, issuedBy, keyIdentifier, name } = profile;
  if (authority === undefined || authority.linksGenerations === true) {
    return `profile ${name} is none of an authority`;
  }
  if (!issuedBy.includes(rules[role].above)) {
    return `profile ${name} is not certified by ${rules[role].above}`;
  }
  if ((profile.subject === 'matter') !== role.startsWith('matter-')) {
    return `profile ${name} names its subject in another way`;
  }
  if (role === 'root' && profile.name !== rules.root.profile) return 'roots have the profile root';
  if (excludesHosts.includes(role) && !authority.excludesHosts) {
    return `profile ${name} would let a device pass as a server: excludesHosts is false`;
  }
  if (role === 'chip-signer' && keyIdentifier !== 'sha1') {
    return `profile ${name} identifies keys otherwise than a reader of chips`;
  }
  return undefined;
}

/** Throws an `EnvironmentError` when the profile that it names is none for an authority of its role. */
export function requireFit(record: AuthorityRecord, profiles: Profiles): void {
  const fault = faultOfRole(record.role, profileOf(record, profiles));
  if (fault !== undefined) {
    throw new EnvironmentError(`${record.name}: ${fault}`, { retryable: false });
  }
}

/** No certificate of a device passes as a server's. */
const excludesHosts: readonly AuthorityRole[] = ['factory', 'operational', 'chip-signer'];

/** Role of who certifies it. */
export function aboveOf(role: AuthorityRole): RoleRule['above'] {
  return rules[role].above;
}

/** Those that a new root certifies as well: it must not vouch for a key that was given up. */
export function believedBelowRoots(book: readonly AuthorityRecord[]): readonly AuthorityRecord[] {
  return book.filter(({ role, state }) => aboveOf(role) === 'root' && state !== 'removed');
}

/** Its key opens in `birthmark ca` commands only, and its list is signed there. */
export function isSelfSigned({ role }: Pick<AuthorityRecord, 'role'>): boolean {
  return rules[role].above === 'self';
}

/** Common name: what follows the role in the record's name tells authorities of one role apart. */
export function commonNameOf(organization: string, record: AuthorityRecord): string {
  const { role, name, sharesNameOf = name } = record;
  const more = sharesNameOf.slice(role.length).replaceAll('-', ' ');
  // docs/ca.md: a reader of a chip looks for a blank and four upper-case hexadecimal digits.
  return `${organization} ${rules[role].title}${role === 'chip-signer' ? more.toUpperCase() : more}`;
}

/** Whether an authority of this role may be called so; generations and kinds have a word behind it. */
export function isNameOfRole(organization: string, role: AuthorityRole, name: string): boolean {
  const title = `${organization} ${rules[role].title}`;
  return name === title || name.startsWith(`${title} `);
}

export function manifestNameOf(organization: string): string {
  return `${organization} Manifests`;
}

/** File of the certificate that `issuer` has given to `name` beside its own. */
export function underName(name: string, issuer: string): string {
  return `${name}.under-${issuer}`;
}
