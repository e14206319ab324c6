/** `birthmark enrolment`: who may enrol besides devices with an identity from birth, and what a person decides. */
import { userInfo } from 'node:os';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { ApprovalDecision, ProfilePolicy } from '../../../trust/ports/grantStore.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { approvable, type ApprovableOptions, ask } from '../approving.ts';
import { everyEntry } from '../pages.ts';
import { reachable, type ReachOptions } from '../reach.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';
import { withDesk } from './foreign.ts';
import { whole } from './order.ts';

interface DataOptions extends OutputOptions, ReachOptions {
  readonly dryRun?: boolean;
}

interface SecretOptions extends DataOptions, ApprovableOptions {
  readonly product: string;
  readonly profile: string;
  readonly days: number;
  readonly device?: string;
}

interface PolicyOptions extends DataOptions {
  readonly as?: string;
  /** The request that another operator has approved. */
  readonly request?: string;
  readonly approval?: ProfilePolicy['approval'];
  readonly afterExpiry?: ProfilePolicy['afterExpiry'];
}

const dayMs = 86_400_000;

export function registerEnrolment(program: Command): void {
  const enrolment = program
    .command('enrolment')
    .description('One-time secrets, requests that wait for a person, and renewal past the end');
  const secret = enrolment
    .command('secret')
    .description('One-time secrets for devices without a certificate');
  approvable(common(secret.command('create')))
    .description('Make a secret with which one device enrols once')
    .requiredOption('--product <name>', 'product of the device')
    .option('--device <id>', 'a device that is known (default: a new one)')
    .option('--profile <name>', 'profile of its certificate', 'ldevid')
    .option('--days <n>', 'how long it may be used', whole, 7)
    .option('--dry-run', 'say what would be made')
    .addHelpText('after', secretHelp)
    .action(createSecret);
  common(secret.command('list')).description('The secrets, newest first').action(listSecrets);
  common(secret.command('void').argument('<id>', 'as the list shows it', whole))
    .description('Take back a secret that nobody has used')
    .option('--dry-run', 'say what would be taken back')
    .addHelpText('after', '\nExample:\n  birthmark enrolment secret void 12')
    .action(voidSecret);
  common(enrolment.command('requests'))
    .description('Requests that wait for a person, oldest first')
    .addHelpText('after', requestsHelp)
    .action(listRequests);
  for (const [verb, decision] of [
    ['approve', 'approved'],
    ['deny', 'denied'],
  ] as const) {
    common(enrolment.command(verb).argument('<id>', 'as the list shows it', whole))
      .description(`${verb === 'approve' ? 'Let' : 'Refuse'} a request that waits`)
      .option('--dry-run', 'say what would be decided')
      .addHelpText('after', `\nExample:\n  birthmark enrolment ${verb} 3`)
      .action((id: number, options: DataOptions) => decide(id, decision, options));
  }
  common(enrolment.command('policy [profile]'))
    .description('Show how a profile is given out, or change it')
    .addOption(
      new Option('--approval <when>', 'whether a person decides').choices([
        'none',
        'first',
        'every',
      ]),
    )
    .option('--after-expiry <rule>', 'never, approval, or a number of days', afterExpiry)
    .option('--as <folder>', 'folder of the operator who asks, where two persons are needed')
    .option('--request <id>', 'the request that another operator has approved')
    .option('--dry-run', 'say what would change')
    .addHelpText('after', policyHelp)
    .action(policy);
}

const requestsHelp = `
Examples:
  birthmark enrolment requests
  birthmark enrolment requests --server https://birthmark.example:8444 --operator ./ada`;

const secretHelp = `
Examples:
  birthmark enrolment secret create --product meter
  birthmark enrolment secret create --product meter --device 0123456789abcdef --days 1

Where two persons are needed one of them makes so many a day as the mass limit says; more of them, and one
for a device that is named, take --as and --approval.

The device sends it as the password of HTTP Basic, or as a Bearer token, to the EST door of
birthmark serve --est-port. The first key that uses it has it; it is told here and kept nowhere:
  pki --est --url https://HOST:PORT --userpass any:SECRET --in request.der --cacert root.pem`;

const policyHelp = `
Examples:
  birthmark enrolment policy
  birthmark enrolment policy ldevid --approval first
  birthmark enrolment policy ldevid --after-expiry 30

The doors hear of a change within half a minute.`;

function common(command: Command): Command {
  return reachable(command).option('--json', 'one JSON document on stdout');
}

async function createSecret(options: SecretOptions): Promise<void> {
  const { product, profile, days, device } = options;
  if (device !== undefined && !/^[0-9a-hjkmnp-tv-z]{16}$/.test(device)) {
    throw new CommandFailure('--device takes a device id of 16 characters', exitCodes.usage);
  }
  if (options.dryRun === true) {
    print(options, { dryRun: true, product, profile, days, device: device ?? null }, [
      `Would make a secret for ${device ?? 'a new device'} of ${product}, good for ${days} days.`,
    ]);
    return;
  }
  const known = device === undefined ? {} : { deviceId: device };
  const order = { ...known, product, profile, lifetimeMs: days * dayMs };
  const { as: asker, approval } = options;
  const isAsked = [device, asker, approval].some((one) => one !== undefined);
  const asked = isAsked ? await ask(options, 'secret.create', () => order) : undefined;
  if (isAsked && asked === undefined) return;
  const created = await withDesk(options, async (desk) =>
    allowed(await desk.createSecret(order, asked?.approval)),
  );
  print(options, created, [
    `Device ${created.deviceId}, profile ${profile}, until ${time(created.expiresMs)}:`,
    created.secret,
  ]);
}

