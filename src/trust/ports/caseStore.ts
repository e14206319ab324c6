/** Cases of lost keys as a store: the newest state of each, written together with its leaf of the audit log. */
import type { Spending, SpendingFault } from './approvalStore.ts';

export interface CaseRecord {
  readonly name: string;
  readonly openedMs: number;
  /** As `caseDocument` writes it. */
  readonly document: string;
}

export interface CaseStore {
  /** In the order they were opened. */
  cases(): Promise<readonly CaseRecord[]>;
  /** Durable, in one transaction with the leaf; it takes the place of what had this name. */
  saveCase(
    record: CaseRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'saved' | SpendingFault>;
}
