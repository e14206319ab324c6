/**
 * The right edge of a log's tiles (C2SP tlog-tiles): the last tile of every level and the last bundle of
 * entries, which still grow, and the full ones that were not written yet.
 */
import { concat, equal } from '../../wire/bytes/bytes.ts';
import type { CompleteHash } from '../../wire/tlog/growingTree.ts';
import { encodeEntries, type Tile, tileHeight, tilePath, tileWidth } from '../../wire/tlog/tile.ts';
import { hashLength, nodeHash, type TreeHash } from '../../wire/tlog/tree.ts';
import type { LogFile, LogFiles } from '../ports/tileStore.ts';

interface GrowingTile {
  readonly level: Tile['level'];
  index: number;
  parts: Uint8Array[];
  changed: boolean;
}

export class TileEdge {
  readonly #growing = new Map<Tile['level'], GrowingTile>();
  #full: LogFile[] = [];

  /**
   * As it was when the log had `treeSize` leaves; `undefined` when a file is missing or too short.
   * `entries`: those of the last bundle, which may be none.
   */
  static async load(
    files: LogFiles,
    treeSize: number,
    entries: readonly Uint8Array[],
  ): Promise<TileEdge | undefined> {
    const edge = new TileEdge();
    edge.#tile('entries', Math.floor(treeSize / tileWidth)).parts.push(...entries);
    let width = treeSize;
    for (let level = 0; width > 0; level++, width = Math.floor(width / tileWidth)) {
      const tile = { level, index: Math.floor(width / tileWidth), width: width % tileWidth };
      const growing = edge.#tile(level, tile.index);
      if (tile.width === 0) continue;
      const hashes = await readTile(files, tile);
      if (hashes === undefined) return undefined;
      growing.parts.push(...hashes);
    }
    return edge;
  }

  /** `made`: what became complete with this entry, lowest level first. */
  append(entry: Uint8Array, made: readonly CompleteHash[]): void {
    const leafIndex = made[0]?.index ?? 0;
    this.#add('entries', leafIndex, entry);
    for (const { level, index, hash } of made) {
      if (level % tileHeight === 0) this.#add(level / tileHeight, index, hash);
    }
  }

  /** Files to write before a checkpoint may be signed: full tiles once, partial ones as they are now. */
  files(): readonly LogFile[] {
    const partial = [...this.#growing.values()].filter(({ changed, parts }) => {
      return changed && parts.length > 0;
    });
    return [...this.#full, ...partial.map(fileOf)];
  }

  /** The full tiles alone, each once. */
  takeFull(): readonly LogFile[] {
    const full = this.#full;
    this.#full = [];
    return full;
  }

  /** What `files` said is durable. Returns the paths of the full tiles among it. */
  written(): readonly string[] {
    const paths = this.#full.map(({ path }) => path);
    this.#full = [];
    for (const tile of this.#growing.values()) tile.changed = false;
    return paths;
  }

  /** Hash of the complete subtree at the right edge, from the tiles; `undefined` when it is not there. */
  hashOf(hash: TreeHash, level: number, index: number): Uint8Array | undefined {
    const tile = this.#growing.get(Math.floor(level / tileHeight));
    const width = 2 ** (level % tileHeight);
    const first = index * width - (tile?.index ?? 0) * tileWidth;
    const parts = tile?.parts.slice(Math.max(0, first), first + width) ?? [];
    return first >= 0 && parts.length === width ? fold(hash, parts) : undefined;
  }

  #add(level: Tile['level'], index: number, part: Uint8Array): void {
    const tile = this.#tile(level, Math.floor(index / tileWidth));
    tile.parts.push(part);
    tile.changed = true;
    if (tile.parts.length < tileWidth) return;
    this.#full.push(fileOf(tile));
    tile.index += 1;
    tile.parts = [];
    tile.changed = false;
  }

  #tile(level: Tile['level'], index: number): GrowingTile {
    const known = this.#growing.get(level);
    if (known !== undefined) return known;
    const tile: GrowingTile = { level, index, parts: [], changed: false };
    this.#growing.set(level, tile);
    return tile;
  }
}

/**
 * The hashes of a tile, its first `width` ones. A full tile serves in place of a partial one, which is
 * removed when it is there. `undefined` when neither is there or the file has another length.
 */
export async function readTile(
  files: LogFiles,
  tile: Tile & { readonly level: number },
): Promise<Uint8Array[] | undefined> {
  const content =
    (await files.read(tilePath(tile))) ??
    (await files.read(tilePath({ ...tile, width: tileWidth })));
  if (content === undefined || content.length < tile.width * hashLength) return undefined;
  return Array.from({ length: tile.width }, (_, at) =>
    content.slice(at * hashLength, (at + 1) * hashLength),
  );
}

/** The root of a complete subtree from the hashes below it: 1, 2, 4, ... 256 of them. */
export function fold(hash: TreeHash, parts: readonly Uint8Array[]): Uint8Array {
  let row = parts;
  while (row.length > 1) {
    row = Array.from({ length: row.length / 2 }, (_, at) =>
      nodeHash(hash, row[2 * at] ?? empty, row[2 * at + 1] ?? empty),
    );
  }
  return row[0] ?? empty;
}

export function sameHash(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  return left !== undefined && right !== undefined && equal(left, right);
}

const empty = new Uint8Array(0);

function fileOf({ level, index, parts }: GrowingTile): LogFile {
  return {
    path: tilePath({ level, index, width: parts.length }),
    content: level === 'entries' ? encodeEntries(parts) : concat(...parts),
  };
}