async function listSecrets(options: DataOptions): Promise<void> {
  const secrets = await withDesk(options, (desk) =>
    everyEntry(
      (limit, before: number | undefined) => desk.secrets(limit, before),
      ({ id }) => id,
    ),
  );
  const rows = secrets.map((secret) => ({
    id: secret.id,
    deviceId: secret.deviceId,
    product: secret.product,
    profile: secret.profile,
    expiresMs: secret.expiresMs,
    state: stateOf(secret),
  }));
  print(options, { secrets: rows }, [
    ...table([
      ['', 'device', 'product', 'profile', 'until', ''],
      ...rows.map((row) => [
        String(row.id),
        row.deviceId,
        row.product,
        row.profile,
        time(row.expiresMs),
        row.state,
      ]),
    ]),
  ]);
}

function stateOf(secret: {
  readonly voidedMs: number | undefined;
  readonly spentOn: Uint8Array | undefined;
  readonly keyIdentifier: Uint8Array | undefined;
  readonly expiresMs: number;
}): string {
  if (secret.voidedMs !== undefined) return 'void';
  if (secret.spentOn !== undefined) return 'spent';
  if (secret.expiresMs <= Date.now()) return 'too late';
  return secret.keyIdentifier === undefined ? 'open' : 'bound to a key';
}

async function voidSecret(id: number, options: DataOptions): Promise<void> {
  if (options.dryRun === true) {
    const [found] = await withDesk(options, (desk) => desk.secrets(1, id + 1));
    const isOpen = found?.id === id && found.voidedMs === undefined && found.spentOn === undefined;
    if (!isOpen) throw new CommandFailure('No such secret is open. [unknown]');
    print(options, { dryRun: true, id }, [`Would take back secret ${id}.`]);
    return;
  }
  await withDesk(options, async (desk) => allowed(await desk.voidSecret(id)));
  print(options, { void: true, id }, [`Secret ${id} opens nothing any more.`]);
}

async function listRequests(options: DataOptions): Promise<void> {
  const requests = await withDesk(options, (desk) =>
    everyEntry(
      (limit, after: number | undefined) => desk.approvals(limit, after),
      ({ id }) => id,
    ),
  );
  const rows = requests.map(({ id, deviceId, profile, cause, requestedMs, keyIdentifier }) => {
    return { id, deviceId, profile, cause, requestedMs, keyIdentifier: toHex(keyIdentifier) };
  });
  print(options, { requests: rows }, [
    ...table([
      ['', 'device', 'profile', 'why', 'since', 'key'],
      ...rows.map((row) => [
        String(row.id),
        row.deviceId,
        row.profile,
        row.cause,
        time(row.requestedMs),
        row.keyIdentifier,
      ]),
    ]),
  ]);
}

async function decide(id: number, decision: ApprovalDecision, options: DataOptions): Promise<void> {
  if (options.dryRun === true) {
    const [found] = await withDesk(options, (desk) => desk.approvals(1, id - 1));
    if (found?.id !== id) throw new CommandFailure('No such request is waiting. [unknown]');
    print(options, { dryRun: true, id, decision }, [`Request ${id} would be ${decision}.`]);
    return;
  }
  // Elsewhere it is the operator who calls.
  const by = options.server === undefined ? userInfo().username : undefined;
  await withDesk(options, async (desk) => allowed(await desk.decide(id, decision, by)));
  print(options, { id, decision }, [`Request ${id} is ${decision}.`]);
}

async function policy(profile: string | undefined, options: PolicyOptions): Promise<void> {
  const { approval, afterExpiry: rule } = options;
  const present = await withDesk(options, (desk) => desk.policies());
  const shown = profile === undefined ? present : present.filter((one) => one.profile === profile);
  const [first] = shown;
  if (first === undefined) throw new CommandFailure(`no profile ${profile} is for devices`);
  if (approval === undefined && rule === undefined) return show(options, shown);
  if (profile === undefined) throw new CommandFailure('name a profile', exitCodes.usage);
  const changed: ProfilePolicy = {
    profile,
    approval: approval ?? first.approval,
    afterExpiry: rule ?? first.afterExpiry,
  };
  if (options.dryRun !== true) {
    const { approval: _, request, ...others } = options;
    const asking = {
      ...others,
      approvalFlag: '--request',
      ...(request === undefined ? {} : { approval: request }),
    };
    const asked = await ask(asking, 'policy.change', () => changed);
    if (asked === undefined) return;
    await withDesk(options, async (desk) =>
      allowed(await desk.savePolicy(changed, asked.approval)),
    );
  }
  show(options, [changed]);
}

function show(options: PolicyOptions, policies: readonly ProfilePolicy[]): void {
  print(options, { dryRun: options.dryRun === true, policies }, [
    ...table([
      ['profile', 'a person decides', 'renewal past the end'],
      ...policies.map(({ profile, approval, afterExpiry }) => [
        profile,
        approval,
        afterExpiry.kind === 'within' ? `within ${afterExpiry.days} days` : afterExpiry.kind,
      ]),
    ]),
  ]);
}

function afterExpiry(text: string): ProfilePolicy['afterExpiry'] {
  if (text === 'never' || text === 'approval') return { kind: text };
  return { kind: 'within', days: whole(text) };
}

function time(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 16).replace('T', ' ');
}
