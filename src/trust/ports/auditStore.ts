/**
 * The log of what the authority did, as a store. Leaves are written in the transaction of the act they
 * record and never change; the head says how far they have been hashed into the tree.
 */

export interface AuditHead {
  readonly treeSize: number;
  /** RFC 6962 §2.1, 32 bytes. */
  readonly root: Uint8Array;
  /** Hashes of the complete subtrees that make up the tree, left to right. */
  readonly subtrees: readonly Uint8Array[];
  readonly atMs: number;
}

export interface AuditStore {
  /** Entries from leaf `from` on, in order and without a gap, at most `limit`. */
  leaves(from: number, limit: number): Promise<readonly Uint8Array[]>;
  countLeaves(): Promise<number>;
  head(): Promise<AuditHead | undefined>;
  /** The root that was stored for exactly this size. */
  rootAt(treeSize: number): Promise<Uint8Array | undefined>;
  /**
   * Durable. Rejects with an `InvariantError` when a head of this size has another root, or a larger one
   * is stored: what is stored decides, and nobody signs two histories.
   */
  saveHead(head: AuditHead): Promise<void>;
  /** Leaves of their own, for what changes nothing else in the store. Durable. */
  append(entries: readonly Uint8Array[]): Promise<void>;
}
