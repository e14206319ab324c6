/** `birthmark ticket`: permission for one station to personalize part of a batch. */
import type { Command } from 'commander';
import { stat, writeFile } from 'node:fs/promises';
import { readFile } from 'node:fs/promises';
import { toBase64 } from '../../../wire/bytes/base64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { parseCertificate } from '../../../wire/x509/certificate.ts';
import { findPem } from '../../../wire/x509/pem.ts';
import { certificateFileOf } from '../../line/stationFolder.ts';
import type { TicketRequest } from '../../../trust/ports/operatorAuthority.ts';
import {
  approvable,
  type ApprovableOptions,
  approvalDocument,
  ask,
  singleOperator,
  wouldAsk,
} from '../approving.ts';
import { reachable } from '../reach.ts';
import { allowed, CommandFailure, print } from '../terminal.ts';
import { whole, withAuthority } from './order.ts';

interface IssueOptions extends ApprovableOptions {
  readonly count: number;
  readonly station: string;
  readonly days: number;
  readonly out?: string;
  readonly dryRun?: boolean;
}

const dayMs = 86_400_000;
/** A station whose clock is a little behind finds its ticket begun. */
const backdatingMs = 300_000;

export function registerTicket(program: Command): void {
  const ticket = program
    .command('ticket')
    .description('Permission for a station to personalize part of a batch');
  const about = 'Sign a counted ticket for a station';
  approvable(reachable(ticket.command('issue <batch>').description(about)))
    .requiredOption('--count <n>', 'how many identities', whole)
    .requiredOption('--station <path>', 'folder or certificate (PEM) of the station')
    .option('--days <n>', 'how long units are endorsed', whole, 7)
    .option('--out <file>', 'where the ticket is written (default: BATCH.ticket)')
    .option('--dry-run', 'say what would be signed')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark ticket issue 2026-07 --count 1000 --station ./birthmark-station
  birthmark ticket issue reel-1 --count 4000 --station station-2.pem --days 2 --out reel-1.ticket

The ticket is bound to the station's key: another station can do nothing with it.`,
    )
    .action(issue);
}

async function issue(batch: string, options: IssueOptions): Promise<void> {
  const { count, days, out = `${batch}.ticket` } = options;
  const stationKeySpki = await stationKey(options.station);
  // Its period counts from the request that was approved, which says so.
  const requestAt = (atMs: number): TicketRequest => ({
    batch,
    count,
    stationKeySpki,
    notBeforeMs: atMs - backdatingMs,
    notAfterMs: atMs + days * dayMs,
  });
  if (options.dryRun === true) {
    const would = await wouldAsk(options, 'ticket.issue', requestAt(Date.now()));
    print(options, { dryRun: true, batch, count, days, out, ...would.document }, [
      `Would allow the station of ${options.station} ${count} identities of ${batch} for ${days} days.`,
      ...would.lines,
    ]);
    return;
  }
  const asked = await ask(options, 'ticket.issue', requestAt);
  if (asked === undefined) return;
  const ticket = await withAuthority(options, async (authority) =>
    allowed(await authority.issueTicket(asked.request, asked.approval)),
  );
  await writeFile(out, ticket.signed, { mode: 0o600 });
  const ticketId = toHex(ticket.ticketId);
  print(
    options,
    {
      ticketId,
      order: ticket.order,
      batch,
      count,
      out,
      ticket: toBase64(ticket.signed),
      ...approvalDocument(asked),
    },
    [
      ...(asked.alone ? [singleOperator] : []),
      `Ticket ${ticketId}: ${count} of ${batch}, until ${new Date(ticket.notAfterMs).toISOString()}, in ${out}.`,
    ],
  );
}

/** DER of the key in the certificate of a station. */
async function stationKey(path: string): Promise<Uint8Array> {
  const file = (await stat(path)).isDirectory() ? certificateFileOf(path) : path;
  const block = findPem(await readFile(file, 'utf8')).find(({ label }) => label === 'CERTIFICATE');
  if (block === undefined) throw new CommandFailure(`no certificate in ${file}`);
  return parseCertificate(block.der).publicKey.spki;
}
