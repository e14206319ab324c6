/** `birthmark audit witness`: who is shown the log, and being the witness of somebody else's. */
import { type Command, InvalidArgumentError } from 'commander';
import { authorityPaths, requireInstallation } from '../../authority/authorityFolder.ts';
import {
  readWitnesses,
  sha256,
  targetOf,
  type WitnessEntry,
  witnessEntry,
  writeWitnesses,
} from '../../authority/witnesses.ts';
import { readPassphrase } from '../../passphrase.ts';
import { startWitness } from '../../witness/witness.ts';
import { type NoteKey, parseNoteKey } from '../../../wire/tlog/noteKey.ts';
import { defaultData } from '../dataFolder.ts';
import { CommandFailure, exitCodes, type OutputOptions, print } from '../terminal.ts';

interface DataOptions extends OutputOptions {
  readonly data: string;
  readonly dryRun?: boolean;
}

interface RunOptions extends OutputOptions {
  readonly folder: string;
  readonly log: readonly NoteKey[];
  readonly host: string;
  readonly port: number;
}

export function registerAuditWitness(audit: Command): void {
  const witness = audit.command('witness').description('Others who remember what the log was');
  changing(witness.command('add').description('Show the log to a folder or an address'))
    .argument('<target>', 'a folder on another disk or machine, or http(s)://...')
    .option('--key <key>', 'verifier key of the witness at that address')
    .addHelpText(
      'after',
      `
Examples:
  birthmark audit witness add /mnt/elsewhere/witness
  birthmark audit witness add https://witness.example --key "witness.example/w1+1a2b3c4d+BA..."

The next start of birthmark serve shows it the log, at least once a minute.`,
    )
    .action(add);
  changing(witness.command('remove').description('Show the log to it no more'))
    .argument('<target>', 'as birthmark audit witness list prints it')
    .addHelpText('after', '\nExample:\n  birthmark audit witness remove /mnt/elsewhere/witness')
    .action(remove);
  witness
    .command('list')
    .description('Who is shown the log')
    .option('--data <folder>', 'data folder', defaultData())
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark audit witness list')
    .action(list);
  witness
    .command('run')
    .description('Be the witness of logs of other machines (C2SP tlog-witness over HTTP)')
    .requiredOption('--folder <folder>', 'what was seen, and the key of this witness')
    .requiredOption('--log <keys...>', 'verifier keys of the logs: DATA/authority/log/key', keys)
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <port>', '0 lets the system choose', port, 8480)
    .option('--json', 'one JSON line when it listens')
    .addHelpText(
      'after',
      `
Example:
  birthmark audit witness run --folder /srv/witness --host 0.0.0.0 --log "$(cat maker.key)"

It prints its own key, which belongs to “birthmark audit witness add” on the other side. What it is sent
and answers is signed; put a TLS proxy in front of it where the network must not see it.`,
    )
    .action(run);
}

function changing(command: Command): Command {
  return command
    .option('--data <folder>', 'data folder', defaultData())
    .option('--dry-run', 'say what would be changed')
    .option('--json', 'one JSON document on stdout');
}

async function add(
  target: string,
  options: DataOptions & { readonly key?: string },
): Promise<void> {
  const isAddress = /^https?:\/\//.test(target);
  if (!isAddress && /^[a-z][a-z0-9+.-]*:/i.test(target)) {
    // A slip in the scheme must not make a folder of this machine the witness of its log.
    throw new CommandFailure(`${target} is no folder and no http(s) address`, exitCodes.usage);
  }
  if (isAddress && options.key === undefined) {
    throw new CommandFailure(`${target} needs the --key of its witness`, exitCodes.usage);
  }
  const entry = witnessEntry(target, options.key);
  await change(options, (entries) => [
    ...entries.filter((one) => targetOf(one) !== targetOf(entry)),
    entry,
  ]);
}

async function remove(target: string, options: DataOptions): Promise<void> {
  await change(options, (entries) => {
    const rest = entries.filter((one) => targetOf(one) !== target);
    if (rest.length < entries.length) return rest;
    throw new CommandFailure(`no witness ${target}`);
  });
}

async function change(
  options: DataOptions,
  next: (entries: readonly WitnessEntry[]) => readonly WitnessEntry[],
): Promise<void> {
  const paths = authorityPaths(options.data);
  await requireInstallation(paths);
  const entries = next(await readWitnesses(paths.folder));
  const dryRun = options.dryRun === true;
  if (!dryRun) await writeWitnesses(paths.folder, entries);
  print(options, { witnesses: entries, dryRun }, [
    ...entries.map(targetOf),
    dryRun ? 'Nothing was changed.' : 'This counts from the next start of birthmark serve on.',
  ]);
}

async function list(options: DataOptions): Promise<void> {
  const entries = await readWitnesses(authorityPaths(options.data).folder);
  print(
    options,
    { witnesses: entries },
    entries.length === 0
      ? ['No witness: whoever has this machine could replace the whole log unseen.']
      : entries.map(targetOf),
  );
}

async function run(options: RunOptions): Promise<void> {
  const witness = await startWitness({
    folder: options.folder,
    passphrase: await readPassphrase(),
    logs: options.log,
    host: options.host,
    port: options.port,
    onRefusal: (code, reason) => process.stderr.write(`refused: ${code}: ${reason}\n`),
  });
  print(options, { port: witness.port, key: witness.key }, [
    `listening on ${options.host}:${witness.port}`,
    `key: ${witness.key}`,
  ]);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve()).once('SIGTERM', () => resolve());
  });
  await witness.close();
}

function keys(text: string, before: readonly NoteKey[] = []): readonly NoteKey[] {
  const key = parseNoteKey(sha256, text.trim());
  if (key.kind === 'log') return [...before, key];
  throw new InvalidArgumentError('the key is a witness’, not a log’s');
}

function port(text: string): number {
  const number = Number(text);
  if (/^\d{1,5}$/.test(text) && number <= 65_535) return number;
  throw new InvalidArgumentError('a port is a number from 0 to 65535');
}
