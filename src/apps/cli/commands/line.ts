/** `birthmark line`: personalizes a batch of elements at this station, and shows how it goes. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { openElementFolder } from '../../../drivers/elements/software/elementFolder.ts';
import type { StationAddress } from '../../../drivers/links/https/stationClient.ts';
import { readStationJournal } from '../../../drivers/store/sqlite/stationJournal.ts';
import type { LineSummary } from '../../../trust/line/station.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { checkTicket, closeLine, defaultInFlight, startLine } from '../../line/line.ts';
import { LineView } from '../../line/lineView.ts';
import { journalFileOf, type OpenedStation, openStation } from '../../line/stationFolder.ts';
import { parseTicketFile } from '../../line/ticketFile.ts';
import { readPassphrase } from '../../passphrase.ts';
import {
  allowed,
  CommandFailure,
  exitCodes,
  type OutputOptions,
  print,
  table,
} from '../terminal.ts';

const defaultStation = './birthmark-station';

interface TicketOptions extends OutputOptions {
  readonly station: string;
  readonly ticket: string;
  readonly server: string;
}

interface RunOptions extends TicketOptions {
  readonly elements: string;
  readonly count?: number;
  readonly inFlight?: number;
  readonly close?: boolean;
  readonly dryRun?: boolean;
}

interface CloseOptions extends TicketOptions {
  readonly scrapUnfinished?: string;
}

export function registerLine(program: Command): void {
  const line = program
    .command('line')
    .description('A station of a personalization line: gives elements their identity');
  registerRun(line);
  registerClose(line);
  line
    .command('status')
    .description('What the journal of this station says, ticket by ticket; also while it runs')
    .option('--station <folder>', 'folder of the station', defaultStation)
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  birthmark line status --station ./birthmark-station')
    .action(status);
}

function registerRun(line: Command): void {
  line
    .command('run')
    .description('Personalize the elements of a batch under a ticket')
    .requiredOption('--ticket <file>', 'the ticket that the authority signed for this station')
    .requiredOption('--elements <folder>', 'folder of software elements, in place of a handler')
    .requiredOption('--server <url>', 'https address of the station door')
    .option('--station <folder>', 'folder of the station', defaultStation)
    .option('--count <n>', 'new units at most in this run (default: what the ticket allows)', whole)
    .option('--in-flight <n>', 'elements worked on at once', whole, defaultInFlight)
    .option('--close', 'close the ticket when everything is done')
    .option('--dry-run', 'check station, ticket and elements; ask nothing, write nothing')
    .option('--json', 'progress and result as JSON lines on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark line run --ticket reel-7.ticket --elements reel-7 --server https://line.example:8445
  birthmark line run --ticket reel-7.ticket --elements reel-7 --server https://line.example:8445 \\
      --count 100 --json

A station that is killed is started again with the same words: it finishes what it had begun. The exit
code is 0 when every element that was presented is finished or scrapped, 1 when some are held or the
line was stopped.`,
    )
    .action(run);
}

function registerClose(line: Command): void {
  line
    .command('close')
    .description('Close a ticket: both sides count, what is left of the quota is void')
    .requiredOption('--ticket <file>', 'the ticket')
    .requiredOption('--server <url>', 'https address of the station door')
    .option('--station <folder>', 'folder of the station', defaultStation)
    .option('--scrap-unfinished <reason>', 'give up units that were begun and never finished')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      `
Examples:
  birthmark line close --ticket reel-7.ticket --server https://line.example:8445
  birthmark line close --ticket reel-7.ticket --server https://line.example:8445 \\
      --scrap-unfinished 'two chips lost under the handler'`,
    )
    .action(close);
}

async function run(options: RunOptions): Promise<void> {
  const server = addressOf(options.server);
  const ticket = parseTicketFile(readFileSync(options.ticket));
  const passphrase = await readPassphrase();
  const station = await openStation(options.station, passphrase);
  if (options.dryRun === true) {
    await rehearse(options, station, ticket, passphrase);
    return;
  }
  const view = new LineView(options.json === true);
  const elements = { folder: options.elements, passphrase };
  const { count, inFlight } = options;
  const tell = view.tell.bind(view);
  const line = allowed(
    await startLine({ station, server, ticket, elements, count, inFlight, tell }),
  );
  const stop = (): void => line.stop();
  process.on('SIGINT', stop).on('SIGTERM', stop);
  view.begin(line);
  try {
    const summary = await line.finished;
    view.end(summary);
    judge(summary);
  } finally {
    view.stop();
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await line.close();
  }
  if (options.close === true) await close(options);
}

/** Everything that can be known without asking anybody. */
async function rehearse(
  options: RunOptions,
  station: OpenedStation,
  ticketBytes: Uint8Array,
  passphrase: string,
): Promise<void> {
  const ticket = allowed(checkTicket(station, ticketBytes));
  const folder = await openElementFolder(options.elements, passphrase);
  const states = { blank: 0, personalized: 0, locked: 0 };
  for (const name of await folder.names()) {
    states[await (await folder.open(name)).lifecycle()] += 1;
  }
  const { batch, order, product, count } = ticket;
  const document = {
    dryRun: true,
    ticketId: toHex(ticket.ticketId),
    batch,
    order,
    count,
    ...states,
  };
  print(options, document, [
    `The ticket is good for ${count} elements of ${product}: order ${order}, batch ${batch}.`,
    `${folder.path}: ${states.blank} blank, ${states.personalized} begun, ${states.locked} locked.`,
    'Nothing was asked and nothing written.',
  ]);
}

