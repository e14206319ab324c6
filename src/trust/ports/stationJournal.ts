/**
 * What a station has promised and done, one record a unit, durable before the next step: so that a
 * station that is killed at any moment knows afterwards which identity belongs to which element.
 */

/** Public keys of the keys that an element made; uncompressed points. */
export interface UnitKeys {
  readonly sign: Uint8Array;
  /** Absent where the family cannot agree. */
  readonly agree: Uint8Array | undefined;
}

export interface UnitIdentity {
  readonly deviceId: string;
  readonly eui64: Uint8Array | undefined;
}

interface Unit {
  readonly family: string;
  readonly uid: Uint8Array;
  readonly ticketId: Uint8Array;
}

/**
 * `due`: the authority has yet to be told. `accepted`: it took the outcome down. `not-issued`: there is
 * no identity of this unit, so nothing is owed.
 */
export type ReportState = 'due' | 'accepted' | 'not-issued';

/** Keys are about to be made: whatever the element holds from before is worth nothing. */
export interface MetUnit extends Unit {
  readonly stage: 'met';
}

/** An identity for these keys may exist from here on: they are never made again. */
export interface RequestedUnit extends Unit {
  readonly stage: 'requested';
  readonly keys: UnitKeys;
  /** What the authority last said, when it said no. */
  readonly refusal: string | undefined;
}

/** Written, read back and right; the lock may have happened. */
export interface LockingUnit extends Unit {
  readonly stage: 'locking';
  readonly keys: UnitKeys;
  readonly identity: UnitIdentity;
}

export interface LockedUnit extends Unit {
  readonly stage: 'locked';
  readonly keys: UnitKeys;
  readonly identity: UnitIdentity;
  readonly report: ReportState;
}

export interface ScrappedUnit extends Unit {
  readonly stage: 'scrapped';
  readonly keys: UnitKeys | undefined;
  readonly reason: string;
  readonly report: ReportState;
}

export type UnitRecord = MetUnit | RequestedUnit | LockingUnit | LockedUnit | ScrappedUnit;

export type UnitStage = UnitRecord['stage'];

export interface JournalCounts {
  readonly stages: Readonly<Record<UnitStage, number>>;
  /** Requested, and refused when last asked. */
  readonly refused: number;
  /** Locked or scrapped, and the authority has yet to be told. */
  readonly reportsDue: number;
  /** Scrapped units of which the authority confirmed that they have an identity. */
  readonly scrappedIdentities: number;
  /** Scrapped units without an identity. */
  readonly scrappedBlank: number;
}

/** Where a page of records begins: behind this uid, in the order of uids. */
export interface Page {
  readonly after: Uint8Array | undefined;
  readonly limit: number;
}

/** Which key or identity another unit has already; a repeated one means two elements of one identity. */
export type TakenValue = 'sign-key' | 'agree-key' | 'device-id' | 'eui64';

/** Rejects with an `EnvironmentError` when the disk fails; nothing of that call is then certain. */
export interface StationJournal {
  find(family: string, uid: Uint8Array): Promise<UnitRecord | undefined>;

  /**
   * Puts the record in place of an earlier one of that unit; durable when the promise resolves. Keys and
   * identities are unique over all units that this station ever met: a value that another unit has is
   * returned, and nothing written.
   */
  put(record: UnitRecord): Promise<TakenValue | undefined>;

  counts(ticketId: Uint8Array): Promise<JournalCounts>;

  /** Locked and scrapped units whose report is due. */
  reportsDue(ticketId: Uint8Array, page: Page): Promise<ReadonlyArray<LockedUnit | ScrappedUnit>>;

  /** Units that may have an identity but are not locked. */
  unfinished(ticketId: Uint8Array, page: Page): Promise<ReadonlyArray<RequestedUnit | LockingUnit>>;
}
