/**
 * A copy of an installation: both databases, each of one moment, always as SQLite files; encrypted keys,
 * certificates, documents. It leaves out what a restored installation must not have: the log's files, which
 * have to come from elsewhere, and the mark of sessions.
 */
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import {
  commonTables,
  type Contents,
  contentsOf,
  copyTables,
  differences,
} from '../../drivers/store/copy.ts';
import { openPostgresSnapshot } from '../../drivers/store/postgres/snapshot.ts';
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import { newSqliteTarget } from '../../drivers/store/sqlite/copyTarget.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { SqliteRecoveryStore } from '../../drivers/store/sqlite/recoveryStore.ts';
import { openSqliteSnapshot } from '../../drivers/store/sqlite/snapshot.ts';
import { EnvironmentError, InvariantError } from '../../trust/ports/faults.ts';
import { storeMarkPath } from '../storePlace.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { type Household, households } from './household.ts';
import { markRecovery } from './recoveryState.ts';

/** The server may be running. Rejects with an `EnvironmentError` when the target is there already. */
export async function backUp(
  dataFolder: string,
  target: string,
  server: StoreSetting | undefined,
): Promise<ReadonlyMap<string, Contents>> {
  if (existsSync(target)) throw refused(`${target} is there already`);
  const unfinished = `${resolve(target)}.unfinished`;
  const made = new Map<string, Contents>();
  for (const household of households(dataFolder)) {
    if (!existsSync(household.place.folder)) continue;
    const folder = join(unfinished, household.name);
    await copyFiles(household.place.folder, folder);
    made.set(household.name, await copyDatabase(household, folder, server));
    if (household.name === 'authority') await demandRecovery(household, folder);
  }
  // A crash before this line leaves a folder whose name says that it is no backup.
  await rename(unfinished, target);
  return made;
}

/** A part of a backup, and where it goes. */
interface Part {
  readonly name: Household['name'];
  readonly from: string;
  readonly folder: string;
}

/**
 * What a restore would bring. Throws an `EnvironmentError` where the folder is no backup, or something is
 * at its place already: before the first file is written.
 */
export function restorable(backup: string, dataFolder: string): readonly Part[] {
  const [authority, provisioner] = households(dataFolder);
  const database = join(backup, authority.name, basename(authority.place.database));
  // A backup without the provisioner is one of a server that was never started.
  if (!existsSync(database)) throw refused(`${backup} is no backup: it has no ${database}`);
  return [authority, provisioner].flatMap(({ name, place: { folder } }) => {
    const from = join(backup, name);
    if (!existsSync(from)) return [];
    if (existsSync(folder)) throw refused(`${folder} is there already`);
    return [{ name, from, folder }];
  });
}

/** Into a folder where nothing is; what it makes is in recovery from its first moment. */
export async function restore(backup: string, dataFolder: string): Promise<void> {
  for (const { from, folder } of restorable(backup, dataFolder)) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // Before the first file: a restore that is broken off must not look like an installation.
    await markRecovery(folder);
    await cp(from, folder, { recursive: true, preserveTimestamps: true });
  }
}

/** By name, in either folder. */
const leftOut =
  /^(.*\.sqlite.*|log|logs|security|store-m.*|sessions\.life.*|recovery\.json|.*\.sock|.*\.tmp)$/;

async function copyFiles(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of await readdir(from)) {
    if (!leftOut.test(name)) await cp(join(from, name), join(to, name), { recursive: true });
  }
}

async function copyDatabase(
  { place, sqliteMigrations }: Household,
  folder: string,
  server: StoreSetting | undefined,
): Promise<Contents> {
  const source: Snapshot = existsSync(storeMarkPath(place))
    ? await openPostgresSnapshot({ ...requireServer(server), schema: place.schema })
    : openSqliteSnapshot(place.database);
  try {
    const path = join(folder, basename(place.database));
    const target = await newSqliteTarget(path, sqliteMigrations);
    try {
      await copyTables(source, target);
    } finally {
      target.close();
    }
    const copy = openSqliteSnapshot(path);
    try {
      const tables = commonTables(await source.tables(), await copy.tables());
      const contents = await contentsOf(copy, tables);
      const found = differences(await contentsOf(source, tables), contents);
      if (found.length > 0) throw new InvariantError(`the copy differs: ${found.join('; ')}`);
      return contents;
    } finally {
      await copy.close();
    }
  } finally {
    await source.close();
  }
}

/** Whoever takes the file and starts on it, without a restore, is told the same. */
async function demandRecovery(
  { place, sqliteMigrations: migrations }: Household,
  folder: string,
): Promise<void> {
  const path = join(folder, basename(place.database));
  const database = new SqliteDatabase({ path, migrations });
  try {
    await new SqliteRecoveryStore(database).demand();
  } finally {
    database.close();
    for (const suffix of ['-lock', '-lock.pid']) await rm(`${path}${suffix}`, { force: true });
  }
}

function requireServer(server: StoreSetting | undefined): StoreSetting {
  if (server !== undefined) return server;
  throw refused('the databases are on a server: give --store');
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
