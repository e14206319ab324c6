/** Versions of certificate profiles as a store: each is written once, with its audit leaf, and never changed. */
import type { Spending, SpendingFault } from './approvalStore.ts';

export interface ProfileRecord {
  readonly name: string;
  readonly version: number;
  /** Over the text. */
  readonly sha256: Uint8Array;
  /** The profile as JSON, in the one form that `profileText` gives; empty where a restore has lost it. */
  readonly text: string;
  readonly addedMs: number;
}

export interface ProfileStore {
  /** All versions, by name and version. */
  profiles(): Promise<readonly ProfileRecord[]>;
  /** Unless it is `added` nothing is written. `taken`: that version is there already. */
  addProfile(
    record: ProfileRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'added' | 'taken' | SpendingFault>;
}
