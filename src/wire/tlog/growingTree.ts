/** RFC 6962 §2.1 over leaves as they come, keeping the hash of every complete subtree at the right edge. */
import { hashesOnAppend, leafHash, rootOf, type TreeHash } from './tree.ts';

export class GrowingTree {
  readonly #hash: TreeHash;
  readonly #edge = new Map<number, Uint8Array>();
  #size = 0;

  constructor(hash: TreeHash) {
    this.#hash = hash;
  }

  get size(): number {
    return this.#size;
  }

  append(entry: Uint8Array): void {
    const leaf = leafHash(this.#hash, entry);
    const made = hashesOnAppend(this.#hash, this.#stored, this.#size, leaf);
    for (const { level, hash } of made) this.#edge.set(level, hash);
    this.#size += 1;
  }

  root(): Uint8Array {
    return rootOf(this.#hash, this.#stored, this.#size);
  }

  readonly #stored = (level: number): Uint8Array => this.#edge.get(level) ?? new Uint8Array(0);
}
