/** A tree that only grows (RFC 6962 §2.1): it keeps the complete subtrees at its right edge, at most one a level. */
import {
  hashesOnAppend,
  leafHash,
  rootOf,
  type StoredHash,
  subtrees,
  type TreeHash,
} from './tree.ts';

export interface CompleteHash {
  readonly level: number;
  readonly index: number;
  readonly hash: Uint8Array;
}

export interface TreeStart {
  readonly treeSize: number;
  /** Hashes of the complete subtrees that make up the tree, left to right. */
  readonly subtrees: readonly Uint8Array[];
}

export class GrowingTree {
  readonly #hash: TreeHash;
  readonly #edge = new Map<number, Uint8Array>();
  #size: number;

  /** Goes on where another one stood. Throws a `TypeError` when a subtree is missing there. */
  constructor(hash: TreeHash, start: TreeStart = { treeSize: 0, subtrees: [] }) {
    this.#hash = hash;
    this.#size = start.treeSize;
    for (const [index, { level }] of subtrees(0, start.treeSize).entries()) {
      const subtree = start.subtrees[index];
      if (subtree === undefined) throw new TypeError(`no subtree of level ${level}`);
      this.#edge.set(level, subtree);
    }
  }

  get size(): number {
    return this.#size;
  }

  /** What became complete with it, lowest level first. */
  append(entry: Uint8Array): readonly CompleteHash[] {
    return this.appendHash(leafHash(this.#hash, entry));
  }

  /** For an entry of which the hash alone is known. */
  appendHash(leaf: Uint8Array): readonly CompleteHash[] {
    const made = hashesOnAppend(this.#hash, this.#stored, this.#size, leaf);
    for (const { level, hash } of made) {
      this.#edge.delete(level - 1);
      this.#edge.set(level, hash);
    }
    this.#size += 1;
    return made;
  }

  root(): Uint8Array {
    return rootOf(this.#hash, this.#stored, this.#size);
  }

  /** As `TreeStart` has them. */
  edge(): readonly Uint8Array[] {
    return subtrees(0, this.#size).map(({ level }) => this.#stored(level, 0));
  }

  /** Only the right edge is ever asked for, where each level has one complete subtree at most. */
  readonly #stored: StoredHash = (level) => {
    const hash = this.#edge.get(level);
    if (hash === undefined) throw new TypeError(`no subtree of level ${level} at the edge`);
    return hash;
  };
}
