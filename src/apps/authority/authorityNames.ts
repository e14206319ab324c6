/** How authorities are called in their certificates. */
import type { AuthorityName } from './authorityFolder.ts';
import type { AuthorityRecord } from './book.ts';

/** Profile of the certificate of an authority, by its role. */
export const authorityProfiles: Readonly<Record<AuthorityName, string>> = {
  root: 'root',
  factory: 'issuing-factory',
  operational: 'issuing',
  server: 'issuing-server',
};

/** Profile of what links two generations of a role. */
export const linkProfiles: Readonly<Record<AuthorityName, string>> = {
  root: 'link-root',
  factory: 'link-factory',
  operational: 'link-operational',
  server: 'link-server',
};

/** Profile of what links two roots of different names. */
export const crossRootProfile = 'cross-root';

const titles: Readonly<Record<AuthorityName, string>> = {
  root: 'Root',
  factory: 'Factory',
  operational: 'Operational',
  server: 'Servers',
};

/** Common name: what follows the role in the record's name tells authorities of one role apart. */
export function commonNameOf(organization: string, record: AuthorityRecord): string {
  const { role, name, sharesNameOf = name } = record;
  const more = sharesNameOf.slice(role.length).replaceAll('-', ' ');
  return `${organization} ${titles[role]}${more}`;
}

/** Whether an authority of this role may be called so; generations and kinds have a word behind it. */
export function isNameOfRole(organization: string, role: AuthorityName, name: string): boolean {
  const title = `${organization} ${titles[role]}`;
  return name === title || name.startsWith(`${title} `);
}

export function manifestNameOf(organization: string): string {
  return `${organization} Manifests`;
}

/** File of the certificate that `issuer` has given to `name` beside its own. */
export function underName(name: string, issuer: string): string {
  return `${name}.under-${issuer}`;
}
