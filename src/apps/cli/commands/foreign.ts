/** `birthmark foreign`: whose elements besides our own may become which products. */
import type { Command } from 'commander';
import { DeskClient } from '../../../drivers/links/local/deskClient.ts';
import type { ForeignAnchor } from '../../../trust/ports/foreignStore.ts';
import { parseHex, toHex } from '../../../wire/bytes/hex.ts';
import { parseCertificate } from '../../../wire/x509/certificate.ts';
import { printName } from '../../../wire/x509/names.ts';
import { readX509 } from '../certificateFiles.ts';
import { approvable, type ApprovableOptions, ask, wouldAsk } from '../approving.ts';
import { reachable, type ReachOptions, reachOf } from '../reach.ts';
import { allowed, CommandFailure, exitCodes, print, table } from '../terminal.ts';
import { whole } from './order.ts';

interface DataOptions extends ApprovableOptions {
  readonly dryRun?: boolean;
}

interface PinOptions extends DataOptions {
  readonly product: string;
  readonly count: number;
}

export function registerForeign(program: Command): void {
  const foreign = program
    .command('foreign')
    .description('Elements that another maker personalized, such as Microchip TrustFLEX');
  approvable(common(foreign.command('pin <anchor>')))
    .description('Believe birth certificates below this authority for a product')
    .requiredOption('--product <name>', 'product, as in manifest import --product')
    .requiredOption('--count <n>', 'devices that may be bound to it', whole)
    .option('--dry-run', 'say what would be pinned')
    .addHelpText(
      'after',
      `
Examples:
  birthmark foreign pin microchip-root.pem --product thermometer --count 2000
  birthmark manifest import manifest.json --product thermometer --root microchip-root.pem --log-signer signer.pem

A large maker's authority certifies the elements of all its customers: the manifest says which of them
are yours, the count bounds what a forged import could do. The decision is in the audit log. Pinned
again with another count, the count changes.`,
    )
    .action(pin);
  common(foreign.command('list'))
    .description('The authorities of other makers that are believed, and how far they are used')
    .addHelpText(
      'after',
      '\nExamples:\n  birthmark foreign list\n  birthmark foreign list --server https://birthmark.example:8444 --operator ./ada',
    )
    .action(list);
  approvable(common(foreign.command('retire <sha256>')))
    .description('Bind no further device of a product to this authority')
    .requiredOption('--product <name>', 'product it was pinned for')
    .option('--dry-run', 'say what would be retired')
    .addHelpText(
      'after',
      `
Example:
  birthmark foreign retire 5f3a... --product thermometer

Devices that are bound already stay what they are; birthmark device revoke ends those.`,
    )
    .action(retire);
}

function common(command: Command): Command {
  return reachable(command).option('--json', 'one JSON document on stdout');
}

async function pin(file: string, options: PinOptions): Promise<void> {
  const { product, count } = options;
  const [certificate, ...more] = readX509([file]);
  if (certificate === undefined || more.length > 0) {
    throw new CommandFailure(`${file} holds more than one certificate`, exitCodes.usage);
  }
  const subject = printName(parseCertificate(certificate).subject);
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'anchor.pin', { product, certificate, count });
    print(options, { dryRun: true, product, count, subject, ...would.document }, [
      `Would believe ${subject} for ${count} devices of ${product}.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'anchor.pin', () => ({ product, certificate, count }));
  if (asked === undefined) return;
  const anchor = await withDesk(options, async (desk) =>
    allowed(await desk.pin(asked.request, asked.approval)),
  );
  print(options, document(anchor), [
    `${subject} is believed for ${count} devices of ${product}; ${anchor.taken} are bound.`,
  ]);
}

async function list(options: DataOptions): Promise<void> {
  const anchors = await withDesk(options, (desk) => desk.anchors());
  print(options, { anchors: anchors.map(document) }, [
    ...table([
      ['product', 'authority', 'bound', 'of', '', 'SHA-256'],
      ...anchors.map((anchor) => [
        anchor.product,
        nameOf(anchor.certificate),
        String(anchor.taken),
        String(anchor.count),
        anchor.retiredMs === undefined ? '' : 'retired',
        toHex(anchor.sha256),
      ]),
    ]),
  ]);
}

/** Of one that was pinned after a backup which was put back, nobody has the certificate. */
function nameOf(certificate: Uint8Array): string {
  return certificate.length === 0
    ? 'lost with a restore: pin it again'
    : printName(parseCertificate(certificate).subject);
}

async function retire(text: string, options: DataOptions & { product: string }): Promise<void> {
  const sha256 = parseHex(text.toLowerCase());
  if (sha256?.length !== 32) {
    throw new CommandFailure('a SHA-256 has 64 hexadecimal digits', exitCodes.usage);
  }
  const { product } = options;
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'anchor.retire', { product, sha256 });
    print(options, { dryRun: true, product, sha256: text, ...would.document }, [
      `Would bind no further device of ${product} to that authority.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'anchor.retire', () => ({ product, sha256 }));
  if (asked === undefined) return;
  await withDesk(options, async (desk) =>
    allowed(await desk.retire(product, sha256, asked.approval)),
  );
  print(options, { retired: true, product, sha256: text }, [
    `No further device of ${product} is bound to that authority.`,
  ]);
}

/** One conversation with the authority's enrolment desk. */
export async function withDesk<Value>(
  options: ReachOptions,
  use: (desk: DeskClient) => Promise<Value>,
): Promise<Value> {
  const desk = new DeskClient(reachOf(options, 'authority'));
  try {
    return await use(desk);
  } finally {
    desk.close();
  }
}

function document({ product, certificate, sha256, count, taken, ...dates }: ForeignAnchor): object {
  return {
    product,
    subject: nameOf(certificate),
    sha256: toHex(sha256),
    count,
    taken,
    pinnedMs: dates.pinnedMs,
    retiredMs: dates.retiredMs ?? null,
  };
}
