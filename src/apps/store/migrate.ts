/**
 * Moves a database between its file and a server. Nothing runs meanwhile; nothing is lost: counts, contents
 * and the root of the log are read back from the new database and compared before it counts. A crash
 * anywhere is mended by the same command: up to one step, which is named below, the old database is the
 * one that counts; from there on it is the new one, and the old one says that it was moved.
 */
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import {
  commonTables,
  type Contents,
  contentsOf,
  copyTables,
  differences,
  type OnRows,
} from '../../drivers/store/copy.ts';
import {
  markInFile,
  markOnServer,
  saveMarkInFile,
  saveMarkOnServer,
} from '../../drivers/store/mark.ts';
import { continueNumbers, postgresTarget } from '../../drivers/store/postgres/copyTarget.ts';
import { describeAddress } from '../../drivers/store/postgres/address.ts';
import { PostgresDatabase } from '../../drivers/store/postgres/database.ts';
import { openPostgresSnapshot } from '../../drivers/store/postgres/snapshot.ts';
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import { newSqliteTarget } from '../../drivers/store/sqlite/copyTarget.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { openSqliteSnapshot } from '../../drivers/store/sqlite/snapshot.ts';
import { EnvironmentError, InvariantError } from '../../trust/ports/faults.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import {
  movedMark,
  newStoreMark,
  readMarkFile,
  readStoreMark,
  refuseMoved,
  storeMarkPath,
  storeMovePath,
  writeMarkFile,
} from '../storePlace.ts';
import type { StoreSetting } from '../storeSetting.ts';
import type { Household } from './household.ts';

export interface MoveOptions {
  readonly household: Household;
  /** The server: where it goes to, or comes from. */
  readonly server: StoreSetting;
  readonly onRows?: OnRows;
}

/** What the new database holds; `undefined` when a former call had come to its end but for tidying up. */
export type Moved = Contents | undefined;

/** Rejects with an `EnvironmentError` when a process has one of the two, or the server's is not empty. */
export async function moveToServer({ household, server, onRows }: MoveOptions): Promise<Moved> {
  const { place } = household;
  const decided = await readStoreMark(place);
  const moving = await readMarkFile(storeMovePath(place));
  if (decided !== undefined) {
    if (moving === undefined) throw refused(`${place.folder} has its database on a server already`);
    await leaveFile(household);
    return undefined;
  }
  const path = place.database;
  if (!existsSync(path)) throw refused(`${path} is missing`);
  const source = new SqliteDatabase({ path, migrations: household.sqliteMigrations });
  let contents: Contents;
  let mark: Uint8Array;
  try {
    mark = moving ?? (await markOfFile(household, source)) ?? newStoreMark();
    await writeMarkFile(storeMovePath(place), mark);
    await saveMarkInFile(source, household.name, mark);
    await copyToServer(household, server, { mark, onRows });
    const there = await openPostgresSnapshot({ ...server, schema: place.schema });
    contents = await compared(openSqliteSnapshot(path), there, onRows);
  } finally {
    source.close();
  }
  // A crash before this line leaves two equal databases, of which the file counts; after it the server's does.
  await writeMarkFile(storeMarkPath(place), mark);
  await leaveFile(household);
  return contents;
}

/** As `moveToServer`, in the other direction. */
export async function moveToFile({ household, server, onRows }: MoveOptions): Promise<Moved> {
  const { place } = household;
  const mark = await readStoreMark(place);
  if (mark === undefined) throw refused(`${place.folder} has its database in a file already`);
  const source = await openServer(household, server);
  let contents: Moved;
  try {
    const known = (await markOnServer(source, household.name)).mark;
    if (known === undefined || !(equal(known, mark) || equal(known, movedMark))) {
      throw refused(
        `${describeAddress(server.address)} and ${place.folder} do not belong together`,
      );
    }
    await writeMarkFile(storeMovePath(place), mark);
    if (!existsSync(place.database)) {
      contents = await copyToFile(household, server, onRows);
      // A crash before this line leaves the server's database as the one that counts; after it the file does.
      await rename(unfinished(household), place.database);
    }
    await saveMarkOnServer(source, household.name, movedMark);
  } finally {
    await source.close();
  }
  await rm(storeMarkPath(place), { force: true });
  await rm(storeMovePath(place), { force: true });
  return contents;
}

/** Nothing is written where a copy of the same move is already: a call before this one made it. */
async function copyToServer(
  household: Household,
  server: StoreSetting,
  { mark, onRows }: { readonly mark: Uint8Array; readonly onRows: OnRows | undefined },
): Promise<void> {
  const target = await openServer(household, server);
  try {
    const standing = await markOnServer(target, household.name);
    if (standing.mark !== undefined && equal(standing.mark, mark)) return;
    if (!standing.untouched) {
      throw refused(`${describeAddress(server.address)} holds a database already`);
    }
    const source = openSqliteSnapshot(household.place.database);
    try {
      await target.transact(async (connection) => {
        await copyTables(source, await postgresTarget(connection), onRows);
        await continueNumbers(connection);
      });
    } finally {
      await source.close();
    }
  } finally {
    await target.close();
  }
}

async function copyToFile(
  household: Household,
  server: StoreSetting,
  onRows: OnRows | undefined,
): Promise<Contents> {
  const path = unfinished(household);
  const target = await newSqliteTarget(path, household.sqliteMigrations);
  const open = (): Promise<Snapshot> =>
    openPostgresSnapshot({ ...server, schema: household.place.schema });
  const source = await open();
  try {
    await copyTables(source, target, onRows);
  } finally {
    await source.close();
    target.close();
  }
  return compared(await open(), openSqliteSnapshot(path), onRows);
}

/** Both are closed at the end. */
async function compared(
  source: Snapshot,
  target: Snapshot,
  onRows: OnRows | undefined,
): Promise<Contents> {
  try {
    const tables = commonTables(await source.tables(), await target.tables());
    const contents = await contentsOf(target, tables, onRows);
    const found = differences(await contentsOf(source, tables, onRows), contents);
    if (found.length === 0) return contents;
    throw new InvariantError(`the copy differs, and does not count: ${found.join('; ')}`);
  } finally {
    await source.close();
    await target.close();
  }
}

/** The file says that it was moved, and has another name; only then a process may start again. */
async function leaveFile(household: Household): Promise<void> {
  const { database: path, ...place } = household.place;
  if (existsSync(path)) {
    const database = new SqliteDatabase({ path, migrations: household.sqliteMigrations });
    try {
      await saveMarkInFile(database, household.name, movedMark);
    } finally {
      database.close();
    }
    await rename(path, `${path}.moved`);
  }
  await rm(storeMovePath(place), { force: true });
}

function unfinished({ place }: Household): string {
  return `${place.database}.new`;
}

function openServer(
  { place: { schema }, postgresMigrations: migrations }: Household,
  server: StoreSetting,
): Promise<PostgresDatabase> {
  return PostgresDatabase.open({ ...server, schema, migrations, use: 'exclusive' });
}

async function markOfFile(
  { name, place }: Household,
  database: SqliteDatabase,
): Promise<Uint8Array | undefined> {
  const { mark } = await markInFile(database, name);
  refuseMoved(place, mark);
  return mark;
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
