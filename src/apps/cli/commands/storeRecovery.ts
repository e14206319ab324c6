/** `birthmark store backup`, `ledger`, `restore`, `recover`, `release`: what outlives the machine, and the way back. */
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { SnapshotIssuingReader } from '../../../drivers/store/issuingReader.ts';
import { findPem } from '../../../wire/x509/pem.ts';
import { authorityPaths, requireInstallation } from '../../authority/authorityFolder.ts';
import { carryOutAtRest } from '../../authority/approvalOffice.ts';
import { configureLedger } from '../../authority/ledger.ts';
import { openAuthoritySnapshot } from '../../authority/stores.ts';
import { backUp, restorable, restore } from '../../store/backup.ts';
import { recover, releaseRecovery, reportOf } from '../../store/recover.ts';
import { readStoreSetting, storeOption } from '../../storeSetting.ts';
import {
  approvable,
  type ApprovableOptions,
  ask,
  singleOperator,
  withApprovals,
} from '../approving.ts';
import { readX509 } from '../certificateFiles.ts';
import { defaultData } from '../dataFolder.ts';
import { allowed, CommandFailure, exitCodes, type OutputOptions, print } from '../terminal.ts';

interface StoreOptions extends OutputOptions {
  readonly data: string;
  readonly store?: string;
}

interface RecoverCommandOptions extends StoreOptions {
  readonly log: string;
  readonly logKey?: string;
  readonly witness: readonly string[];
  readonly checkpoint: readonly string[];
  readonly ledger?: string;
  readonly skipAddresses: number;
  readonly crl: readonly string[];
  readonly operator: readonly string[];
  readonly anchor: readonly string[];
  readonly authority: readonly string[];
}

interface ReleaseOptions extends ApprovableOptions {
  readonly dryRun?: boolean;
  readonly requestedBy?: string;
  readonly approvedBy?: string;
}

export function registerStoreRecovery(store: Command): void {
  withData(store.command('backup').description('Copy databases, keys, certificates and documents'))
    .requiredOption('--to <folder>', 'a folder that is not there yet')
    .option(...storeOption)
    .addHelpText(
      'after',
      `
Example:
  birthmark store backup --to /mnt/backup/2027-03-01

The server may be running. Keys stay encrypted. Beside it these have to be kept elsewhere, always the newest:
the folder DATA/authority/log, the witness' folder, the ledger, and the published lists of revoked
certificates: without them nobody can tell what was given out after the backup.`,
    )
    .action(backup);
  withData(store.command('ledger <folder>').description('Write every order and ticket there first'))
    .option(...storeOption)
    .option('--dry-run', 'count what would be written')
    .addHelpText('after', '\nExample:\n  birthmark store ledger /mnt/elsewhere/ledger')
    .action(ledger);
  withData(store.command('restore').description('Put a backup into a new data folder, in recovery'))
    .requiredOption('--from <folder>', 'the backup')
    .addHelpText(
      'after',
      `
Example:
  birthmark store restore --from /mnt/backup/2027-03-01 --data /srv/new

Into another folder it is a rehearsal: recover can be tried there, and the folder thrown away.`,
    )
    .option('--dry-run', 'say what would be restored')
    .action(putBack);
  registerRecover(store);
  approvable(
    withData(store.command('release').description('Let a recovered installation start again')),
  )
    .option(...storeOption)
    .option('--dry-run', 'say whether it could be released, and what recover reported')
    .option(
      '--requested-by <name>',
      'who wants it, where one person is enough for other acts',
      person,
    )
    .option('--approved-by <name>', 'another person, who looked at what recover reported', person)
    .addHelpText(
      'after',
      `
Examples:
  birthmark store release --as ./ada
  birthmark store release --approval 3f2a…
  birthmark store release --requested-by "A. Adams" --approved-by "B. Brown"    (single-operator mode)`,
    )
    .action(release);
}

function registerRecover(store: Command): void {
  withData(store.command('recover').description('Learn again what was given out after the backup'))
    .requiredOption('--log <folder>', "newest copy of the log's folder")
    .option('--log-key <key>', 'its verifier key, where it got another one after the backup')
    .option('--witness <folders...>', 'folders of witnesses', [])
    .option('--checkpoint <files...>', 'checkpoints that were kept', [])
    .option('--ledger <folder>', 'ledger of orders and tickets')
    .option('--skip-addresses <count>', 'without a ledger: EUI-64s to leave out', count, 0)
    .option('--operator <files...>', 'certificates of operators that came after it, PEM', [])
    .option('--anchor <files...>', 'certificates of pinned anchors that came after it', [])
    .option('--authority <files...>', 'certificates of authorities that came after it', [])
    .option(...storeOption)
    .option('--crl <files...>', 'published lists of revoked certificates, DER or PEM', [])
    .addHelpText(
      'after',
      `
Example:
  birthmark store recover --data /srv/new --log /mnt/elsewhere/log --witness /mnt/witness \\
    --ledger /mnt/elsewhere/ledger --crl /mnt/mirror/*.crl

It refuses what is older than a witness saw. Orders, tickets and one-time secrets of before are over;
certificates that the backup does not know can be revoked, and those that were revoked stay so; a new log
begins. From its first call on nothing starts before release. What it learns is one transaction: a refusal
leaves the database as it was, and a crash is mended by the same command.`,
    )
    .action(learnAgain);
}

function withData(command: Command): Command {
  return command
    .option('--data <folder>', 'data folder', defaultData())
    .option('--json', 'one JSON document on stdout');
}

