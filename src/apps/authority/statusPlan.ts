/** Where the status of an installation's certificates is found: decided once, when its authorities are made. */
import { type Distribution, distributionFrom } from '../../trust/issuance/distribution.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { AuthorityLists, StatusStore } from '../../trust/ports/statusStore.ts';

export interface StatusPlan {
  /** Plain http, under a name that the maker owns for as long as the devices live. */
  readonly baseUrl: string;
  /** Lists of each issuing authority, a power of two. Default: 64. */
  readonly shards?: number;
  /** Birth certificates name it too: they have no end, so the URL has none either. Default: no. */
  readonly birth?: boolean;
}

const roles = ['root', 'factory', 'operational', 'server'] as const;

type Role = (typeof roles)[number];

/** By role of the issuer; `undefined` where certificates do not say where their status is found. */
export type Distributions = ReadonlyMap<Role, Distribution | undefined>;

export const usualShards = 64;

/** Rejects with an `EnvironmentError` when it was decided otherwise before. */
export async function createLists(
  store: Pick<StatusStore, 'createLists'>,
  plan: StatusPlan | undefined,
): Promise<Distributions> {
  const distributions = new Map<Role, Distribution | undefined>();
  for (const role of roles) {
    const wanted = listsOf(role, plan);
    const made = await store.createLists(wanted);
    if (plan !== undefined && !isSame(made, wanted)) {
      const where = made.baseUrl === undefined ? 'name no list' : `name ${made.baseUrl}`;
      throw new EnvironmentError(
        `certificates of the ${role} authority ${where} (lists: ${made.shards}), and that stays so`,
        { retryable: false },
      );
    }
    distributions.set(role, distributionFrom(made));
  }
  return distributions;
}

function listsOf(role: Role, plan: StatusPlan | undefined): AuthorityLists {
  const named = plan !== undefined && (role !== 'factory' || plan.birth === true);
  // A root certifies a handful: one list, complete.
  const shards = named && role !== 'root' ? (plan.shards ?? usualShards) : 1;
  return { authority: role, shards, baseUrl: named ? plan.baseUrl : undefined };
}

function isSame(left: AuthorityLists, right: AuthorityLists): boolean {
  return left.shards === right.shards && left.baseUrl === right.baseUrl;
}
