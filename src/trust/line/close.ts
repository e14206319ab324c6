/**
 * Ends a ticket: every identity is accounted for on both sides, or it stays open. What is left of its
 * quota is void then, and the authority signs the manifest of what was finished.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import {
  type CloseAnswer,
  encodeCloseRequest,
  readCloseAnswer,
  type TicketCounts,
} from '../../wire/line/reporting.ts';
import type { Ticket } from '../../wire/line/ticket.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { JournalCounts, StationJournal } from '../ports/stationJournal.ts';
import { Correspondent, type CorrespondentPorts, type NetworkTrouble } from './correspondent.ts';
import { LineHalted } from './halt.ts';
import { Reporter } from './reporter.ts';

/** Units that a refusal names, and that are read at once. */
const pageUnits = 100;
const namedUnits = 5;

export interface CloseRun {
  readonly ticket: Ticket;
  readonly ticketBytes: Uint8Array;
  /**
   * Units that were begun and never finished (lost, broken, taken out of the machine) are scrapped for
   * this reason; without one they keep the ticket open.
   */
  readonly scrapUnfinished: string | undefined;
}

/** Rejects with an `EnvironmentError` when the journal fails. */
export async function closeTicket(
  ports: CorrespondentPorts & { readonly journal: StationJournal },
  run: CloseRun,
  tell: (trouble: NetworkTrouble | undefined) => void,
): Promise<CloseAnswer | Refusal<string>> {
  const { journal } = ports;
  const { ticketId } = run.ticket;
  const correspondent = new Correspondent(ports, tell);
  if (run.scrapUnfinished !== undefined) {
    await scrapUnfinished(journal, ticketId, run.scrapUnfinished);
  }
  try {
    const disputes: string[] = [];
    const reporter = new Reporter(journal, correspondent, run.ticketBytes, {
      reported: () => undefined,
      disputed: (uid, reason) => disputes.push(`${toHex(uid)}: ${reason}`),
    });
    await reporter.reportEarlier(ticketId);
    if (disputes.length > 0) {
      return refuse('disputed', `The authority disagrees about ${listed(disputes)}.`);
    }
    const unfinished = await journal.unfinished(ticketId, { after: undefined, limit: pageUnits });
    if (unfinished.length > 0) {
      const uids = listed(unfinished.map(({ uid }) => toHex(uid)));
      return refuse('unfinished', `Not finished: ${uids}. Present them again, or scrap them.`);
    }
    const counts = countsOf(await journal.counts(ticketId));
    const request = encodeCloseRequest({ ticket: run.ticketBytes, counts });
    return await correspondent.ask('close', request, readCloseAnswer);
  } catch (error) {
    if (error instanceof LineHalted) return error.refusal;
    throw error;
  }
}

async function scrapUnfinished(
  journal: StationJournal,
  ticketId: Uint8Array,
  reason: string,
): Promise<void> {
  for (;;) {
    const units = await journal.unfinished(ticketId, { after: undefined, limit: pageUnits });
    if (units.length === 0) return;
    await Promise.all(
      units.map(({ family, uid, keys }) =>
        journal.put({ family, uid, ticketId, stage: 'scrapped', keys, reason, report: 'due' }),
      ),
    );
  }
}

function countsOf({ stages, scrappedIdentities }: JournalCounts): TicketCounts {
  const released = stages.locked;
  return {
    issued: released + scrappedIdentities,
    released,
    scrapped: scrappedIdentities,
    returned: 0,
  };
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, namedUnits).join(', ');
  return names.length > namedUnits ? `${shown} and ${names.length - namedUnits} more` : shown;
}
