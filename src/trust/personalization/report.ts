/** What became of units: the station's reports, as transitions that only ever go forward. */
import { toHex } from '../../wire/bytes/hex.ts';
import type { Report, ReportAnswer, ReportedUnit, UnitOutcome } from '../../wire/line/reporting.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { Issuance } from '../issuance/issuance.ts';
import type { Clock } from '../ports/clock.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type {
  OrderStore,
  UnitChange,
  UnitChangeOutcome,
  UnitRecord,
  UnitState,
} from '../ports/orderStore.ts';
import { settledUnits } from './endorse.ts';
import type { StationRequest } from './request.ts';

/**
 * From which states an outcome is taken. A locked unit stays locked but for scrapping; a returned one may
 * be finished after all while its ticket is open; scrapped is the end.
 */
const allowedFrom: Readonly<Record<UnitOutcome, readonly UnitState[]>> = {
  verified: ['endorsed', 'returned'],
  locked: ['endorsed', 'verified', 'returned'],
  returned: ['endorsed', 'verified'],
  scrapped: ['endorsed', 'verified', 'locked', 'returned'],
};

export type ReportRefusal = Refusal<
  'unknown-unit' | 'wrong-state' | 'in-progress' | 'ticket-closed'
>;

export interface ReportingOptions {
  readonly store: OrderStore;
  readonly issuance: Issuance;
  readonly clock: Clock;
}

/** In the order of the report. A repeated report changes nothing and is taken. */
export async function takeReport(
  options: ReportingOptions,
  { content, ticket, order }: StationRequest<Report>,
): Promise<ReportAnswer> {
  const records = await recordsOf(options, order.family, content.units);
  const atMs = options.clock.nowMs();
  const changes: UnitChange[] = [];
  const refusals = content.units.map((unit): ReportRefusal | 'to-be-done' => {
    const record = records.get(toHex(unit.uid));
    if (record === undefined) return unknownUnit;
    if (record.signature === undefined) {
      return refuse('in-progress', 'The identity is being made; report again.');
    }
    // A closed ticket has been counted: only what changes nothing is still taken.
    if (ticket.closedMs !== undefined && record.state !== unit.outcome) {
      return refuse('ticket-closed', 'The ticket is closed.');
    }
    changes.push(changeOf(unit, record, atMs));
    return 'to-be-done';
  });
  const outcomes = (await options.store.changeUnits(ticket.ticketId, changes)).values();
  return {
    refusals: refusals.map((refusal) => {
      const final = refusal === 'to-be-done' ? refusalOf(outcomes.next().value) : refusal;
      return final === undefined ? undefined : { code: final.refused, reason: final.reason };
    }),
  };
}

async function recordsOf(
  { store, issuance }: ReportingOptions,
  family: string,
  units: readonly ReportedUnit[],
): Promise<ReadonlyMap<string, UnitRecord>> {
  const records = await settledUnits(store, issuance, family, units);
  return new Map(records.map((record) => [toHex(record.uid), record]));
}

function changeOf(unit: ReportedUnit, record: UnitRecord, atMs: number): UnitChange {
  const { uid, outcome, reason } = unit;
  const { serialNumber } = record;
  const revocation =
    outcome === 'scrapped'
      ? {
          serialNumber,
          code: 'cessationOfOperation' as const,
          reason: 'scrapped',
          atMs,
          entry: encodeAuditEntry({ kind: 'revoked', atMs, serialNumber, reason: 'scrapped' }),
        }
      : undefined;
  return { uid, from: allowedFrom[outcome], to: outcome, reason, atMs, revocation };
}

function refusalOf(outcome: UnitChangeOutcome | undefined): ReportRefusal | undefined {
  if (outcome === 'done') return undefined;
  return outcome === 'wrong-state'
    ? refuse('wrong-state', 'The unit is past that: its state only goes forward.')
    : unknownUnit;
}

const unknownUnit: ReportRefusal = refuse(
  'unknown-unit',
  'No identity was made for this element under this ticket.',
);
