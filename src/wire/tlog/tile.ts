/** Where the hashes and entries of a log lie as static files (C2SP tlog-tiles). */
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';

/** Hashes in a full tile: eight levels of the tree in one file. */
export const tileWidth = 256;
/** Levels of the tree between two levels of tiles. */
export const tileHeight = 8;
/** An entry is announced by two octets. */
export const maximumEntryBytes = 65_535;

export interface Tile {
  /** Level of tiles, 0 at the leaves; `entries` for the bundles of entries themselves. */
  readonly level: number | 'entries';
  readonly index: number;
  /** 1 to 256; fewer than 256 only at the right edge. */
  readonly width: number;
}

/** `tile/0/x001/x234/067` and `tile/0/x001/x234/067.p/8`. */
export function tilePath({ level, index, width }: Tile): string {
  const groups: string[] = [];
  let rest = index;
  do {
    groups.unshift(String(rest % 1000).padStart(3, '0'));
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  const path = groups.map((group, at) => (at < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${path}${width === tileWidth ? '' : `.p/${width}`}`;
}

/** `undefined` for a path that names no tile, or names one in a second way. */
export function parseTilePath(path: string): Tile | undefined {
  const match = /^tile\/(\d{1,2}|entries)\/((?:x\d{3}\/){0,4}\d{3})(?:\.p\/(\d{1,3}))?$/.exec(path);
  if (match === null) return undefined;
  const [, level = '', number = '', partial] = match;
  const tile: Tile = {
    level: level === 'entries' ? 'entries' : Number(level),
    index: Number(number.replaceAll(/[x/]/g, '')),
    width: partial === undefined ? tileWidth : Number(partial),
  };
  const possible = tile.width >= 1 && tile.index <= Number.MAX_SAFE_INTEGER;
  return possible && tilePath(tile) === path ? tile : undefined;
}

/** Tiles that a log of `treeSize` entries has at its right edge or filled since `previousSize`. */
export function tilesFor(previousSize: number, treeSize: number): Tile[] {
  const tiles: Tile[] = [...level('entries', previousSize, treeSize)];
  let before = previousSize;
  let now = treeSize;
  for (let number = 0; now > 0; number++) {
    tiles.push(...level(number, before, now));
    before = Math.floor(before / tileWidth);
    now = Math.floor(now / tileWidth);
  }
  return tiles;
}

function* level(number: Tile['level'], before: number, now: number): Generator<Tile> {
  if (before === now) return;
  for (let index = Math.floor(before / tileWidth); index * tileWidth < now; index++) {
    yield { level: number, index, width: Math.min(tileWidth, now - index * tileWidth) };
  }
}

/** An entry bundle: each entry behind its length in two octets, big-endian. */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  return concat(
    ...entries.flatMap((entry) => {
      if (entry.length > maximumEntryBytes) throw new TypeError('a log entry above 65,535 bytes');
      return [Uint8Array.of(entry.length >> 8, entry.length & 255), entry];
    }),
  );
}

export function parseEntries(bundle: Uint8Array): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let offset = 0;
  while (offset < bundle.length) {
    const [high, low] = bundle.subarray(offset, offset + 2);
    if (high === undefined || low === undefined) {
      throw new MalformedError('tlog', offset, 'bundle ends inside a length');
    }
    const end = offset + 2 + high * 256 + low;
    if (end > bundle.length)
      throw new MalformedError('tlog', offset, 'entry longer than the bundle');
    entries.push(bundle.subarray(offset + 2, end));
    offset = end;
  }
  return entries;
}
