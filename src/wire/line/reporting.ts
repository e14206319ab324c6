/** What became of each unit after its endorsement, and the close of a ticket. */
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import {
  lineLimits,
  messageTypes,
  readArrayOf,
  readBytes,
  readHead,
  readList,
  readName,
  readLine,
} from './fields.ts';

/**
 * `verified`: certificate and data were read back and compared. `locked`: the element is closed, the
 * unit is good. `scrapped`: destroyed or unusable; its certificate is revoked and its place in the quota
 * is gone. `returned`: given back unfinished; a rework order may finish it with the same key.
 */
export const unitOutcomes = ['verified', 'locked', 'scrapped', 'returned'] as const;

export type UnitOutcome = (typeof unitOutcomes)[number];

export interface ReportedUnit {
  readonly uid: Uint8Array;
  readonly outcome: UnitOutcome;
  /** Why a unit was scrapped or returned, for the yield report; empty otherwise. */
  readonly reason: string;
}

export interface Report {
  /** The ticket as the authority signed it. */
  readonly ticket: Uint8Array;
  readonly units: readonly ReportedUnit[];
}

/** In the order of the report; `undefined` where the outcome was taken down. */
export interface ReportAnswer {
  readonly refusals: ReadonlyArray<LineRefusal | undefined>;
}

export interface LineRefusal {
  /** Stable: programs may switch on it. */
  readonly code: string;
  readonly reason: string;
}

/** Identities made under a ticket, and where their units are. */
export interface TicketCounts {
  readonly issued: number;
  /** Locked: these will be in the manifest. */
  readonly released: number;
  readonly scrapped: number;
  readonly returned: number;
}

export interface CloseRequest {
  readonly ticket: Uint8Array;
  /** As the station counted; a difference keeps the ticket open and is named. */
  readonly counts: TicketCounts;
}

/** The ticket is closed; what was left of its quota is void. */
export interface CloseAnswer {
  readonly counts: TicketCounts;
  readonly void: number;
}

export function encodeReport(report: Report): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.report),
    cbor.bytes(report.ticket),
    cbor.array(
      ...report.units.map((unit) =>
        cbor.array(
          cbor.bytes(unit.uid),
          cbor.integer(unitOutcomes.indexOf(unit.outcome)),
          cbor.text(unit.reason),
        ),
      ),
    ),
  );
}

export function readReport(payload: Uint8Array): Report {
  const reader = new CborReader(payload);
  readHead(reader, 'report', 3);
  const report: Report = {
    ticket: readBytes(reader, 'ticket', 1, lineLimits.ticket),
    units: readList(reader, 'units', 1, lineLimits.unitsPerRequest, () => {
      readArrayOf(reader, 3, 'unit');
      return {
        uid: readBytes(reader, 'uid', 1, lineLimits.uid),
        outcome: readOutcome(reader),
        reason: readLine(reader, 'reason'),
      };
    }),
  };
  reader.end();
  return report;
}

export function encodeReportAnswer(answer: ReportAnswer): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.reportAnswer),
    cbor.array(
      ...answer.refusals.map((refusal) =>
        refusal === undefined
          ? cbor.nullItem
          : cbor.array(cbor.text(refusal.code), cbor.text(refusal.reason)),
      ),
    ),
  );
}

export function readReportAnswer(payload: Uint8Array): ReportAnswer {
  const reader = new CborReader(payload);
  readHead(reader, 'reportAnswer', 2);
  const answer: ReportAnswer = {
    refusals: readList(reader, 'units', 1, lineLimits.unitsPerRequest, () => {
      if (reader.takeNull()) return undefined;
      readArrayOf(reader, 2, 'refusal');
      return readRefusalFields(reader);
    }),
  };
  reader.end();
  return answer;
}

export function encodeCloseRequest(request: CloseRequest): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.closeRequest),
    cbor.bytes(request.ticket),
    encodeCounts(request.counts),
  );
}

export function readCloseRequest(payload: Uint8Array): CloseRequest {
  const reader = new CborReader(payload);
  readHead(reader, 'closeRequest', 3);
  const request: CloseRequest = {
    ticket: readBytes(reader, 'ticket', 1, lineLimits.ticket),
    counts: readCounts(reader),
  };
  reader.end();
  return request;
}

export function encodeCloseAnswer(answer: CloseAnswer): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.closeAnswer),
    encodeCounts(answer.counts),
    cbor.integer(answer.void),
  );
}

export function readCloseAnswer(payload: Uint8Array): CloseAnswer {
  const reader = new CborReader(payload);
  readHead(reader, 'closeAnswer', 3);
  const answer: CloseAnswer = { counts: readCounts(reader), void: reader.unsigned() };
  reader.end();
  return answer;
}

/** In the place of any answer: the whole request was refused, for a reason that is no secret. */
export function encodeRefusal(refusal: LineRefusal): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.refusal),
    cbor.text(refusal.code),
    cbor.text(refusal.reason),
  );
}

export function readRefusal(payload: Uint8Array): LineRefusal {
  const reader = new CborReader(payload);
  readHead(reader, 'refusal', 3);
  const refusal = readRefusalFields(reader);
  reader.end();
  return refusal;
}

function readRefusalFields(reader: CborReader): LineRefusal {
  return {
    code: readName(reader, 'code', lineLimits.codeCharacters),
    reason: readLine(reader, 'reason'),
  };
}

function readOutcome(reader: CborReader): UnitOutcome {
  const start = reader.offset;
  return unitOutcomes[reader.unsigned()] ?? reader.fail('unknown outcome', start);
}

function encodeCounts(counts: TicketCounts): Uint8Array {
  return cbor.array(
    cbor.integer(counts.issued),
    cbor.integer(counts.released),
    cbor.integer(counts.scrapped),
    cbor.integer(counts.returned),
  );
}

function readCounts(reader: CborReader): TicketCounts {
  readArrayOf(reader, 4, 'counts');
  return {
    issued: reader.unsigned(),
    released: reader.unsigned(),
    scrapped: reader.unsigned(),
    returned: reader.unsigned(),
  };
}
