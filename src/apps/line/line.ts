/** One station of a personalization line as a process: opens what it needs, runs, and closes again. */
import { openElementFolder } from '../../drivers/elements/software/elementFolder.ts';
import { softwareFamily } from '../../drivers/elements/software/softwareElement.ts';
import { softwareSocket } from '../../drivers/elements/software/softwareSocket.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { type StationAddress, StationClient } from '../../drivers/links/https/stationClient.ts';
import { systemPause } from '../../drivers/links/systemPause.ts';
import { openStationJournal } from '../../drivers/store/sqlite/stationJournal.ts';
import { closeTicket } from '../../trust/line/close.ts';
import type { NetworkTrouble } from '../../trust/line/correspondent.ts';
import { readOwnTicket, type TicketFault } from '../../trust/line/ownTicket.ts';
import {
  type LineCounts,
  type LineEvent,
  type LineSummary,
  Station,
} from '../../trust/line/station.ts';
import { isRefusal, type Refusal } from '../../trust/ports/faults.ts';
import type { CloseAnswer } from '../../wire/line/reporting.ts';
import type { Ticket } from '../../wire/line/ticket.ts';
import { journalFileOf, type OpenedStation } from './stationFolder.ts';

/** Software elements that are worked on at once: enough to fill requests while others are answered. */
export const defaultInFlight = 128;

export interface LineConfig {
  readonly station: OpenedStation;
  readonly server: StationAddress;
  /** As the authority signed it. */
  readonly ticket: Uint8Array;
  readonly elements: { readonly folder: string; readonly passphrase: string };
  /** New units at most in this run; default: what the ticket allows. */
  readonly count?: number | undefined;
  readonly inFlight?: number | undefined;
  readonly tell?: (event: LineEvent) => void;
}

export interface RunningLine {
  readonly ticket: Ticket;
  /** Elements in the machine when it started. */
  readonly elements: number;
  readonly counts: Readonly<LineCounts>;
  /** Rejects with an `EnvironmentError`. */
  readonly finished: Promise<LineSummary>;
  /** Takes no further elements; `finished` resolves when those under way are done. */
  stop(): void;
  /** Stops, waits, and closes the journal and the connection. */
  close(): Promise<void>;
}

/** The ticket as this station sees it: for a dry run, and before anything starts. */
export function checkTicket(
  station: OpenedStation,
  ticket: Uint8Array,
): Ticket | Refusal<TicketFault> {
  const { orderKey, signer } = station;
  const { publicKeySpki: stationKeySpki } = signer;
  return readOwnTicket(nodeCrypto, ticket, { orderKey, stationKeySpki, family: softwareFamily });
}

/** Refuses a ticket that is not this station's. Rejects with an `EnvironmentError`. */
export async function startLine(config: LineConfig): Promise<RunningLine | Refusal<TicketFault>> {
  const { station, elements, inFlight = defaultInFlight } = config;
  const ticket = checkTicket(station, config.ticket);
  if (isRefusal(ticket)) return ticket;
  const folder = await openElementFolder(elements.folder, elements.passphrase);
  const names = await folder.names();
  const socket = await softwareSocket(folder, names);
  const { journal, close: closeJournal } = openStationJournal(journalFileOf(station.folder));
  const transport = new StationClient(config.server, station.tls, station.serverAnchors);
  const running = new Station(
    { ...portsOf(station), transport, journal, socket, verifier: new SoftwareVerifier() },
    {
      ticket,
      ticketBytes: config.ticket,
      count: config.count ?? ticket.count,
      inFlight: Math.min(inFlight, Math.max(1, names.length)),
    },
    config.tell ?? (() => undefined),
  );
  const finished = running.run();
  // Whoever awaits `finished` gets the failure; nobody else needs to.
  finished.catch(() => undefined);
  return {
    ticket,
    elements: names.length,
    counts: running.counts,
    finished,
    stop: () => running.stop(),
    close: async () => {
      running.stop();
      await finished.catch(() => undefined);
      transport.close();
      closeJournal();
    },
  };
}

export interface CloseConfig extends Pick<LineConfig, 'station' | 'server' | 'ticket'> {
  /** Units that were begun and never finished are scrapped for this reason. */
  readonly scrapUnfinished?: string | undefined;
  readonly tell?: (trouble: NetworkTrouble | undefined) => void;
}

/** Closes the ticket at the authority. Rejects with an `EnvironmentError`. */
export async function closeLine(config: CloseConfig): Promise<CloseAnswer | Refusal<string>> {
  const { station } = config;
  const ticket = checkTicket(station, config.ticket);
  if (isRefusal(ticket)) return ticket;
  const { journal, close } = openStationJournal(journalFileOf(station.folder));
  const transport = new StationClient(config.server, station.tls, station.serverAnchors);
  try {
    return await closeTicket(
      { ...portsOf(station), transport, journal },
      { ticket, ticketBytes: config.ticket, scrapUnfinished: config.scrapUnfinished },
      config.tell ?? (() => undefined),
    );
  } finally {
    transport.close();
    close();
  }
}

function portsOf({ signer, orderKey }: OpenedStation): {
  crypto: typeof nodeCrypto;
  signer: OpenedStation['signer'];
  orderKey: OpenedStation['orderKey'];
  pause: typeof systemPause;
} {
  return { crypto: nodeCrypto, signer, orderKey, pause: systemPause };
}
