/** `birthmark element`: software elements, for demonstrations and for lines that are being set up. */
import { createHash, randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import type { Command } from 'commander';
import {
  createElementFolder,
  type ElementFolder,
  openElement,
  openElementFolder,
} from '../../../drivers/elements/software/elementFolder.ts';
import type { SoftwareElement } from '../../../drivers/elements/software/softwareElement.ts';
import type { DataSlot } from '../../../trust/ports/element.ts';
import { parseHex, toHex } from '../../../wire/bytes/hex.ts';
import { readDeviceIdSlot } from '../../../wire/line/slotData.ts';
import { parseCertificate } from '../../../wire/x509/certificate.ts';
import { printName } from '../../../wire/x509/names.ts';
import { readPassphrase } from '../../passphrase.ts';
import {
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  Progress,
  table,
} from '../terminal.ts';

/** Files in one folder; a directory of more serves nobody. */
const mostElements = 100_000;
/** Created at the same time: the disk flushes them together. */
const createdAtOnce = 64;
const uidBytes = 9;

interface CreateOptions extends OutputOptions {
  readonly elements: string;
  readonly count: number;
  readonly uid?: string;
  readonly dryRun?: boolean;
}

export function registerElement(program: Command): void {
  const element = program
    .command('element')
    .description('Software elements, in files. NOT FOR PRODUCTION');
  element
    .command('create')
    .description('Make blank software elements')
    .requiredOption('--elements <folder>', 'folder of the elements; made when missing')
    .option('--count <n>', 'how many', wholeNumber, 1)
    .option('--uid <hex>', 'uid of a single element; random otherwise')
    .option('--dry-run', 'say what would be made')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark element create --elements reel-7 --count 1000
  birthmark element create --elements bench --uid 0123a4b5c6d7e8f901

The passphrase of the folder comes from BIRTHMARK_PASSPHRASE_FILE, BIRTHMARK_PASSPHRASE or a prompt.`,
    )
    .action(create);
  element
    .command('show')
    .description('What an element, or a folder of them, holds; never a private key')
    .argument('<path>', 'file of an element, or folder')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark element show reel-7
  birthmark element show reel-7/0123a4b5c6d7e8f901.element --json`,
    )
    .action(show);
}

async function create(options: CreateOptions): Promise<void> {
  const uids = uidsOf(options);
  const made = `${uids.length} blank element${uids.length === 1 ? '' : 's'} in ${options.elements}`;
  if (options.dryRun === true) {
    print(options, { dryRun: true, count: uids.length, folder: options.elements }, [
      `Would make ${made}.`,
    ]);
    return;
  }
  const passphrase = await readPassphrase({ prompt: 'Passphrase of the elements' });
  const folder = await createElementFolder(options.elements, passphrase);
  await createAll(folder, uids);
  const document = { event: 'created', count: uids.length, folder: options.elements };
  print(options, document, [`Made ${made}. Software elements are NOT FOR PRODUCTION.`]);
}

async function createAll(folder: ElementFolder, uids: readonly Uint8Array[]): Promise<void> {
  const progress = new Progress('elements', uids.length);
  for (let done = 0; done < uids.length; done += createdAtOnce) {
    await Promise.all(uids.slice(done, done + createdAtOnce).map((uid) => createOne(folder, uid)));
    progress.update(Math.min(done + createdAtOnce, uids.length));
  }
  progress.end();
}

async function createOne(folder: ElementFolder, uid: Uint8Array): Promise<void> {
  try {
    await folder.create(uid);
  } catch (error) {
    if (error instanceof TypeError) throw new CommandFailure(error.message);
    throw error;
  }
}

function uidsOf({ count, uid: text }: CreateOptions): readonly Uint8Array[] {
  if (text === undefined) {
    if (count > mostElements) throw usage(`at most ${mostElements} elements at a time`);
    return Array.from({ length: count }, () => new Uint8Array(randomBytes(uidBytes)));
  }
  const uid = parseHex(text);
  if (uid === undefined || uid.length < 1 || uid.length > 64) {
    throw usage('--uid takes 1 to 64 bytes in hexadecimal');
  }
  if (count !== 1) throw usage('--uid names one element: leave --count away');
  return [uid];
}

async function show(path: string, options: OutputOptions): Promise<void> {
  const passphrase = await readPassphrase({ prompt: 'Passphrase of the elements' });
  if (statSync(path).isDirectory()) {
    await showFolder(await openElementFolder(path, passphrase), options);
    return;
  }
  const shown = await describe(await openElement(path, passphrase));
  const rows = Object.entries(shown).map(([name, value]) => [name, String(value ?? '')]);
  print(options, shown, table(rows));
}

async function showFolder(folder: ElementFolder, options: OutputOptions): Promise<void> {
  const names = await folder.names();
  const elements: Described[] = [];
  const progress = new Progress('reading', names.length);
  for (const name of names) {
    elements.push(await describe(await folder.open(name)));
    progress.update(elements.length);
  }
  progress.end();
  const rows = elements.map(({ uid, lifecycle, deviceId }) => [uid, lifecycle, deviceId ?? '']);
  print(options, { folder: folder.path, elements }, table([['UID', 'STATE', 'DEVICE'], ...rows]));
}

interface Described {
  readonly uid: string;
  readonly family: string;
  readonly model: string;
  readonly lifecycle: string;
  readonly signKey: string | undefined;
  readonly agreeKey: string | undefined;
  readonly deviceId: string | undefined;
  readonly eui64: string | undefined;
  readonly idevid: string | undefined;
  readonly idevidSha256: string | undefined;
  readonly ldevid: string | undefined;
  readonly anchorsBytes: number;
  readonly serverIdentityBytes: number;
  readonly stateBytes: number;
}

async function describe(element: SoftwareElement): Promise<Described> {
  const { uid, family, model } = element.identity;
  const data = (slot: DataSlot): Promise<Uint8Array | undefined> => element.readData(slot);
  const signKey = await element.publicKey('sign');
  const agreeKey = await element.publicKey('agree');
  const deviceId = await data('device-id');
  const eui64 = await data('eui64');
  const [idevid] = (await element.readCertificate('idevid')) ?? [];
  const [ldevid] = (await element.readCertificate('ldevid')) ?? [];
  return {
    uid: toHex(uid),
    family,
    model,
    lifecycle: await element.lifecycle(),
    signKey: signKey && toHex(signKey),
    agreeKey: agreeKey && toHex(agreeKey),
    deviceId: deviceId && readDeviceIdSlot(deviceId),
    eui64: eui64 && toHex(eui64),
    idevid: idevid && printName(parseCertificate(idevid).subject),
    idevidSha256: idevid && createHash('sha256').update(idevid).digest('hex'),
    ldevid: ldevid && printName(parseCertificate(ldevid).subject),
    anchorsBytes: (await data('anchors'))?.length ?? 0,
    serverIdentityBytes: (await data('server-identity'))?.length ?? 0,
    stateBytes: (await data('state'))?.length ?? 0,
  };
}

function wholeNumber(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw usage(`${text} is no positive whole number`);
  return Number(text);
}

function usage(message: string): CommandFailure {
  return new CommandFailure(message, exitCodes.usage);
}
