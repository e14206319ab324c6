/** `birthmark ca compromise`: what the loss of a key would mean, what is done about it, and how far that is. */
import { existsSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { StatusClient } from '../../../drivers/links/local/statusClient.ts';
import { type CaseDesk, type LossCase, nextStep } from '../../../trust/ports/lossCase.ts';
import type { UnitSelection } from '../../../trust/ports/statusStore.ts';
import {
  authorityPaths,
  authorityRoles,
  requireInstallation,
} from '../../authority/authorityFolder.ts';
import { carryOutAtRest } from '../../authority/approvalOffice.ts';
import { readCertifiedBook } from '../../authority/book.ts';
import { commandOf } from '../../authority/cases.ts';
import {
  assessCompromise,
  assessLog,
  assessResponders,
  countFollowers,
  maximumListed,
} from '../../authority/compromise.ts';
import { answerLostHolder, type HolderLoss, scopeOf } from '../../authority/lostHolders.ts';
import { lostAuthority } from '../../authority/lostAuthority.ts';
import {
  type Answered,
  answerLostAuthority,
  answerLostLog,
  answerLostResponder,
  beginLostAuthority,
  beginLostLog,
  type LossOptions,
} from '../../authority/lostKeys.ts';
import { useForLoss } from '../../authority/rootUse.ts';
import { openAuthoritySnapshot } from '../../authority/stores.ts';
import { readPassphrase } from '../../passphrase.ts';
import { socketPathFor } from '../../socketPath.ts';
import { readStoreSetting, storeOption } from '../../storeSetting.ts';
import { approvable, type ApprovableOptions, ask, requireAsker } from '../approving.ts';
import { withCases } from '../caseDesk.ts';
import { defaultData } from '../dataFolder.ts';
import { allowed, CommandFailure, exitCodes, type OutputOptions, print } from '../terminal.ts';
import { carryOut, requireKnown } from './statusOrders.ts';

interface CompromiseOptions extends ApprovableOptions {
  readonly dryRun?: boolean;
  readonly reason?: string;
  readonly perSecond?: number;
  readonly firmware?: string;
  readonly withDevices?: boolean;
}

type DataOptions = OutputOptions & { readonly data: string; readonly store?: string };

const clock = { nowMs: Date.now };

const help = `
Whose key:
  factory, operational, server   an authority's: another one takes its place under the root, the old one
                                 issues no more, what it gave is revoked, lists say so (server stopped)
  factory-NAME, chip-signer-00a1, matter-pai, ...   of one that was added: the same
  operational-2, ...             the key of exactly that name; one that has been followed is believed no more,
                                 and nothing takes its place
  ocsp                           the responders': their certificates are revoked, new keys at the next start
                                 (server stopped)
  log                            the log's: it goes on under a new key and name, and says where the old one
                                 ended (server stopped)
  station NAME                   a station's; with --with-devices what it personalized too (server running)
  family NAME                    of elements; --firmware for those of one version (server running)
  root                           another root certifies the same authorities anew (server stopped)

Examples:
  birthmark ca compromise operational --dry-run
  birthmark ca compromise operational --reason 'backup stolen' --per-second 50
  birthmark ca compromise status

Cut short, the same command goes on where it was. The server does not start while a lost key would sign.`;

export function registerCompromise(ca: Command): void {
  const compromise = approvable(ca.command('compromise'))
    .description('Count what falls with a lost key, and do what has to be done')
    .argument('<whose>', 'factory, operational, server, root, ocsp, log, station or family')
    .argument('[name]', 'of a station or an element family')
    .option('--dry-run', 'count and tell, change nothing')
    .option('--reason <text>', 'why, for the lists and the audit log')
    .option('--per-second <n>', 'devices that may enrol anew in a second (default: 20)', rate)
    .option('--firmware <version>', 'of a family: only those that were born with it')
    .option('--with-devices', 'of a station: everything that it personalized')
    .option('--data <folder>', 'data folder', defaultData())
    .option(...storeOption)
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', help)
    .action(answer);
  shared(compromise.command('status'))
    .description('Cases, how far each is, and which devices have not come back')
    .addHelpText('after', '\nExample:\n  birthmark ca compromise status')
    .action((_: unknown, command: Command) => status(command.optsWithGlobals<DataOptions>()));
  shared(compromise.command('close <case>'))
    .description('Nothing is left to wait for: devices enrol without a limit again')
    .addHelpText('after', '\nExample:\n  birthmark ca compromise close operational')
    // Options that both have are read by the outer one, wherever they stand.
    .action((name: string, _: unknown, command: Command) =>
      close(name, command.optsWithGlobals<ApprovableOptions>()),
    );
}

function shared(command: Command): Command {
  return command
    .option('--data <folder>', 'data folder', defaultData())
    .option(...storeOption)
    .option('--json', 'one JSON document on stdout');
}

async function answer(
  whose: string,
  name: string | undefined,
  options: CompromiseOptions,
): Promise<void> {
  await requireInstallation(authorityPaths(options.data));
  if (whose === 'station' || whose === 'family') return answerHolder(whose, name, options);
  if (name !== undefined) throw usage(`${whose} takes no name`);
  const role = authorityRoles.find((one) => whose === one || whose.startsWith(`${one}-`));
  if (options.dryRun === true) {
    if (role !== undefined) return assess(whose, options);
    if (whose === 'ocsp' || whose === 'log') return assessOther(whose, options);
    throw usage(`${whose} is nobody whose key is known here`);
  }
  const reason = reasonOf(options);
  if (role === 'matter-paa') {
    throw new CommandFailure(
      `it is answered for by people: see birthmark ca compromise ${whose} --dry-run`,
    );
  }
  const loss = (passphrase: string): LossOptions => ({
    dataFolder: options.data,
    passphrase,
    clock,
    store: readStoreSetting(options.store),
    reason,
    ...(options.perSecond === undefined ? {} : { perSecond: options.perSecond }),
  });
  if (role !== undefined) {
    await requireAsker(options, 'root.use');
    // First of all the lost key certifies nothing more; who may have another one made is asked then.
    const one = await begun(options, (desk) => beginLostAuthority(desk, loss(''), whose));
    if (nextStep(one) === undefined) return tell(options, { case: one });
    const folder = loss(await readPassphrase());
    const use = await useForLoss(folder, one);
    const asked = await ask(options, 'root.use', () => use);
    if (asked === undefined) return tellOpen(one);
    const answered = await carryOutAtRest(
      folder,
      { kind: 'root.use', ...asked },
      (begun) => answerLostAuthority(folder, whose, begun),
      ({ waitsFor }) => waitsFor === undefined,
    );
    return tell(options, allowed(answered));
  }
  if (whose === 'ocsp') {
    await withCases(options, async (_, runs) => requireStopped(runs, 'their keys end with it'));
    return tell(options, await answerLostResponder(loss(await readPassphrase())));
  }
  if (whose === 'log') {
    await requireAsker(options, 'key.replace');
    const one = await begun(options, (desk) => beginLostLog(desk, loss('')));
    const asked = await ask(options, 'key.replace', () => ({ subject: one.subject }));
    if (asked === undefined) return tellOpen(one);
    const folder = loss(await readPassphrase());
    const answered = await carryOutAtRest(folder, { kind: 'key.replace', ...asked }, (begun) =>
      answerLostLog(folder, begun),
    );
    return tell(options, allowed(answered));
  }
  throw usage(`${whose} is nobody whose key is known here`);
}

/** The case, opened where the authority runs too; its steps take keys and database for themselves. */
function begun(
  options: CompromiseOptions,
  begin: (desk: CaseDesk) => Promise<LossCase>,
): Promise<LossCase> {
  return withCases(options, async (desk, runs) => {
    const one = await begin(desk);
    if (nextStep(one) !== undefined) {
      requireStopped(runs, `the case ${one.name} is open`);
    }
    return one;
  });
}

/** Beside the document of the request: what was asked for waits, what was done first stays. */
function tellOpen({ name }: LossCase): void {
  process.stderr.write(
    `The case ${name} is open: its key signs nothing, and the server does not start before it is answered.\n`,
  );
}

function requireStopped(runs: boolean, why: string): void {
  if (!runs) return;
  throw new CommandFailure(
    `${why}: stop the server, then give the command again`,
    exitCodes.environment,
  );
}

async function answerHolder(
  kind: HolderLoss['kind'],
  subject: string | undefined,
  options: CompromiseOptions,
): Promise<void> {
  if (subject === undefined) throw usage(`the name of the ${kind} is missing`);
  const { data, firmware, withDevices, dryRun } = options;
  const reason = dryRun === true ? (options.reason ?? 'dry run') : reasonOf(options);
  const loss = {
    kind,
    subject,
    ...(firmware === undefined ? {} : { firmware }),
    ...(withDevices === undefined ? {} : { withDevices }),
  };
  const scope = scopeOf(loss);
  const order = { ...options, code: 'keyCompromise', reason } as const;
  if (dryRun === true) {
    await carryOut('revoke', scope, order);
    return tellDevices(options, await devicesOf(data, loss));
  }
  // A case of a name that was mistyped would say that all is done.
  await requireKnown(scope, order);
  await withCases(options, (desk) =>
    answerLostHolder(desk, { clock, reason }, loss, async () => {
      const total = await carryOut('revoke', scope, order);
      return total && `${total.devices} devices with ${total.certificates} certificates`;
    }),
  );
  return tellDevices(options, await devicesOf(data, loss));
}

/** Devices born here: their element is all that they have, so none of them comes back by itself. */
async function devicesOf(data: string, loss: HolderLoss): Promise<readonly string[]> {
  if (loss.kind === 'station' && loss.withDevices !== true) return [];
  const { kind: by, subject: name, firmware } = loss;
  const selection: UnitSelection = by === 'station' ? { by, name } : { by, name, firmware };
  const client = new StatusClient(socketPathFor(data, 'authority'));
  const found: string[] = [];
  try {
    let after: string | undefined;
    do {
      const page = await client.devicesOf(selection, after);
      found.push(...page.deviceIds);
      after = page.next;
    } while (after !== undefined && found.length < maximumListed);
    return found.slice(0, maximumListed);
  } finally {
    client.close();
  }
}

function tellDevices(options: OutputOptions, deviceIds: readonly string[]): void {
  // One JSON document is on stdout already.
  if (options.json === true || deviceIds.length === 0) return;
  print(options, {}, ['Devices that cannot follow:', ...deviceIds.map((id) => `  ${id}`)]);
}

async function assess(whose: string, options: CompromiseOptions): Promise<void> {
  const paths = authorityPaths(options.data);
  const book = await readCertifiedBook(paths);
  const lost = lostAuthority(book, whose);
  const snapshot = await openAuthoritySnapshot(paths, readStoreSetting(options.store));
  const report = await assessCompromise(snapshot, book, lost, Date.now());
  const { live, canFollow, cannotFollow, listed, steps } = report;
  const kinds = live.map(({ profile, count }) => `${count} ${profile}`).join(', ');
  print(options, { dryRun: true, ...report }, [
    `Certificates that fall with the authority ${lost.name}: ${kinds === '' ? 'none' : kinds}.`,
    `Devices that can follow by themselves: ${canFollow}; that cannot: ${cannotFollow}.`,
    ...listed.map((deviceId) => `  ${deviceId}`),
    ...(cannotFollow > listed.length ? [`  and ${cannotFollow - listed.length} more`] : []),
    ...toDo(steps),
  ]);
}

async function assessOther(whose: 'ocsp' | 'log', options: CompromiseOptions): Promise<void> {
  const paths = authorityPaths(options.data);
  const snapshot = await openAuthoritySnapshot(paths, readStoreSetting(options.store));
  if (whose === 'ocsp') {
    const report = await assessResponders(snapshot, Date.now());
    const what = `Certificates of responders that would be revoked: ${report.count}.`;
    return print(options, { dryRun: true, ...report }, [what, ...toDo(report.steps)]);
  }
  const report = await assessLog(snapshot, paths);
  const what = `The log ${report.name} ends with ${report.count} entries and goes on under another name.`;
  print(options, { dryRun: true, ...report }, [what, ...toDo(report.steps)]);
}

function toDo(steps: readonly string[]): readonly string[] {
  return ['What to do:', ...steps.map((step, index) => `  ${index + 1}. ${step}`)];
}

function tell(options: OutputOptions, { case: one, waitsFor }: Answered): void {
  print(options, { case: one, waitsFor: waitsFor ?? null }, [
    ...linesOf(one),
    ...(waitsFor === undefined
      ? ['Start the server.', ...(one.perSecond === undefined ? [] : [paceOf(one)])]
      : [`Waits for ${waitsFor}; then the same command goes on.`]),
  ]);
}

async function status(options: DataOptions): Promise<void> {
  const paths = authorityPaths(options.data);
  await requireInstallation(paths);
  const rows = [];
  for (const one of await withCases(options, (desk) => desk.cases())) {
    rows.push({ ...one, followers: (await followersOf(one, options)) ?? null });
  }
  print(
    options,
    { cases: rows },
    rows.length === 0
      ? ['No key is lost.']
      : rows.flatMap(({ followers, ...one }) => [
          ...linesOf(one),
          ...(followers === null
            ? []
            : [
                `  ${followers.followed} of ${followers.fallen} devices have come back`,
                ...followers.missing.map((deviceId) => `    not yet: ${deviceId}`),
              ]),
        ]),
  );
}

/** `undefined` where no device has to come back. */
async function followersOf(
  { kind, subject, successor, openedMs, perSecond }: LossCase,
  options: DataOptions,
): Promise<Awaited<ReturnType<typeof countFollowers>> | undefined> {
  const paths = authorityPaths(options.data);
  if (kind !== 'authority' || successor === undefined || perSecond === undefined) return undefined;
  const setting = readStoreSetting(options.store);
  if (setting === undefined && !existsSync(paths.database)) return undefined;
  const snapshot = await openAuthoritySnapshot(paths, setting);
  return countFollowers(snapshot, { lost: subject, successor, sinceMs: openedMs });
}

async function close(name: string, options: ApprovableOptions): Promise<void> {
  const atMs = clock.nowMs();
  const asked = await ask(options, 'case.close', () => ({ case: name }));
  if (asked === undefined) return;
  const closed = allowed(
    await withCases(options, (desk) => desk.closeCase(name, atMs, asked.approval)),
  );
  print(options, { case: closed }, [
    `${name} is closed; the next start of the server sets no limit any more.`,
  ]);
}

function linesOf(one: LossCase): readonly string[] {
  const state = one.closedMs === undefined ? (nextStep(one) ?? 'all is done') : 'closed';
  return [
    `${one.name} (${commandOf(one)}): ${state}. ${one.reason}`,
    ...one.steps.map(
      ({ name, doneMs, detail }) =>
        `  ${doneMs === undefined ? '     -    ' : new Date(doneMs).toISOString().slice(0, 10)} ${name}${detail === undefined ? '' : `: ${detail}`}`,
    ),
  ];
}

function paceOf({ name, perSecond = 0 }: LossCase): string {
  return `Devices enrol anew at ${perSecond} a second until birthmark ca compromise close ${name}.`;
}

function reasonOf({ reason }: CompromiseOptions): string {
  if (reason !== undefined && reason !== '') return reason;
  throw usage('--reason says why, for the lists and the audit log');
}

function rate(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 10_000) return value;
  throw new InvalidArgumentError('a number of devices above 0 is expected');
}

function usage(message: string): CommandFailure {
  return new CommandFailure(message, exitCodes.usage);
}
