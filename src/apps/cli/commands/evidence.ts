/** `birthmark evidence`: all that is known of a device or a batch, for somebody who has nothing but files. */
import { type Command, Option } from 'commander';
import { resolve } from 'node:path';
import { EvidenceClient } from '../../../drivers/links/local/evidenceClient.ts';
import { ProfileClient } from '../../../drivers/links/local/profileClient.ts';
import { AuthorityClient } from '../../../drivers/links/local/authorityClient.ts';
import type { DeviceEvidence, EvidenceCursor } from '../../../trust/ports/evidence.ts';
import type { ProfileView } from '../../../trust/ports/profileDesk.ts';
import type { OrderView } from '../../../trust/ports/operatorAuthority.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { writeEvidence, type EvidenceParts } from '../../audit/evidenceFolder.ts';
import { evidenceLeaves, type Wanted } from '../../audit/evidenceLeaves.ts';
import { checkpointOf, openInstallation } from '../../audit/logCopy.ts';
import { authorityPaths } from '../../authority/authorityFolder.ts';
import { sha256 } from '../../authority/witnesses.ts';
import { socketPathFor } from '../../socketPath.ts';
import { withApprovals } from '../approving.ts';
import { defaultData } from '../dataFolder.ts';
import { CommandFailure, exitCodes, type OutputOptions, print, Progress } from '../terminal.ts';

interface EvidenceOptions extends OutputOptions {
  readonly data: string;
  readonly device?: string;
  readonly batch?: string;
  readonly out: string;
}

