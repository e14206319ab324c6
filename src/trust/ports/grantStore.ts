/**
 * What allows an enrolment besides a certificate, as a store: one-time secrets, approvals of a person, and
 * the policy of each profile. A grant is spent in T1, in the transaction that stores the intent.
 */
import type { Spending, SpendingFault } from './approvalStore.ts';

export interface GrantReference {
  readonly kind: 'secret' | 'approval';
  readonly id: number;
}

export interface SecretRecord {
  readonly id: number;
  /** Whom it makes the bearer. */
  readonly deviceId: string;
  readonly product: string;
  readonly profile: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  /** The key that used it first; nobody else's is certified on it. First 160 bits of SHA-256 over its bits. */
  readonly keyIdentifier: Uint8Array | undefined;
  /** Serial number of what it was spent on. */
  readonly spentOn: Uint8Array | undefined;
  readonly voidedMs: number | undefined;
}

/** Why a person is asked. */
export const approvalCauses = ['first', 'renewal', 'expired'] as const;

export type ApprovalCause = (typeof approvalCauses)[number];

export type ApprovalDecision = 'approved' | 'denied';

export interface ApprovalRecord {
  readonly id: number;
  readonly deviceId: string;
  readonly keyIdentifier: Uint8Array;
  readonly profile: string;
  readonly cause: ApprovalCause;
  readonly requestedMs: number;
  readonly decision: ApprovalDecision | undefined;
  readonly decidedBy: string | undefined;
  readonly decidedMs: number | undefined;
  readonly spentOn: Uint8Array | undefined;
}

/** Identity and key, which is what a pending request is known by: never the connection. */
export type ApprovalRequest = Pick<
  ApprovalRecord,
  'deviceId' | 'keyIdentifier' | 'profile' | 'cause' | 'requestedMs'
>;

export interface ProfilePolicy {
  readonly profile: string;
  /** Whether a person decides: never, about the first certificate, about every one. */
  readonly approval: 'none' | 'first' | 'every';
  /** What a certificate that has ended is still good for: nothing, or its own renewal. */
  readonly afterExpiry:
    | { readonly kind: 'never' }
    | { readonly kind: 'within'; readonly days: number }
    | { readonly kind: 'approval' };
}

/** An approval, or one of so many that one person may make in a day. */
export type SecretPermit =
  | { readonly spending: Spending }
  | { readonly most: number; readonly atMs: number };

export interface GrantStore {
  /** Only the hash of the secret is kept. Returns its number. */
  addSecret(
    secret: Omit<SecretRecord, 'id' | 'keyIdentifier' | 'spentOn' | 'voidedMs'>,
    secretSha256: Uint8Array,
    entry: Uint8Array,
    permit?: SecretPermit,
  ): Promise<number | 'too-many' | SpendingFault>;
  secret(secretSha256: Uint8Array): Promise<SecretRecord | undefined>;
  /** Newest first; those older than the secret `before`. */
  secrets(limit: number, before?: number): Promise<readonly SecretRecord[]>;
  /** The key it is bound to from now on, which is another one when that came first. */
  bindSecret(id: number, keyIdentifier: Uint8Array): Promise<Uint8Array>;
  /** False for one that is spent, void or unknown. */
  voidSecret(id: number, atMs: number, entry: Uint8Array): Promise<boolean>;

  /** The newest of that device, key and profile. */
  approval(request: ApprovalRequest): Promise<ApprovalRecord | undefined>;
  /** False when the device has `most` undecided requests already. */
  askApproval(request: ApprovalRequest, most: number): Promise<boolean>;
  /** Undecided ones, oldest first; those younger than the request `after`. */
  approvals(limit: number, after?: number): Promise<readonly ApprovalRecord[]>;
  /** False for one that is decided or unknown. */
  decide(
    id: number,
    decision: ApprovalDecision,
    decidedBy: string,
    atMs: number,
    entry: Uint8Array,
  ): Promise<boolean>;

  /** Profiles of which no person has decided anything are not among them. */
  policies(): Promise<readonly ProfilePolicy[]>;
  savePolicy(
    policy: ProfilePolicy,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'saved' | SpendingFault>;
}
