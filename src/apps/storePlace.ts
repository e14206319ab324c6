/**
 * Where the database of a process is, and how its folder knows. A file in the folder; or a schema on a
 * server, of which the folder has a mark that is in the database too. A process that went on with an empty
 * database, or with that of another installation, would give out a second time what it gave out before.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { describeAddress } from '../drivers/store/postgres/address.ts';
import { EnvironmentError } from '../trust/ports/faults.ts';
import { equal } from '../wire/bytes/bytes.ts';
import { parseHex, toHex } from '../wire/bytes/hex.ts';
import type { StoreSetting } from './storeSetting.ts';

export interface StorePlace {
  readonly folder: string;
  /** Path of the SQLite file, where that is the store. */
  readonly database: string;
  /** On a server. */
  readonly schema: string;
}

/** Stands in place of a database's mark once everything in it is elsewhere. */
export const movedMark: Uint8Array = new Uint8Array(16);

export function storeMarkPath({ folder }: Pick<StorePlace, 'folder'>): string {
  return join(folder, 'store-mark');
}

/** While it is there a move has begun and not ended: nothing starts on either database. */
export function storeMovePath({ folder }: Pick<StorePlace, 'folder'>): string {
  return join(folder, 'store-moving');
}

/** `undefined` where the database is a file. Rejects with an `EnvironmentError` when it holds none. */
export async function readStoreMark(place: StorePlace): Promise<Uint8Array | undefined> {
  return readMarkFile(storeMarkPath(place));
}

export async function readMarkFile(path: string): Promise<Uint8Array | undefined> {
  if (!existsSync(path)) return undefined;
  const mark = parseHex((await readFile(path, 'utf8')).trim());
  if (mark?.length !== movedMark.length) throw refused(`${path} holds no mark`);
  return mark;
}

export function newStoreMark(): Uint8Array {
  return Uint8Array.from(randomBytes(movedMark.length));
}

export async function writeMarkFile(path: string, mark: Uint8Array): Promise<void> {
  const file = await open(`${path}.tmp`, 'w', 0o600);
  try {
    await file.writeFile(`${toHex(mark)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
}

/** Throws an `EnvironmentError` when the database is not where `setting` says, or is being moved. */
export function requirePlace(
  place: StorePlace,
  setting: StoreSetting | undefined,
  mark: Uint8Array | undefined,
): void {
  if (existsSync(storeMovePath(place))) {
    throw refused(`${place.folder} is being moved: finish birthmark store migrate`);
  }
  if (setting === undefined && mark !== undefined) {
    throw refused(`${place.folder} has its database on a server: give --store`);
  }
  if (setting !== undefined && mark === undefined && existsSync(place.database)) {
    throw refused(`${place.folder} has its database in ${place.database}: leave --store away`);
  }
}

/** Throws an `EnvironmentError` when the mark in a file says that what was in it is on a server now. */
export function refuseMoved({ database }: StorePlace, mark: Uint8Array | undefined): void {
  if (mark !== undefined && equal(mark, movedMark)) {
    throw refused(`what was in ${database} has been moved to a server`);
  }
}

/**
 * What a database on a server says against what its folder says; gives the mark that is to be saved in an
 * empty one. A crash between the two writes leaves a marked folder and an empty database, which the next
 * start marks. Rejects with an `EnvironmentError` when they do not belong together.
 */
export async function recognize(
  place: StorePlace,
  { address }: StoreSetting,
  database: {
    readonly mark: Uint8Array | undefined;
    readonly isEmpty: boolean;
    /** For an empty database without a mark of its own. */
    readonly fresh: () => Uint8Array;
  },
): Promise<Uint8Array | undefined> {
  const mark = await readStoreMark(place);
  const known = database.mark;
  if (known !== undefined && mark !== undefined && equal(known, mark)) return undefined;
  if (known !== undefined && equal(known, movedMark)) {
    throw refused(`what was in ${describeAddress(address)} has been moved elsewhere`);
  }
  if (!database.isEmpty) {
    throw refused(`${describeAddress(address)} and ${place.folder} are not of one installation`);
  }
  const next = mark ?? database.fresh();
  if (mark === undefined) await writeMarkFile(storeMarkPath(place), next);
  return next;
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