/** Held elements and a stopped line are a no for scripts, after everything was said. */
function judge({ counts, halted }: LineSummary): void {
  if (halted !== undefined) throw new CommandFailure(`${halted.reason} [${halted.refused}]`);
  const open = counts.held + counts.unreadable;
  if (open > 0) {
    throw new CommandFailure(`${open} elements are not finished: see what is said above`);
  }
}

async function close(options: CloseOptions): Promise<void> {
  const station = await openStation(options.station, await readPassphrase());
  const answer = allowed(
    await closeLine({
      station,
      server: addressOf(options.server),
      ticket: parseTicketFile(readFileSync(options.ticket)),
      scrapUnfinished: options.scrapUnfinished,
      tell: (trouble) => {
        if (trouble === undefined) process.stderr.write('The network is back.\n');
        else process.stderr.write(`Waiting for the network: ${trouble.reason}\n`);
      },
    }),
  );
  const { issued, released, scrapped, returned } = answer.counts;
  print(options, { event: 'closed', ...answer.counts, void: answer.void }, [
    `Ticket closed: ${issued} issued = ${released} released + ${scrapped} scrapped + ${returned} returned.`,
    `${answer.void} of its quota were not used and are void.`,
  ]);
}

function status(options: OutputOptions & { readonly station: string }): void {
  const tickets = readStationJournal(journalFileOf(options.station)).map(({ ticketId, counts }) => {
    const { stages, reportsDue, refused } = counts;
    return { ticketId: toHex(ticketId), ...stages, refused, reportsDue };
  });
  const rows = tickets.map((ticket) => [
    ticket.ticketId,
    ...[ticket.locked, ticket.scrapped, ticket.met + ticket.requested + ticket.locking].map(String),
    String(ticket.refused),
    String(ticket.reportsDue),
  ]);
  const head = ['TICKET', 'LOCKED', 'SCRAPPED', 'UNFINISHED', 'REFUSED', 'TO REPORT'];
  print(options, { station: options.station, tickets }, table([head, ...rows]));
}

function addressOf(text: string): StationAddress {
  if (!URL.canParse(text)) throw usage(`${text} is no URL`);
  const url = new URL(text);
  if (url.protocol !== 'https:' || url.pathname !== '/') {
    throw usage('--server takes https://host:port');
  }
  // Node puts IPv6 addresses of URLs in brackets, and takes them without.
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: url.port === '' ? 443 : Number(url.port) };
}

function whole(text: string): number {
  if (!/^[1-9][0-9]{0,7}$/.test(text)) throw usage(`${text} is no positive whole number`);
  return Number(text);
}

function usage(message: string): CommandFailure {
  return new CommandFailure(message, exitCodes.usage);
}
