/**
 * The Merkle tree of a log (RFC 6962 §2.1; proofs as RFC 9162 §2.1.3 and §2.1.4): hashes, roots, proofs of
 * inclusion and consistency and their verification. Which hashes are stored where is the caller's matter:
 * it hands in a function that knows the hash of every complete subtree.
 */
import { concat, equal } from '../bytes/bytes.ts';

export const hashLength = 32;

/** SHA-256. */
export type TreeHash = (data: Uint8Array) => Uint8Array;

/** Hash of the complete subtree of 2^level leaves that starts at leaf `index << level`. */
export type StoredHash = (level: number, index: number) => Uint8Array;

/** RFC 6962 §2.1: the prefix keeps a leaf from being read as a node. */
export function leafHash(hash: TreeHash, entry: Uint8Array): Uint8Array {
  return hash(concat(Uint8Array.of(0), entry));
}

export function nodeHash(hash: TreeHash, left: Uint8Array, right: Uint8Array): Uint8Array {
  return hash(concat(Uint8Array.of(1), left, right));
}

/** RFC 6962 §2.1: the root of no leaves is the hash of nothing. */
export function emptyRoot(hash: TreeHash): Uint8Array {
  return hash(new Uint8Array(0));
}

/** The complete subtrees that make up the leaves [start, end), left to right. */
export function subtrees(start: number, end: number): Array<{ level: number; index: number }> {
  const found: Array<{ level: number; index: number }> = [];
  let position = start;
  while (position < end) {
    let level = 0;
    let width = 1;
    while (position % (width * 2) === 0 && position + width * 2 <= end) {
      level += 1;
      width *= 2;
    }
    found.push({ level, index: position / width });
    position += width;
  }
  return found;
}

export function rootOf(hash: TreeHash, stored: StoredHash, treeSize: number): Uint8Array {
  return treeSize === 0 ? emptyRoot(hash) : rangeHash(hash, stored, 0, treeSize);
}

/**
 * Hashes that become complete when a leaf is appended to a tree of `treeSize` leaves, lowest level first:
 * the leaf's own and that of every subtree it closes.
 */
export function hashesOnAppend(
  hash: TreeHash,
  stored: StoredHash,
  treeSize: number,
  leaf: Uint8Array,
): Array<{ level: number; index: number; hash: Uint8Array }> {
  const made = [{ level: 0, index: treeSize, hash: leaf }];
  let current = leaf;
  for (let level = 0, index = treeSize; index % 2 === 1; level++) {
    current = nodeHash(hash, stored(level, index - 1), current);
    index = (index - 1) / 2;
    made.push({ level: level + 1, index, hash: current });
  }
  return made;
}

/** Audit path of a leaf (RFC 9162 §2.1.3.1). */
export function inclusionProof(
  hash: TreeHash,
  stored: StoredHash,
  leafIndex: number,
  treeSize: number,
): Uint8Array[] {
  if (leafIndex < 0 || leafIndex >= treeSize) throw new TypeError('no such leaf in this tree');
  return pathOf(hash, stored, leafIndex, 0, treeSize);
}

/** Proof that the tree of `oldSize` leaves is a prefix of the tree of `newSize` (RFC 9162 §2.1.4.1). */
export function consistencyProof(
  hash: TreeHash,
  stored: StoredHash,
  oldSize: number,
  newSize: number,
): Uint8Array[] {
  if (oldSize < 1 || oldSize > newSize) throw new TypeError('the older tree must be smaller');
  if (oldSize === newSize) return [];
  return subproof(hash, stored, oldSize, 0, newSize, true);
}

/** RFC 9162 §2.1.3.2. */
export function verifyInclusion(
  hash: TreeHash,
  proof: {
    readonly leaf: Uint8Array;
    readonly leafIndex: number;
    readonly treeSize: number;
    readonly path: readonly Uint8Array[];
    readonly root: Uint8Array;
  },
): boolean {
  if (proof.leafIndex < 0 || proof.leafIndex >= proof.treeSize) return false;
  let position = proof.leafIndex;
  let last = proof.treeSize - 1;
  let current = proof.leaf;
  for (const sibling of proof.path) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      current = nodeHash(hash, sibling, current);
      while (position % 2 === 0 && position !== 0) {
        position = half(position);
        last = half(last);
      }
    } else {
      current = nodeHash(hash, current, sibling);
    }
    position = half(position);
    last = half(last);
  }
  return last === 0 && equal(current, proof.root);
}

/** RFC 9162 §2.1.4.2. */
export function verifyConsistency(
  hash: TreeHash,
  proof: {
    readonly oldSize: number;
    readonly oldRoot: Uint8Array;
    readonly newSize: number;
    readonly newRoot: Uint8Array;
    readonly path: readonly Uint8Array[];
  },
): boolean {
  const { oldSize, newSize, oldRoot, newRoot } = proof;
  if (oldSize < 1 || oldSize > newSize) return false;
  if (oldSize === newSize) return proof.path.length === 0 && equal(oldRoot, newRoot);
  // A whole old tree is a node of the new one; its own root opens the path then.
  const path = isPowerOfTwo(oldSize) ? [oldRoot, ...proof.path] : [...proof.path];
  let position = oldSize - 1;
  let last = newSize - 1;
  while (position % 2 === 1) {
    position = half(position);
    last = half(last);
  }
  const [first, ...rest] = path;
  if (first === undefined) return false;
  let older = first;
  let newer = first;
  for (const sibling of rest) {
    if (last === 0) return false;
    if (position % 2 === 1 || position === last) {
      older = nodeHash(hash, sibling, older);
      newer = nodeHash(hash, sibling, newer);
      while (position % 2 === 0 && position !== 0) {
        position = half(position);
        last = half(last);
      }
    } else {
      newer = nodeHash(hash, newer, sibling);
    }
    position = half(position);
    last = half(last);
  }
  return last === 0 && equal(older, oldRoot) && equal(newer, newRoot);
}

/** MTH of the leaves [start, end): complete subtrees, folded from the right. */
function rangeHash(hash: TreeHash, stored: StoredHash, start: number, end: number): Uint8Array {
  const parts = subtrees(start, end).map(({ level, index }) => stored(level, index));
  let folded = parts.pop();
  if (folded === undefined) throw new TypeError('an empty range has no hash');
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    folded = nodeHash(hash, part, folded);
  }
  return folded;
}

function pathOf(
  hash: TreeHash,
  stored: StoredHash,
  leafIndex: number,
  start: number,
  end: number,
): Uint8Array[] {
  if (end - start === 1) return [];
  const split = start + largestPowerBelow(end - start);
  return leafIndex < split
    ? [...pathOf(hash, stored, leafIndex, start, split), rangeHash(hash, stored, split, end)]
    : [...pathOf(hash, stored, leafIndex, split, end), rangeHash(hash, stored, start, split)];
}

function subproof(
  hash: TreeHash,
  stored: StoredHash,
  oldEnd: number,
  start: number,
  end: number,
  whole: boolean,
): Uint8Array[] {
  if (oldEnd === end) return whole ? [] : [rangeHash(hash, stored, start, end)];
  const split = start + largestPowerBelow(end - start);
  return oldEnd <= split
    ? [...subproof(hash, stored, oldEnd, start, split, whole), rangeHash(hash, stored, split, end)]
    : [...subproof(hash, stored, oldEnd, split, end, false), rangeHash(hash, stored, start, split)];
}

/** Largest power of two below `value`, for a value above 1. */
function largestPowerBelow(value: number): number {
  let power = 1;
  while (power * 2 < value) power *= 2;
  return power;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}

function half(value: number): number {
  return Math.floor(value / 2);
}
