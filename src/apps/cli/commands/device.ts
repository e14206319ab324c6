/** `birthmark device`: what the registry knows, what a product is for, and the end of a device. */
import type { Command } from 'commander';
import { ProvisionerClient } from '../../../drivers/links/local/provisionerClient.ts';
import type {
  CertificateView,
  CloneView,
  DeviceView,
} from '../../../drivers/links/local/provisionerAnswers.ts';
import {
  type DeviceRole,
  type DeviceState,
  deviceStates,
} from '../../../trust/ports/registryStore.ts';
import type { ListsState } from '../../../trust/ports/revocationReport.ts';
import { withApprovals, wouldAsk } from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

interface LocalOptions extends OutputOptions, ReachOptions {}

interface ListOptions extends LocalOptions {
  readonly state?: string;
}

interface RevokeOptions extends LocalOptions {
  readonly reason: string;
  readonly dryRun?: boolean;
}

export function registerDevice(program: Command): void {
  const device = program.command('device').description('Devices in the registry of this server');
  reached(device.command('list').description('All devices, in order of their id'))
    .option('--state <state>', `only those that are ${deviceStates.join(', ')}`)
    .addHelpText(
      'after',
      '\nExamples:\n  birthmark device list --state enrolled\n  birthmark device list --json\n' +
        '  birthmark device list --server https://birthmark.example:8444 --operator ./ada',
    )
    .action(list);
  reached(
    device
      .command('show <id>')
      .description('One device with its certificates, and what looks like a clone of it'),
  )
    .addHelpText('after', '\nExample:\n  birthmark device show 0h2m4p6r8t0v2x4z')
    .action(show);
  reached(device.command('revoke <ids...>').description('End devices: for good, and at once'))
    .requiredOption('--reason <text>', 'why, for the registry and the audit log')
    .option('--dry-run', 'count what would be revoked, change nothing')
    .addHelpText(
      'after',
      `
Examples:
  birthmark device revoke 0h2m4p6r8t0v2x4z --reason 'stolen from the site' --dry-run
  birthmark device revoke 0h2m4p6r8t0v2x4z --reason 'stolen from the site'

Acts on the device: its birth certificate, every operational one and all sessions are refused from the
moment this answers, and what was connected is cut off. Nothing is deleted. There is no way back.`,
    )
    .action(revoke);
  local(device.command('role <product> <role>').description('What devices of a product are for'))
    .addHelpText(
      'after',
      `
Examples:
  birthmark device role edge-gateway gateway
  birthmark device role thermometer sensor

Gateways may carry frames of others. Counts for the devices that are known and for those to come.`,
    )
    .action(setRole);
}

function reached(command: Command): Command {
  return reachable(command).option('--json', 'one JSON document on stdout');
}

function local(command: Command): Command {
  return command
    .option('--data <folder>', 'data folder of the server', defaultData())
    .option('--json', 'one JSON document on stdout');
}

async function list(options: ListOptions): Promise<void> {
  const state = stateOf(options.state);
  await withProvisioner(options, async (client) => {
    const devices: DeviceView[] = [];
    let after: string | undefined;
    do {
      const page = allowed(
        await client.devices({
          ...(after === undefined ? {} : { after }),
          ...(state === undefined ? {} : { state }),
        }),
      );
      devices.push(...page.devices);
      after = page.next;
    } while (after !== undefined);
    const rows = devices.map((device) => [
      device.deviceId,
      device.state,
      device.role,
      device.product,
      device.eui64 ?? '-',
      device.proofLevel,
    ]);
    print(options, { devices: devices.map(summaryOf) }, [
      ...table([['device', 'state', 'role', 'product', 'link address', 'proof'], ...rows]),
      `${devices.length} devices`,
    ]);
  });
}

async function show(deviceId: string, options: LocalOptions): Promise<void> {
  await withProvisioner(options, async (client) => {
    const device = allowed(await client.device(deviceId));
    print(options, documentOf(device), [
      ...table([
        ['device', device.deviceId],
        ['state', device.state],
        ['role', device.role],
        ['product', device.product],
        ['owner', device.owner],
        ['element', `${device.family} ${device.uid}`],
        ['link address', device.eui64 ?? 'none'],
        ['proof', device.proofLevel],
        ['known since', timeOf(device.importedMs)],
        ['enrolled', timeOf(device.enrolledMs)],
        ...(device.revokedMs === undefined
          ? []
          : [['revoked', `${timeOf(device.revokedMs)}: ${device.revocationReason ?? ''}`]]),
      ]),
      'certificates',
      ...table(device.certificates.map(certificateRow)),
      ...(device.cloneEvidence.length === 0
        ? []
        : ['signs of a clone', ...table(device.cloneEvidence.map(cloneRow))]),
    ]);
  });
}

