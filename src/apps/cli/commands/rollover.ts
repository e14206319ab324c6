/** `birthmark ca rollover`: one authority takes over from another, a step at a time. */
import { type Command, Option } from 'commander';
import { nodeCrypto } from '../../../drivers/keys/software/nodeCrypto.ts';
import { parseKeyUri } from '../../../drivers/keys/pkcs11/keyUri.ts';
import type { ActKind, ActRequests } from '../../../trust/approvals/acts.ts';
import type { Begun } from '../../../trust/approvals/permissions.ts';
import { AnchorsClient } from '../../../drivers/links/local/anchorsClient.ts';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { parseCertificate } from '../../../wire/x509/certificate.ts';
import {
  authorityNames,
  authorityPaths,
  authorityRoles,
  readCertificateFile,
  requireInstallation,
} from '../../authority/authorityFolder.ts';
import {
  authorityAlgorithms,
  type AuthorityRecord,
  readCertifiedBook,
} from '../../authority/book.ts';
import { carryOutAtRest } from '../../authority/approvalOffice.ts';
import {
  rehearseAnnouncement,
  rehearseRemoval,
  rehearseSwitch,
  type RehearsalOptions,
} from '../../authority/rehearsal.ts';
import { announce, remove, type RolloverOptions, switchOver } from '../../authority/rollover.ts';
import { readPassphrase } from '../../passphrase.ts';
import { readStoreSetting } from '../../storeSetting.ts';
import { socketPathFor } from '../../socketPath.ts';
import { approvable, type ApprovableOptions, ask, wouldAsk } from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { type Guarded, removing, requireKnown, switching } from '../rolloverGuard.ts';
import { allowed, CommandFailure, exitCodes, print, table } from '../terminal.ts';

interface DataOptions extends ApprovableOptions {
  readonly dryRun?: boolean;
}

interface StepOptions extends DataOptions {
  readonly force?: boolean;
}

interface AnnounceOptions extends DataOptions {
  readonly algorithm?: AuthorityRecord['algorithm'];
  readonly key?: string;
  readonly profile?: string;
  readonly newName?: boolean;
}

const help = `
The steps, each with the server stopped for the moment that it takes:
  birthmark ca rollover announce server   make the next one; both certify each other
  birthmark serve                         EST's cacerts hands the links out; devices take the new one in
  birthmark ca rollover status            how many devices were told of it
  birthmark ca rollover switch server     from now on the new one issues; the old one is still believed
  birthmark ca rollover remove server     the old one is believed no more

The new authority has the old one's name (RFC 4210 section 4.4), a root with --new-name another one
(RFC 8649). Every step may be taken again when it was
cut short. switch and remove say how many devices know the next one, and take --force while none of them does.`;

export function registerRollover(ca: Command): void {
  const rollover = ca
    .command('rollover')
    .description('Let one authority take over from another')
    .addHelpText('after', help);
  step(rollover, 'announce', 'Make the next authority of a role, and publish it')
    .addOption(new Option('--algorithm <name>', 'of its key').choices(authorityAlgorithms))
    .option('--key <uri>', 'keep its key in a PKCS#11 token (RFC 7512)')
    .option('--profile <name>', 'profile of its certificate (default: that of the present one)')
    .option('--new-name', 'a root of another name (RFC 8649)')
    .action((role: string, options: AnnounceOptions) => announceOne(lineOf(role), options));
  step(rollover, 'switch', 'Let the announced authority issue')
    .option('--force', 'although no device knows it')
    .action((role: string, options: StepOptions) => switchOne(lineOf(role), options));
  step(rollover, 'remove', 'Believe the retired authority no more')
    .option('--force', 'although no device knows the next one')
    .action((role: string, options: StepOptions) => removeOne(lineOf(role), options));
  rollover
    .command('status')
    .description('Which authorities there are, and how many devices were told of each')
    .option('--data <folder>', 'data folder', defaultData())
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark ca rollover status')
    .action(status);
}

function step(rollover: Command, verb: string, description: string): Command {
  return approvable(rollover.command(`${verb} <role>`))
    .description(`${description} (${authorityNames.join(', ')})`)
    .option('--data <folder>', 'data folder', defaultData())
    .option('--dry-run', 'say what would be done')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', `\nExample:\n  birthmark ca rollover ${verb} server`);
}

/** A role, or the first name of one of several in it. */
function lineOf(text: string): string {
  const role = authorityRoles.find((name) => text === name || text.startsWith(`${name}-`));
  if (role !== undefined && /^[a-z0-9-]{1,40}$/.test(text)) return text;
  const names = authorityRoles.join(', ');
  throw new CommandFailure(`an authority is one of ${names}, or ROLE-NAME`, exitCodes.usage);
}