export function registerEvidence(program: Command): void {
  program
    .command('evidence')
    .description('Write what is known of a device or a batch as a folder that anybody can check')
    .addOption(new Option('--device <id>', 'one device').conflicts('batch'))
    .option('--batch <name>', 'every device of a batch')
    .requiredOption('--out <folder>', 'folder to make')
    .option('--data <folder>', 'data folder', defaultData())
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark evidence --device 0123456789abcdef --out evidence
  birthmark evidence --batch reel-7 --out /mnt/usb/reel-7

It holds order, tickets, proof levels, certificates, revocations, closure, and the proofs that all of it
stands in the log. How to check it with sha256sum and openssl: docs/evidence.md. The authority has to run.`,
    )
    .action(evidence);
}

async function evidence(options: EvidenceOptions): Promise<void> {
  const { device, batch, data } = options;
  if (device === undefined && batch === undefined) {
    throw new CommandFailure('--device or --batch is needed', exitCodes.usage);
  }
  const socketPath = socketPathFor(data, 'authority');
  const desk = new EvidenceClient(socketPath);
  const authority = new AuthorityClient(socketPath);
  try {
    // Publishes what was committed until now: the proofs reach up to this moment.
    const { organization } = await authority.status();
    const devices = await devicesOf(desk, options);
    const orders = await ordersOf(authority, devices, batch);
    const hierarchy = await authority.hierarchy();
    const profiles = await profilesOf(socketPath, devices);
    const subject: Record<string, string> =
      device === undefined ? { batch: batch ?? '' } : { device };
    const paths = authorityPaths(data);
    const log = await openInstallation(paths);
    const checkpoint = await checkpointOf(log);
    const progress = new Progress('leaves', checkpoint.treeSize);
    const wanted = wantedOf(devices, orders, hierarchy);
    const leaves = await evidenceLeaves(log, checkpoint, wanted, (done) => progress.update(done));
    progress.end();
    const { documents } = paths;
    const shared = { subject, organization, hierarchy, devices, orders, profiles, documents };
    const approvals = await withApprovals(options, async (one) => ({
      mode: await one.mode(),
      operators: await one.operators(),
    }));
    const rest = { log, checkpoint, leaves, madeMs: Date.now(), ...approvals };
    const files = await writeEvidence(resolve(options.out), { ...shared, ...rest });
    print(
      options,
      { folder: resolve(options.out), files, devices: devices.length, leaves: leaves.length },
      [
        `${files} files in ${options.out}: ${devices.length} devices, ${leaves.length} log entries.`,
      ],
    );
  } finally {
    desk.close();
    authority.close();
  }
}

async function devicesOf(
  desk: EvidenceClient,
  { device, batch = '' }: EvidenceOptions,
): Promise<readonly DeviceEvidence[]> {
  const deviceIds = device === undefined ? await deviceIdsOf(desk, batch) : [device];
  const progress = new Progress('devices', deviceIds.length);
  const devices: DeviceEvidence[] = [];
  for (const deviceId of deviceIds) {
    const found = await desk.device(deviceId);
    if (found === undefined) throw new CommandFailure(`no device ${deviceId}`);
    devices.push(found);
    progress.update(devices.length);
  }
  progress.end();
  return devices;
}

async function deviceIdsOf(desk: EvidenceClient, batch: string): Promise<readonly string[]> {
  const deviceIds: string[] = [];
  let after: EvidenceCursor | undefined = { state: 0, unit: 0 };
  while (after !== undefined) {
    const page: Awaited<ReturnType<EvidenceClient['devicesOfBatch']>> = await desk.devicesOfBatch(
      batch,
      after,
    );
    if (page === undefined) throw new CommandFailure(`no batch ${batch}`);
    deviceIds.push(...page.deviceIds);
    after = page.next;
  }
  return deviceIds;
}

/** The versions that certificates of the devices were made from. */
async function profilesOf(
  socketPath: string,
  devices: readonly DeviceEvidence[],
): Promise<readonly ProfileView[]> {
  const labels = new Set(devices.flatMap(labelsOf));
  const client = new ProfileClient(socketPath);
  try {
    const all = await client.profiles();
    return all.filter(({ name, version }) => labels.has(`${name}@${version}`));
  } finally {
    client.close();
  }
}

function labelsOf({ certificates }: DeviceEvidence): readonly string[] {
  return certificates.map(({ profile }) => profile);
}

/** Orders of the devices, each with the batches and tickets that concern them and no others. */
async function ordersOf(
  authority: AuthorityClient,
  devices: readonly DeviceEvidence[],
  batch: string | undefined,
): Promise<readonly OrderView[]> {
  const births = devices.flatMap(({ birth }) => birth ?? []);
  const batches = new Set([...births.map((birth) => birth.batch), ...(batch ? [batch] : [])]);
  const tickets = new Set(births.map(({ unit }) => toHex(unit.ticketId)));
  const views: OrderView[] = [];
  for (const name of new Set(births.map(({ order }) => order))) {
    const view = await authority.order(name);
    if (view === undefined) continue;
    views.push({
      order: view.order,
      batches: view.batches.filter((one) => batches.has(one.batch)),
      tickets: view.tickets.filter(
        (ticket) => ticket.batch === batch || tickets.has(toHex(ticket.ticketId)),
      ),
    });
  }
  return views;
}

function wantedOf(
  devices: readonly DeviceEvidence[],
  orders: readonly OrderView[],
  hierarchy: EvidenceParts['hierarchy'],
): Wanted {
  const certificates = devices.flatMap((device) => device.certificates);
  const { roots, factory, operational, server, links, manifestSigners } = hierarchy;
  const authorities = [
    ...roots,
    ...factory,
    ...operational,
    ...server,
    ...links,
    ...manifestSigners,
  ];
  const all = [...certificates.map(({ der }) => der), ...authorities];
  return {
    deviceIds: new Set(devices.map(({ deviceId }) => deviceId)),
    certificates: new Set(all.map((der) => toHex(sha256(der)))),
    serialNumbers: new Set(certificates.map(({ serialNumber }) => toHex(serialNumber))),
    profiles: new Set(devices.flatMap(labelsOf)),
    orders: new Set(orders.map(({ order }) => order.order)),
    batches: new Set(orders.flatMap(({ batches }) => batches.map(({ batch }) => batch))),
    tickets: new Set(
      orders.flatMap(({ tickets }) => tickets.map(({ ticketId }) => toHex(ticketId))),
    ),
  };
}
