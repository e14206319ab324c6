/** Proofs from a log's tiles: which hashes a proof needs is known only by making it, so it is made twice. */
import { tileHeight, tileWidth } from '../../wire/tlog/tile.ts';
import {
  consistencyProof,
  hashLength,
  inclusionProof,
  type StoredHash,
  type TreeHash,
} from '../../wire/tlog/tree.ts';
import { EnvironmentError } from '../ports/faults.ts';
import type { LogFiles } from '../ports/tileStore.ts';
import { fold, readTile } from './tileEdge.ts';

/** The tree of the first `treeSize` leaves, which had a checkpoint, as its tiles tell it. */
export class TiledTree {
  readonly treeSize: number;
  readonly #files: LogFiles;
  readonly #hash: TreeHash;
  readonly #tiles = new Map<string, readonly Uint8Array[]>();

  constructor(files: LogFiles, hash: TreeHash, treeSize: number) {
    this.#files = files;
    this.#hash = hash;
    this.treeSize = treeSize;
  }

  /** RFC 9162 §2.1.3. Rejects with an `EnvironmentError` when a tile is missing. */
  inclusion(leafIndex: number): Promise<readonly Uint8Array[]> {
    return this.#make((stored) => inclusionProof(this.#hash, stored, leafIndex, this.treeSize));
  }

  /** RFC 9162 §2.1.4; empty from nothing (C2SP tlog-witness). */
  consistency(oldSize: number): Promise<readonly Uint8Array[]> {
    if (oldSize === 0) return Promise.resolve([]);
    return this.#make((stored) => consistencyProof(this.#hash, stored, oldSize, this.treeSize));
  }

  async #make<Proof>(prove: (stored: StoredHash) => Proof): Promise<Proof> {
    const needed: Array<{ readonly level: number; readonly index: number }> = [];
    prove((level, index) => {
      needed.push({ level, index });
      return new Uint8Array(hashLength);
    });
    for (const { level, index } of needed) await this.#load(...tileOf(level, index));
    return prove((level, index) => this.#stored(level, index));
  }

  #stored(level: number, index: number): Uint8Array {
    const [tileLevel, tileIndex] = tileOf(level, index);
    const width = 2 ** (level % tileHeight);
    const first = index * width - tileIndex * tileWidth;
    const hashes = this.#tiles.get(`${tileLevel}/${tileIndex}`) ?? [];
    return fold(this.#hash, hashes.slice(first, first + width));
  }

  async #load(level: number, index: number): Promise<void> {
    const id = `${level}/${index}`;
    if (this.#tiles.has(id)) return;
    const hashes = Math.floor(this.treeSize / tileWidth ** level) - index * tileWidth;
    const width = Math.min(tileWidth, hashes);
    const tile = await readTile(this.#files, { level, index, width });
    if (tile === undefined) {
      throw new EnvironmentError(`tile ${id} of the log is missing: see birthmark audit verify`, {
        retryable: false,
      });
    }
    this.#tiles.set(id, tile);
  }
}

function tileOf(level: number, index: number): [level: number, index: number] {
  const width = 2 ** (level % tileHeight);
  return [Math.floor(level / tileHeight), Math.floor((index * width) / tileWidth)];
}
