/** What an operator decides about enrolment at the authority: a process of its own, reached over its socket. */
import type { Refusal } from './faults.ts';
import type { ForeignAnchor } from './foreignStore.ts';

export interface AnchorDecision {
  readonly product: string;
  /** DER of the authority's certificate. */
  readonly certificate: Uint8Array;
  /** Devices of this product that may be bound to certificates below it. */
  readonly count: number;
}

/** Elements of other makers. Rejects with an `EnvironmentError` when the authority cannot be reached. */
export interface ForeignDesk {
  /** Pinned again with another count, the count changes. */
  pin(decision: AnchorDecision): Promise<ForeignAnchor | Refusal<string>>;
  /** Devices that are bound stay what they are; revoking them is another decision. */
  retire(product: string, sha256: Uint8Array): Promise<undefined | Refusal<string>>;
  /** In the order they were pinned, retired ones included. */
  anchors(): Promise<readonly ForeignAnchor[]>;
}