async function revoke(deviceIds: readonly string[], options: RevokeOptions): Promise<void> {
  await withProvisioner(options, async (client) => {
    if (options.dryRun === true) {
      const plan = allowed(await client.planRevocation(deviceIds));
      const rows = plan.devices.map((device) => [
        device.deviceId,
        device.revokedAlready ? 'revoked already' : 'would be revoked',
        `${device.certificates} certificates`,
      ]);
      const unknown = plan.unknown.map((deviceId) => [deviceId, 'is not known', '']);
      const would = await wouldNeed(options, [...new Set(deviceIds)]);
      print(options, { dryRun: true, ...plan, ...would?.document }, [
        ...table([...rows, ...unknown]),
        'Nothing changed.',
        ...(would?.lines ?? []),
      ]);
      if (plan.unknown.length > 0 || would !== undefined) process.exitCode = exitCodes.refused;
      return;
    }
    const report = allowed(await client.revokeDevices(deviceIds, options.reason));
    print(options, report, [
      ...table(
        report.devices.map((device) => [
          device.deviceId,
          device.changed ? 'revoked' : 'was revoked before',
          `${device.certificates} certificates`,
        ]),
      ),
      `${report.endedInAll} connections and sessions ended, the last after ${report.killMs.toFixed(1)} ms`,
      listsLines[report.lists],
    ]);
  });
}

/** What an approval would have to be about; `undefined` for what one person may do, and the end of one device. */
async function wouldNeed(
  options: RevokeOptions,
  deviceIds: readonly string[],
): Promise<Awaited<ReturnType<typeof wouldAsk>> | undefined> {
  if (deviceIds.length === 1) return undefined;
  const left = await withApprovals(options, (desk) => desk.soleChangesLeft());
  if (left === undefined || deviceIds.length <= left) return undefined;
  const { reason } = options;
  const order = { act: 'revoke', scope: { by: 'device', deviceIds }, code: 'unspecified' } as const;
  const { document, lines } = await wouldAsk(options, 'status.mass', { ...order, reason });
  const refusal = `Refused: ${left} are left to one person today. \`birthmark revoke device\` asks for a second one.`;
  return { document: { refused: 'approval-needed', ...document }, lines: [refusal, ...lines] };
}

const listsLines: Readonly<Record<ListsState, string>> = {
  follow: 'Lists and answers about them follow within seconds.',
  untold: 'Lists and answers about them follow when the authority has heard of it.',
  'approval-needed':
    'Lists and answers about them wait: one person may change no more today. `birthmark revoke` asks for an approval.',
};

async function setRole(product: string, role: string, options: LocalOptions): Promise<void> {
  const wanted = roleOf(role);
  await withProvisioner(options, async (client) => {
    const changed = allowed(await client.setProductRole(product, wanted));
    print(options, { product, role: wanted, changed }, [
      `Devices of ${product} are ${wanted}s; ${changed} known ones changed.`,
    ]);
  });
}

async function withProvisioner(
  options: LocalOptions,
  use: (client: ProvisionerClient) => Promise<void>,
): Promise<void> {
  const client = new ProvisionerClient(reachOf(options, 'provisioner'));
  try {
    await use(client);
  } finally {
    client.close();
  }
}

/** `null` where there is nothing, so that every member is always there. */
function documentOf(device: DeviceView): Readonly<Record<string, unknown>> {
  return {
    ...device,
    eui64: device.eui64 ?? null,
    enrolledMs: device.enrolledMs ?? null,
    revokedMs: device.revokedMs ?? null,
    revocationReason: device.revocationReason ?? null,
    certificates: device.certificates.map((certificate) => ({
      ...certificate,
      notAfterMs: certificate.notAfterMs ?? null,
      revokedMs: certificate.revokedMs ?? null,
      revocationReason: certificate.revocationReason ?? null,
    })),
  };
}

/** Listings ask neither for certificates nor for evidence. */
function summaryOf(device: DeviceView): object {
  const { certificates: _certificates, cloneEvidence: _evidence, ...summary } = documentOf(device);
  return summary;
}

function certificateRow({ kind, state, sha256, notAfterMs }: CertificateView): readonly string[] {
  const end = notAfterMs === undefined ? 'has no end' : `until ${timeOf(notAfterMs)}`;
  return ['', kind, state, end, sha256];
}

function cloneRow(evidence: CloneView): readonly string[] {
  const { seenMs, reason, ingress, linkAddress, sessionId, sequenceNumber } = evidence;
  const from = linkAddress === '' ? ingress : `${ingress} ${linkAddress}`;
  return ['', timeOf(seenMs), reason, from, `message ${sequenceNumber} of ${sessionId}`];
}

function timeOf(atMs: number | undefined): string {
  return atMs === undefined ? 'never' : new Date(atMs).toISOString();
}

function stateOf(text: string | undefined): DeviceState | undefined {
  if (text === undefined) return undefined;
  const found = deviceStates.find((state) => state === text);
  if (found !== undefined) return found;
  throw new CommandFailure(`--state is one of ${deviceStates.join(', ')}`, exitCodes.usage);
}

function roleOf(text: string): DeviceRole {
  if (text === 'sensor' || text === 'gateway') return text;
  throw new CommandFailure('a role is sensor or gateway', exitCodes.usage);
}
