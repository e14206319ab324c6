/** `birthmark store`: where the databases of an installation are, and how they are moved. */
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { authorityPaths, requireInstallation } from '../../authority/authorityFolder.ts';
import { type Household, households } from '../../store/household.ts';
import { type Moved, moveToFile, moveToServer } from '../../store/migrate.ts';
import { storeMarkPath } from '../../storePlace.ts';
import { readStoreSetting, storeOption, type StoreSetting } from '../../storeSetting.ts';
import { defaultData } from '../dataFolder.ts';
import { CommandFailure, exitCodes, type OutputOptions, print, Progress } from '../terminal.ts';
import { registerStoreRecovery } from './storeRecovery.ts';

interface MigrateOptions extends OutputOptions {
  readonly data: string;
  readonly to: string;
  readonly store?: string;
  readonly dryRun?: boolean;
}

export function registerStore(program: Command): void {
  const store = program
    .command('store')
    .description('The databases: where they are, their backup, the way back');
  store
    .command('migrate')
    .description('Move both databases to a PostgreSQL server, or back into files')
    .requiredOption('--to <place>', 'postgres://… or sqlite')
    .option('--data <folder>', 'data folder; nothing may run on it', defaultData())
    .option(...storeOption)
    .option('--dry-run', 'say what would be moved')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark store migrate --to 'postgres://birthmark@db.example.com/birthmark?sslmode=verify-full'
  birthmark store migrate --to sqlite --store 'postgres://birthmark@localhost/birthmark'

Everything is copied, read back and compared (rows of every table, their contents, the root of the log)
before the new database counts. A move that was broken off is finished by the same command; until then
nothing starts. The old database stays, marked so that nothing starts on it any more.`,
    )
    .action(migrate);
  registerStoreRecovery(store);
}

async function migrate(options: MigrateOptions): Promise<void> {
  await requireInstallation(authorityPaths(options.data));
  const toFile = options.to === 'sqlite';
  const server = readStoreSetting(toFile ? options.store : options.to);
  if (server === undefined) {
    throw new CommandFailure('tell with --store where the databases are', exitCodes.usage);
  }
  if (options.dryRun === true) {
    const names = households(options.data)
      .filter(isThere)
      .map(({ name }) => name);
    print(options, { wouldMove: names, to: toFile ? 'sqlite' : 'postgres' }, [
      ...names.map((name) => `Would move the database of the ${name}.`),
      'Nothing was changed.',
    ]);
    return;
  }
  const moved: Array<{ readonly name: string; readonly contents: Moved }> = [];
  for (const household of households(options.data)) {
    if (!isThere(household)) continue;
    moved.push({ name: household.name, contents: await moveOne(household, server, toFile) });
  }
  print(
    options,
    moved.map(({ name, contents }) => ({ name, ...contents })),
    moved.flatMap(({ name, contents }) => linesOf(name, contents)),
  );
}

/** A provisioner that never started has nothing to move. */
function isThere({ place }: Household): boolean {
  return existsSync(place.database) || existsSync(storeMarkPath(place));
}

async function moveOne(
  household: Household,
  server: StoreSetting,
  toFile: boolean,
): Promise<Moved> {
  const progress = new Progress(`rows of the ${household.name}, copied and compared`, 1);
  let rows = 0;
  const onRows = (more: number): void => {
    rows += more;
    progress.update(rows);
  };
  try {
    return await (toFile ? moveToFile : moveToServer)({ household, server, onRows });
  } finally {
    progress.end();
  }
}

function linesOf(name: string, contents: Moved): readonly string[] {
  if (contents === undefined) return [`${name}: was moved before, and is tidied up.`];
  const rows = Object.values(contents.counts).reduce((total, count) => total + count, 0);
  const tables = Object.keys(contents.counts).length;
  const log = `log of ${contents.logSize} entries, root ${contents.logRoot}`;
  return [
    `${name}: ${rows} rows in ${tables} tables, the same in both.`,
    ...(contents.logSize === 0 ? [] : [`${name}: ${log}.`]),
  ];
}
