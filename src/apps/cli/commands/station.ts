/** `birthmark station`: makes a machine of the line known to the authority and to the station door. */
import type { Command } from 'commander';
import { ProvisionerClient } from '../../../drivers/links/local/provisionerClient.ts';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { isName } from '../../../wire/line/fields.ts';
import { parseCertificate } from '../../../wire/x509/certificate.ts';
import { parseCertificationRequest } from '../../../wire/x509/certificationRequest.ts';
import { printName } from '../../../wire/x509/names.ts';
import {
  certificateFileOf,
  isEnrolled,
  readStationCertificates,
  requestStation,
  saveStation,
} from '../../line/stationFolder.ts';
import { readPassphrase } from '../../passphrase.ts';
import { sha256 } from '../../authority/witnesses.ts';
import { approvable, type ApprovableOptions, ask } from '../approving.ts';
import { reachable, reachOf } from '../reach.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

interface StationOptions extends OutputOptions {
  readonly station: string;
}

interface EnrolOptions extends StationOptions, ApprovableOptions {
  readonly name: string;
  readonly renew?: boolean;
  readonly dryRun?: boolean;
}

const defaultStation = './birthmark-station';

export function registerStation(program: Command): void {
  const station = program.command('station').description('Machines of a personalization line');
  approvable(reachable(station.command('enrol')))
    .description("Make a station's key, have it certified, and let it in at the station door")
    .requiredOption('--name <name>', 'name of the station')
    .option('--station <folder>', 'folder of the station; made when missing', defaultStation)
    .option('--renew', 'a new certificate for the same key')
    .option('--dry-run', 'say what would be done')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark station enrol --name station-1
  birthmark station enrol --name station-1 --station /srv/station-1 --renew
  birthmark station enrol --name station-1 --server https://birthmark.example:8444 --operator ./ada

On the station itself with --server, or on the machine of the server: then the folder moves to the station.
Tickets are bound to the station's key, which is made once and stays.`,
    )
    .action(enrol);
  station
    .command('show')
    .description('Certificate and key of a station')
    .option('--station <folder>', 'folder of the station', defaultStation)
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark station show --station /srv/station-1 --json')
    .action(show);
}

async function enrol(options: EnrolOptions): Promise<void> {
  const { name, station } = options;
  if (!isName(name)) {
    throw new CommandFailure(
      '--name takes 1 to 64 letters, digits, dots, dashes and underscores',
      exitCodes.usage,
    );
  }
  const certifies = options.renew === true || !isEnrolled(station);
  if (options.dryRun === true) {
    print(options, { dryRun: true, name, station, certifies }, [
      certifies
        ? `Would have the key in ${station} certified as ${name}, and let it in.`
        : `${station} has its certificate: would let it in again.`,
    ]);
    return;
  }
  if (certifies ? await certify(options) : await letIn(options)) await show(options);
}

/** False when it was asked for and waits for a second person. */
async function certify(options: EnrolOptions): Promise<boolean> {
  const { name, station } = options;
  const passphrase = await readPassphrase({
    prompt: 'Passphrase of the station',
    confirm: !isEnrolled(station),
  });
  const request = await requestStation(station, passphrase, name);
  const key = parseCertificationRequest(request).publicKey.spki;
  const asked = await ask(options, 'station.enrol', () => ({ name, key }));
  if (asked === undefined) return false;
  return withServer(options, async (server) => {
    const enrolment = allowed(await server.enrolStation(name, request, asked.approval));
    const { chain, serverAnchors, orderKeySpki } = enrolment;
    await saveStation(station, { certificates: chain, serverAnchors, orderKeySpki });
    return true;
  });
}

/** Again, where a server was put back that does not know it. From elsewhere it is seen that it is let in. */
async function letIn(options: EnrolOptions): Promise<boolean> {
  const { name, station } = options;
  const [leaf] = await readStationCertificates(station);
  if (leaf === undefined) throw new CommandFailure(`no certificate in ${station}`);
  return withServer(options, async (server) => {
    if (options.server === undefined) {
      allowed(await server.admitStation(name, leaf));
      return true;
    }
    if ((await server.certificateState(toHex(sha256(leaf)))) === 'active') return true;
    throw new CommandFailure(
      `the server does not let this certificate in; --renew makes another one`,
    );
  });
}

async function withServer<Value>(
  options: EnrolOptions,
  use: (server: ProvisionerClient) => Promise<Value>,
): Promise<Value> {
  const server = new ProvisionerClient(reachOf(options, 'provisioner'));
  try {
    return await use(server);
  } finally {
    server.close();
  }
}

async function show(options: StationOptions): Promise<void> {
  const certificates = await readStationCertificates(options.station);
  const [leaf] = certificates.map(parseCertificate);
  if (leaf === undefined) throw new CommandFailure(`no certificate in ${options.station}`);
  const subject = printName(leaf.subject);
  const notAfter = new Date(leaf.notAfterMs).toISOString();
  const certificate = certificateFileOf(options.station);
  const keySpki = toBase64(leaf.publicKey.spki);
  print(
    options,
    { station: options.station, subject, notAfterMs: leaf.notAfterMs, certificate, keySpki },
    table([
      ['station', subject],
      ['good until', notAfter],
      ['certificate', certificate],
      ['key', keySpki],
    ]),
  );
}
