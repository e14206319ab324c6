/**
 * The tree over the audit log (RFC 6962 §2.1). One `AuditLog` per store takes the leaves in the order in
 * which they were committed; whoever knows an older head can prove that nothing before it was changed.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import {
  hashesOnAppend,
  leafHash,
  rootOf,
  type StoredHash,
  subtrees,
  type TreeHash,
} from '../../wire/tlog/tree.ts';
import type { AuditHead, AuditStore } from '../ports/auditStore.ts';
import type { Clock } from '../ports/clock.ts';
import { InvariantError } from '../ports/faults.ts';

/** Leaves that are read at once. */
const batchSize = 1_000;

export class AuditLog {
  readonly #store: AuditStore;
  readonly #clock: Clock;
  readonly #tree: GrowingTree;
  #advancing: Promise<AuditHead> | undefined;

  private constructor(store: AuditStore, clock: Clock, tree: GrowingTree) {
    this.#store = store;
    this.#clock = clock;
    this.#tree = tree;
  }

  static async open(store: AuditStore, clock: Clock, crypto: Crypto): Promise<AuditLog> {
    const hash: TreeHash = (data) => crypto.hash('SHA-256', data);
    const head = await store.head();
    return new AuditLog(store, clock, new GrowingTree(hash, head));
  }

  /**
   * Takes in what was committed since the last call and stores the new head. A crash before the head is
   * stored loses nothing: the next start hashes the same leaves again.
   */
  advance(): Promise<AuditHead> {
    // Calls share one at work; a leaf committed behind its last read waits for the next call.
    this.#advancing ??= this.#advance().finally(() => {
      this.#advancing = undefined;
    });
    return this.#advancing;
  }

  async #advance(): Promise<AuditHead> {
    const before = this.#tree.size;
    for (;;) {
      const entries = await this.#store.leaves(this.#tree.size, batchSize);
      for (const entry of entries) this.#tree.append(entry);
      if (entries.length < batchSize) break;
    }
    const head = this.#tree.head(this.#clock.nowMs());
    if (this.#tree.size > before) await this.#store.saveHead(head);
    return head;
  }
}

/** A tree that only grows: it keeps the complete subtrees at its right edge, at most one a level. */
export class GrowingTree {
  readonly #hash: TreeHash;
  readonly #edge = new Map<number, Uint8Array>();
  #size: number;

  /** Starts from a stored head; throws an `InvariantError` when that head contradicts itself. */
  constructor(hash: TreeHash, head: AuditHead | undefined) {
    this.#hash = hash;
    this.#size = head?.treeSize ?? 0;
    const levels = subtrees(0, this.#size).map(({ level }) => level);
    for (const [index, level] of levels.entries()) {
      const subtree = head?.subtrees[index];
      if (subtree !== undefined) this.#edge.set(level, subtree);
    }
    if (head !== undefined && !equal(this.root(), head.root)) {
      throw new InvariantError('the stored head of the audit log contradicts itself');
    }
  }

  get size(): number {
    return this.#size;
  }

  append(entry: Uint8Array): void {
    const leaf = leafHash(this.#hash, entry);
    const made = hashesOnAppend(this.#hash, this.#stored, this.#size, leaf);
    for (const { level, hash } of made) {
      this.#edge.delete(level - 1);
      this.#edge.set(level, hash);
    }
    this.#size += 1;
  }

  root(): Uint8Array {
    return rootOf(this.#hash, this.#stored, this.#size);
  }

  head(atMs: number): AuditHead {
    const levels = subtrees(0, this.#size).map(({ level }) => level);
    return {
      treeSize: this.#size,
      root: this.root(),
      subtrees: levels.map((level) => this.#stored(level, 0)),
      atMs,
    };
  }

  /** Only the right edge is ever asked for, where each level has one complete subtree at most. */
  readonly #stored: StoredHash = (level) => {
    const hash = this.#edge.get(level);
    if (hash === undefined) throw new InvariantError(`no subtree of level ${level} at the edge`);
    return hash;
  };
}