async function announceOne(role: string, options: AnnounceOptions): Promise<void> {
  const { algorithm, key, profile, newName } = options;
  if (newName === true && role !== 'root') {
    throw new CommandFailure('--new-name is for roots', exitCodes.usage);
  }
  if (key !== undefined) parseKeyUri(key);
  const announcement = {
    role,
    ...(algorithm === undefined ? {} : { algorithm }),
    ...(key === undefined ? {} : { key }),
    ...(profile === undefined ? {} : { profile }),
    ...(newName === undefined ? {} : { newName }),
  };
  if (options.dryRun === true) {
    const { name } = await rehearseAnnouncement(rehearsalOf(options), announcement);
    const asked = await wouldAsk(options, 'authority.announce', announcement);
    return would(options, role, `make ${name}, the next ${role} authority`, asked);
  }
  const made = await atRest(options, 'authority.announce', announcement, announce);
  if (made === undefined) return;
  if (made.pending !== undefined) {
    const waits =
      made.role === 'root'
        ? [
            `${made.name} is to be made where the present one is: birthmark ca root next,`,
            'with the requests of all authorities. What comes back: birthmark ca import.',
          ]
        : [
            `${made.name} waits for the root: ${made.pending}`,
            'Take it to the root (birthmark ca sign-request), and what comes back to birthmark ca import.',
          ];
    print(options, { announced: made }, waits);
    return;
  }
  print(options, { announced: made }, [
    `${made.name} is announced. Start the server: devices learn of it from EST's cacerts.`,
  ]);
}

async function switchOne(role: string, options: StepOptions): Promise<void> {
  const guarded = await requireKnown(options, role, switching);
  if (options.dryRun === true) {
    const { name } = await rehearseSwitch(rehearsalOf(options), { role });
    const asked = await wouldAsk(options, 'authority.switch', { role });
    return would(options, role, `let the announced ${name} issue`, joined(guarded, asked));
  }
  const switched = await atRest(options, 'authority.switch', { role }, switchOver);
  if (switched === undefined) return;
  const { from, to } = switched;
  print(options, { from: from.name, to: to.name, ...guarded.document }, [
    ...guarded.lines,
    `${to.name} issues from the next start on; ${from.name} is still believed.`,
  ]);
}

async function removeOne(role: string, options: StepOptions): Promise<void> {
  const guarded = await requireKnown(options, role, removing);
  if (options.dryRun === true) {
    const { name } = await rehearseRemoval(rehearsalOf(options), { role });
    const asked = await wouldAsk(options, 'authority.remove', { role });
    return would(options, role, `believe the retired ${name} no more`, joined(guarded, asked));
  }
  const removed = await atRest(options, 'authority.remove', { role }, remove);
  if (removed === undefined) return;
  print(options, { removed: removed.name, ...guarded.document }, [
    ...guarded.lines,
    `${removed.name} is believed no more from the next start on, nor what it has issued.`,
  ]);
}

function would(
  options: DataOptions,
  role: string,
  what: string,
  asked: Awaited<ReturnType<typeof wouldAsk>>,
): void {
  print(options, { dryRun: true, role, ...asked.document }, [`Would ${what}.`, ...asked.lines]);
}

function joined(guarded: Guarded, asked: Guarded): Guarded {
  return {
    document: { ...guarded.document, ...asked.document },
    lines: [...guarded.lines, ...asked.lines],
  };
}

/** The step, when it may be taken now; `undefined` when it waits for a second person. */
export async function atRest<Kind extends ActKind, Result>(
  options: DataOptions,
  kind: Kind,
  request: ActRequests[Kind],
  act: (folder: RolloverOptions, begun: Begun<Kind>) => Promise<Result>,
): Promise<Result | undefined> {
  const asked = await ask(options, kind, () => request);
  if (asked === undefined) return undefined;
  const folder = await rolloverOptions(options);
  return allowed(await carryOutAtRest(folder, { kind, ...asked }, (begun) => act(folder, begun)));
}

export function rehearsalOf({ data }: DataOptions): RehearsalOptions {
  return { dataFolder: data, store: readStoreSetting(undefined) };
}

async function status(options: DataOptions): Promise<void> {
  const paths = authorityPaths(options.data);
  await requireInstallation(paths);
  const client = new AnchorsClient(socketPathFor(options.data, 'provisioner'));
  try {
    const rows = [];
    for (const { name, role, state, algorithm } of await readCertifiedBook(paths)) {
      const { publicKey } = parseCertificate(await readCertificateFile(paths, name));
      const told = await count(client, nodeCrypto.hash('SHA-256', publicKey.spki));
      rows.push({ name, role, state, algorithm, told: told ?? null });
    }
    const stopped = rows.every(({ told }) => told === null);
    print(options, { authorities: rows }, [
      ...table([
        ['', 'role', '', 'algorithm', 'devices told'],
        ...rows.map((row) => [
          row.name,
          row.role,
          row.state,
          row.algorithm,
          String(row.told ?? ''),
        ]),
      ]),
      ...(stopped ? ['The server is not running: devices are not counted.'] : []),
    ]);
  } finally {
    client.close();
  }
}

/** `undefined` while the server is not running. */
async function count(client: AnchorsClient, sha256: Uint8Array): Promise<number | undefined> {
  try {
    return await client.countTold(sha256);
  } catch (error) {
    if (error instanceof EnvironmentError && error.retryable) return undefined;
    throw error;
  }
}

async function rolloverOptions({ data }: DataOptions): Promise<RolloverOptions> {
  const passphrase = await readPassphrase();
  const store = readStoreSetting(undefined);
  return { dataFolder: data, passphrase, clock: { nowMs: Date.now }, store };
}
