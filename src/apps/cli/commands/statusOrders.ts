/** `birthmark revoke`, `hold` and `reinstate`: the status of everything that has something in common. */
import type { Command } from 'commander';
import { ProvisionerClient } from '../../../drivers/links/local/provisionerClient.ts';
import {
  holdersOf,
  type StatusAct,
  type StatusOrder,
  type StatusScope,
  type StatusStep,
} from '../../../trust/ports/statusOrders.ts';
import { parseFingerprint } from '../../../trust/revocation/statusOrders.ts';
import { isReason, type RevocationReason, revocationReasons } from '../../../wire/crl/reason.ts';
import { approvable, type ApprovableOptions, ask, withApprovals, wouldAsk } from '../approving.ts';
import { reachable, reachOf } from '../reach.ts';
import { allowed, CommandFailure, exitCodes, print } from '../terminal.ts';

export interface ActOptions extends ApprovableOptions {
  readonly reason: string;
  readonly code?: RevocationReason;
  readonly dryRun?: boolean;
}

const words: Readonly<Record<StatusAct, { readonly about: string; readonly done: string }>> = {
  revoke: { about: 'End certificates and devices: for good, and at once', done: 'revoked' },
  hold: { about: 'Refuse certificates and devices until they are reinstated', done: 'held' },
  reinstate: { about: 'Take a hold back', done: 'reinstated' },
};

/** Codes for which a person has a reason; the others say themselves what they are. */
const usualCodes = Object.keys(revocationReasons).filter(
  (name) => name !== 'certificateHold' && name !== 'removeFromCRL',
);

export function registerStatusOrders(program: Command): void {
  for (const act of ['revoke', 'hold', 'reinstate'] as const) registerAct(program, act);
}

function registerAct(program: Command, act: StatusAct): void {
  const verb = program.command(act).description(words[act].about);
  const scope = (
    usage: string,
    about: string,
    read: (...given: string[]) => StatusScope,
  ): Command =>
    shared(verb.command(usage).description(about), act).action(
      (subject: string | readonly string[], options: ActOptions) => {
        const given = typeof subject === 'string' ? [subject] : [...subject];
        return carriedOut(act, read(...given), options);
      },
    );
  scope('device <ids...>', 'devices by their ids', (...deviceIds) => ({
    by: 'device',
    deviceIds,
  })).addHelpText('after', example(act, 'device 0h2m4p6r8t0v2x4z'));
  scope('certificate <sha256>', 'one certificate, of anybody', (text) => {
    const sha256 = parseFingerprint(text);
    if (sha256 === undefined) throw usage('a certificate is named by its SHA-256, 64 digits');
    return { by: 'certificate', sha256 };
  }).addHelpText('after', example(act, 'certificate 3f2a…'));
  scope('batch <name>', 'every element of a batch', (name) => ({ by: 'batch', name })).addHelpText(
    'after',
    example(act, 'batch reel-7'),
  );
  scope('product <name>', 'every device of a product', (name) => ({
    by: 'product',
    name,
  })).addHelpText('after', example(act, 'product thermometer'));
  registerStation(verb, act);
  registerFamily(verb, act);
}

function registerStation(verb: Command, act: StatusAct): void {
  shared(verb.command('station <name>').description('the certificates of a station'), act)
    .option('--with-devices', 'and everything that it personalized')
    .addHelpText('after', example(act, 'station line-7 --with-devices'))
    .action((name: string, options: ActOptions & { readonly withDevices?: boolean }) =>
      carriedOut(act, { by: 'station', name, withDevices: options.withDevices === true }, options),
    );
}

function registerFamily(verb: Command, act: StatusAct): void {
  shared(verb.command('family <name>').description('every element of a family'), act)
    .option('--firmware <version>', 'only those that were born with this firmware')
    .addHelpText('after', example(act, 'family tpm-2 --firmware 1.0.4'))
    .action((name: string, options: ActOptions & { readonly firmware?: string }) =>
      carriedOut(act, { by: 'family', name, firmware: options.firmware }, options),
    );
}

function shared(command: Command, act: StatusAct): Command {
  approvable(reachable(command))
    .requiredOption('--reason <text>', 'why, for the registry and the audit log')
    .option('--dry-run', 'count what would change, change nothing')
    .option('--json', 'one JSON document on stdout');
  return act === 'revoke'
    ? command.option('--code <reason>', `what lists say: ${usualCodes.join(', ')}`, code)
    : command;
}

