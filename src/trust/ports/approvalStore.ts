/**
 * Operators, what they may, and what one of them asked for and another allowed, as a store. Nothing is
 * deleted: a role that was withdrawn and a request that was refused stay for whoever asks later.
 */

/** `admin` changes what the installation is, `operator` what it makes, `auditor` reads. */
export const operatorRoles = ['admin', 'operator', 'station-manager', 'auditor'] as const;

export type OperatorRole = (typeof operatorRoles)[number];

export interface HeldRole {
  readonly role: OperatorRole;
  /** Held without a break since then. */
  readonly grantedMs: number;
}

export interface OperatorRecord {
  readonly name: string;
  /** DER; its key signs requests and decisions. */
  readonly certificate: Uint8Array;
  /** First 160 bits of SHA-256 over the bits of its key: a key is one person's. */
  readonly keyIdentifier: Uint8Array;
  readonly roles: readonly HeldRole[];
  readonly addedMs: number;
  readonly revokedMs: number | undefined;
}

export type NewOperator = Pick<
  OperatorRecord,
  'name' | 'certificate' | 'keyIdentifier' | 'addedMs'
> & { readonly roles: readonly OperatorRole[] };

/** There from the moment at which two persons became necessary; never taken back. */
export interface TwoPersonMode {
  /** 16 random bytes: a request for this installation means nothing to another one. */
  readonly installation: Uint8Array;
  readonly sinceMs: number;
  /** Devices whose status one person may change at once, and everybody in a day without a second person. */
  readonly massLimit: number;
}

export const decisions = ['approved', 'rejected', 'withdrawn'] as const;

export type Decision = (typeof decisions)[number];

export interface RequestRecord {
  /** SHA-256 over the request document. */
  readonly id: Uint8Array;
  readonly act: string;
  readonly requester: string;
  /** COSE_Sign1 by the requester around the document. */
  readonly signed: Uint8Array;
  /** When it was taken in, by this clock. */
  readonly takenMs: number;
  readonly expiresMs: number;
  readonly decision: DecisionRecord | undefined;
  /** Used, or at least begun. */
  readonly spentMs: number | undefined;
  /** What it allowed is done. */
  readonly doneMs: number | undefined;
}

export interface DecisionRecord {
  readonly decision: Decision;
  readonly by: string;
  /** COSE_Sign1 by that operator. */
  readonly signed: Uint8Array;
  readonly atMs: number;
}

export type NewRequest = Omit<RequestRecord, 'decision' | 'spentMs' | 'doneMs'>;

/** What the transaction of an act does with the approval that allows it. */
export interface Spending {
  readonly id: Uint8Array;
  readonly atMs: number;
  /** One of them the requester has had since the request. */
  readonly requesters: readonly OperatorRole[];
  /** One of them the approver has had since the approval; `undefined` where one person is enough. */
  readonly approvers: readonly OperatorRole[] | undefined;
  /** Leaf of the audit log, directly before that of the act. */
  readonly entry: Uint8Array;
}

export type SpendingFault =
  | 'approval-unknown'
  | 'approval-missing'
  | 'approval-expired'
  | 'approval-spent'
  | 'approval-role-lost';

export interface RoleChange {
  readonly name: string;
  readonly role: OperatorRole;
  readonly change: 'grant' | 'withdraw';
  readonly atMs: number;
  readonly entry: Uint8Array;
}

export type RoleOutcome =
  | 'changed'
  | 'unknown-operator'
  /** Admin and auditor exclude each other. */
  | 'excluded'
  /** Nobody could approve anything any more. */
  | 'too-few-admins';

export interface ApprovalStore {
  mode(): Promise<TwoPersonMode | undefined>;
  /** Mode and first operators in one transaction. False when it is on already. */
  switchOn(
    mode: TwoPersonMode,
    operators: readonly NewOperator[],
    entries: readonly Uint8Array[],
  ): Promise<boolean>;
  saveMassLimit(
    massLimit: number,
    entry: Uint8Array,
    spending: Spending,
  ): Promise<'saved' | SpendingFault>;

  /** Devices whose status one person may still change today; `undefined` where one is enough for all. */
  soleChangesLeft(atMs: number): Promise<number | undefined>;
  /** Takes so many of them and writes the leaves; false, and nothing, when fewer are left. */
  takeSoleChanges(devices: number, atMs: number, entries: readonly Uint8Array[]): Promise<boolean>;

  /** In the order of their names, revoked ones included. */
  operators(): Promise<readonly OperatorRecord[]>;
  addOperator(
    operator: NewOperator,
    entry: Uint8Array,
    spending: Spending | undefined,
  ): Promise<'added' | 'taken' | SpendingFault>;
  /** Another certificate for the same key. False for one that is not there or revoked. */
  renewOperator(name: string, certificate: Uint8Array, entry: Uint8Array): Promise<boolean>;
  changeRole(
    change: RoleChange,
    spending: Spending | undefined,
  ): Promise<RoleOutcome | SpendingFault>;
  revokeOperator(
    revoked: Pick<RoleChange, 'name' | 'atMs' | 'entry'>,
    spending: Spending | undefined,
  ): Promise<RoleOutcome | SpendingFault>;

  request(id: Uint8Array): Promise<RequestRecord | undefined>;
  /** Newest first; those taken in before the request `before`, none when there is no such request. */
  requests(limit: number, before?: Uint8Array): Promise<readonly RequestRecord[]>;
  /** `known` for the very same document; `too-many` when `most` of the requester wait. */
  addRequest(
    request: NewRequest,
    most: number,
    entry: Uint8Array,
  ): Promise<'added' | 'known' | 'too-many'>;
  /** False when it is decided or spent. */
  decide(id: Uint8Array, decision: DecisionRecord, entry: Uint8Array): Promise<boolean>;

  /**
   * For acts of several transactions: spends the approval, after which the same act may be begun again
   * until it is finished. The leaf is written once.
   */
  begin(spending: Spending): Promise<'begun' | 'resumed' | SpendingFault>;
  finish(id: Uint8Array, atMs: number): Promise<void>;
}