async function backup(options: StoreOptions & { readonly to: string }): Promise<void> {
  await requireInstallation(authorityPaths(options.data));
  const made = await backUp(options.data, options.to, readStoreSetting(options.store));
  const parts = [...made].map(([name, contents]) => ({ name, ...contents }));
  print(
    options,
    parts,
    parts.map(({ name, counts }) => {
      const rows = Object.values(counts).reduce((total, rowCount) => total + rowCount, 0);
      return `${name}: ${rows} rows, compared with the database.`;
    }),
  );
}

async function putBack(
  options: OutputOptions & {
    readonly from: string;
    readonly data: string;
    readonly dryRun?: boolean;
  },
): Promise<void> {
  if (options.dryRun === true) {
    const parts = restorable(options.from, options.data);
    print(options, { wouldRestore: parts.map(({ name, folder }) => ({ name, folder })) }, [
      ...parts.map(({ name, folder }) => `Would restore the ${name} into ${folder}.`),
      'Nothing was changed.',
    ]);
    return;
  }
  await restore(options.from, options.data);
  print(options, { recovery: 'demanded' }, [
    'Restored, and in recovery: nothing starts before birthmark store recover and release.',
  ]);
}

async function ledger(
  folder: string,
  options: StoreOptions & { readonly dryRun?: boolean },
): Promise<void> {
  const paths = authorityPaths(options.data);
  await requireInstallation(paths);
  const snapshot = await openAuthoritySnapshot(paths, readStoreSetting(options.store));
  try {
    const known = await new SnapshotIssuingReader(snapshot).ledgerLines();
    if (options.dryRun === true) {
      print(options, { folder, wouldWrite: known.length }, [
        `Would write ${known.length} orders and tickets, and every new one from the next start on.`,
      ]);
      return;
    }
    await configureLedger(paths, folder, known);
    print(options, { folder, known: known.length }, [
      `${known.length} orders and tickets are in the ledger; from the next start on every new one is.`,
    ]);
  } finally {
    await snapshot.close();
  }
}

async function learnAgain(options: RecoverCommandOptions): Promise<void> {
  const lists: Uint8Array[] = [];
  for (const file of options.crl) lists.push(...(await readLists(file)));
  const report = await recover({
    dataFolder: options.data,
    store: readStoreSetting(options.store),
    log: options.log,
    logKey: options.logKey,
    witnesses: options.witness,
    checkpoints: options.checkpoint,
    ledger: options.ledger,
    skippedAddresses: options.skipAddresses,
    lists,
    certificates: [...readX509(options.operator), ...readX509(options.anchor)],
    authorities: readX509(options.authority),
    nowMs: Date.now(),
  });
  print(options, report, [
    ...Object.entries(report).map(([name, value]) => `${name}: ${String(value)}`),
    'It knows again what was given out. Two persons release it: birthmark store release.',
  ]);
}

async function release(options: ReleaseOptions): Promise<void> {
  const { data: dataFolder } = options;
  const store = readStoreSetting(options.store);
  await requireInstallation(authorityPaths(dataFolder));
  const report = await reportOf(dataFolder, store);
  if (options.dryRun === true) {
    print(options, { wouldRelease: true, report }, [
      ...Object.entries(report).map(([name, value]) => `${name}: ${String(value)}`),
      'Would be released, where two persons want it.',
    ]);
    return;
  }
  const asked = await ask(options, 'store.release', () => ({ report }));
  if (asked === undefined) return;
  const atMs = Date.now();
  const persons = { ...(await personsOf(options, asked.approval)), atMs };
  const folder = { dataFolder, clock: { nowMs: Date.now }, store };
  allowed(
    await carryOutAtRest(folder, { kind: 'store.release', ...asked }, (begun) =>
      releaseRecovery(folder, persons, begun),
    ),
  );
  print(options, { released: true }, [
    ...(asked.alone ? [singleOperator] : []),
    'Released. The log has a new key: tell it to witnesses and auditors (DATA/authority/log/key).',
  ]);
}

/** Whoever signed; in single-operator mode whoever is said to have. */
async function personsOf(
  options: ReleaseOptions,
  approval: Uint8Array | undefined,
): Promise<{ readonly requestedBy: string; readonly approvedBy: string }> {
  const { requestedBy, approvedBy } = options;
  if (approval !== undefined) {
    const record = await withApprovals(options, (desk) => desk.request(approval));
    return { requestedBy: record?.requester ?? '', approvedBy: record?.decision?.by ?? '' };
  }
  if (requestedBy === undefined || approvedBy === undefined) {
    throw new CommandFailure('--requested-by and --approved-by are needed', exitCodes.usage);
  }
  if (requestedBy.toLowerCase() === approvedBy.toLowerCase()) {
    const message = 'a restored installation is released by two persons';
    throw new CommandFailure(message, exitCodes.approval);
  }
  return { requestedBy, approvedBy };
}

/** It becomes an entry of the log. */
function person(text: string): string {
  const name = text.trim();
  if (/^[^\p{Cc}\u2028\u2029]{1,100}$/u.test(name)) return name;
  throw new InvalidArgumentError('a name of up to 100 printable characters');
}

/** DER. A file without any was given for one that has some. */
async function readLists(file: string): Promise<readonly Uint8Array[]> {
  const content = new Uint8Array(await readFile(file));
  const text = Buffer.from(content).toString('latin1');
  if (!text.includes('-----BEGIN')) return [content];
  const lists = findPem(text).flatMap(({ label, der }) => (label === 'X509 CRL' ? [der] : []));
  if (lists.length > 0) return lists;
  throw new CommandFailure(`${file} holds no list of revoked certificates`, exitCodes.usage);
}

function count(text: string): number {
  const value = Number(text);
  if (/^\d{1,9}$/.test(text) && value <= maximumSkipped) return value;
  throw new InvalidArgumentError(`a number up to ${maximumSkipped}`);
}

const maximumSkipped = 2 ** 28;