function example(act: StatusAct, scope: string): string {
  return `
Examples:
  birthmark ${act} ${scope} --reason 'why' --dry-run
  birthmark ${act} ${scope} --reason 'why'
  birthmark ${act} ${scope} --reason 'why' --server https://birthmark.example:8444 --operator ./ada

Doors, sessions and enrolment refuse from the moment this answers; lists and OCSP answers follow within
seconds. Given again after an interruption it goes on where it was.`;
}

async function carriedOut(...order: Parameters<typeof carryOut>): Promise<void> {
  await carryOut(...order);
}

/** What was done, or would be; `undefined` when it waits for a second person. */
export async function carryOut(
  act: StatusAct,
  scope: StatusScope,
  options: ActOptions,
): Promise<Total | undefined> {
  const { reason } = options;
  const asked = { act, scope, code: options.code ?? 'unspecified', reason };
  const client = new ProvisionerClient(reachOf(options, 'provisioner'));
  try {
    const left = await withApprovals(options, (desk) => desk.soleChangesLeft());
    // Counted where it decides something, and where a person wants to know.
    const planned =
      options.dryRun === true || left !== undefined
        ? await allSteps(client, { ...asked, dryRun: true })
        : undefined;
    const holders = holdersOf(scope, planned?.devices ?? 0);
    const isMass = left !== undefined && (holders > left || options.approval !== undefined);
    if (planned !== undefined && options.dryRun === true) {
      const would = isMass ? await wouldAsk(options, 'status.mass', asked) : undefined;
      tell(options, asked, planned, would);
      return planned;
    }
    const granted = isMass ? await ask(options, 'status.mass', () => asked) : undefined;
    if (isMass && granted === undefined) return undefined;
    const total = await allSteps(client, { ...asked, dryRun: false }, granted?.approval);
    tell(options, asked, total, undefined);
    return total;
  } finally {
    client.close();
  }
}

/** Rejects with a `CommandFailure` when nobody knows what the order would be about; nothing changes. */
export async function requireKnown(scope: StatusScope, options: ActOptions): Promise<void> {
  const client = new ProvisionerClient(reachOf(options, 'provisioner'));
  try {
    const { code = 'unspecified', reason } = options;
    const order = { act: 'revoke', scope, code, reason, dryRun: true } as const;
    allowed(await client.statusStep(order, undefined));
  } finally {
    client.close();
  }
}

function tell(
  options: ActOptions,
  { act, scope }: Omit<StatusOrder, 'dryRun'>,
  total: Total,
  would: Awaited<ReturnType<typeof wouldAsk>> | undefined,
): void {
  const { done } = words[act];
  const dryRun = options.dryRun === true;
  print(options, { act, scope: scope.by, dryRun, ...total, ...would?.document }, [
    `${total.devices} devices with ${total.certificates} certificates; ${total.notHere} of the devices never came here.`,
    dryRun
      ? `${total.changed} would be ${done}. Nothing changed.`
      : `${total.changed} ${done}, ${total.ended} connections, sessions and answers ended.`,
    ...(would?.lines ?? []),
  ]);
}

export type Total = Omit<StatusStep, 'next'>;

async function allSteps(
  client: ProvisionerClient,
  order: StatusOrder,
  approval?: Uint8Array,
): Promise<Total> {
  const total = { devices: 0, changed: 0, certificates: 0, notHere: 0, ended: 0 };
  let after: string | undefined;
  do {
    const { next, ...step } = allowed(await client.statusStep(order, after, approval));
    total.devices += step.devices;
    total.changed += step.changed;
    total.certificates += step.certificates;
    total.notHere += step.notHere;
    total.ended += step.ended;
    tellProgress(next === undefined ? '' : `${total.devices} devices …`);
    after = next;
  } while (after !== undefined);
  return total;
}

/** How many there are in all is not known before the last step. */
function tellProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`);
}

function code(text: string): RevocationReason {
  if (isReason(text) && usualCodes.includes(text)) return text;
  throw usage(`--code is one of ${usualCodes.join(', ')}`);
}

function usage(message: string): CommandFailure {
  return new CommandFailure(message, exitCodes.usage);
}
