/** Where the status of an installation's certificates is found: decided once, when its authorities are made. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { type Distribution, distributionFrom } from '../../trust/issuance/distribution.ts';
import { identifierOfKey } from '../../trust/issuance/issuer.ts';
import { birthRoles } from '../../trust/issuance/profile.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { AuthorityLists, StatusStore } from '../../trust/ports/statusStore.ts';
import { isSelfSigned } from './authorityNames.ts';
import type { AuthorityRecord } from './book.ts';

export interface StatusPlan {
  /** Plain http, under a name that the maker owns for as long as the devices live. */
  readonly baseUrl: string;
  /** Lists of each issuing authority, a power of two. Default: 64. */
  readonly shards?: number;
  /** Birth certificates name it too: they have no end, so the URL has none either. Default: no. */
  readonly birth?: boolean;
}

export type Named = Pick<AuthorityRecord, 'role' | 'name'>;

/** By name of the issuer; `undefined` where certificates do not say where their status is found. */
export type Distributions = ReadonlyMap<string, Distribution | undefined>;

export const usualShards = 64;

/** Rejects with an `EnvironmentError` when it was decided otherwise before. */
export async function createLists(
  store: Pick<StatusStore, 'createLists'>,
  authorities: readonly Named[],
  plan: StatusPlan | undefined,
): Promise<Distributions> {
  const distributions = new Map<string, Distribution | undefined>();
  for (const { role, name } of authorities) {
    const wanted = plannedLists(role, name, plan);
    const made = await store.createLists(wanted);
    if (plan !== undefined) requireSame(made, wanted);
    distributions.set(name, distributionFrom(role, made));
  }
  return distributions;
}

/** Throws an `EnvironmentError` when it was decided otherwise for one that has lists already. */
export function requirePlan(
  present: readonly AuthorityLists[],
  authorities: readonly Named[],
  plan: StatusPlan,
): void {
  for (const { role, name } of authorities) {
    const made = present.find(({ authority }) => authority === name);
    if (made !== undefined) requireSame(made, plannedLists(role, name, plan));
  }
}

/**
 * Of an authority that may be newer than the plan: then it has lists of its own, in the way of those of its
 * role, and what its key has issued before there were any is put on them. `spki`: its key.
 */
export async function distributionOf(
  store: Pick<StatusStore, 'authorityLists' | 'createLists'>,
  authorities: readonly Named[],
  { role, name }: Named,
  spki: Uint8Array,
): Promise<Distribution | undefined> {
  const present = await store.authorityLists();
  const own = present.find(({ authority }) => authority === name);
  if (own !== undefined) return distributionFrom(role, own);
  const example = exampleOf[role] ?? role;
  const siblings = [
    example,
    ...authorities.filter((one) => one.role === example).map((one) => one.name),
  ];
  const [first] = siblings.flatMap((one) => present.filter(({ authority }) => authority === one));
  const { shards, baseUrl } = first ?? plannedLists(role, name, undefined);
  const keyIdentifier = identifierOfKey(nodeCrypto, spki);
  const isHeir = name !== role && present.some(({ authority }) => authority === role);
  const made = await store.createLists(
    { authority: name, shards: role === 'chip-signer' ? 1 : shards, baseUrl },
    isHeir ? { from: role, keyIdentifier } : undefined,
  );
  return distributionFrom(role, made);
}

/** Whose lists are the pattern for one that no installation begins with. */
const exampleOf: Readonly<Partial<Record<AuthorityRecord['role'], AuthorityRecord['role']>>> = {
  'chip-signer': 'factory',
  'matter-pai': 'factory',
  'matter-paa': 'root',
};

function plannedLists(
  role: AuthorityRecord['role'],
  name: string,
  plan: StatusPlan | undefined,
): AuthorityLists {
  const named = plan !== undefined && (!birthRoles.includes(role) || plan.birth === true);
  // A root certifies a handful: one list, complete. Certificates of chips have no room to say on which they are.
  const isOne = isSelfSigned({ role }) || role === 'chip-signer';
  const shards = named && !isOne ? (plan.shards ?? usualShards) : 1;
  return { authority: name, shards, baseUrl: named ? plan.baseUrl : undefined };
}

function requireSame(made: AuthorityLists, wanted: AuthorityLists): void {
  const { authority, shards, baseUrl } = made;
  if (shards === wanted.shards && baseUrl === wanted.baseUrl) return;
  const where = baseUrl === undefined ? 'name no list' : `name ${baseUrl}`;
  throw new EnvironmentError(
    `certificates of the authority ${authority} ${where} (lists: ${shards}), and that stays so`,
    { retryable: false },
  );
}
