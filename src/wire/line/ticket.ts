/**
 * The ticket: an authority's signed, counted permission for one station to personalize part of a batch.
 * This file is its payload; `signed.ts` is the COSE_Sign1 around it; docs/ticket.md is the specification.
 */
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { lineLimits, messageTypes, readBytes, readHead, readName } from './fields.ts';

/**
 * What was proven about a key, weakest first. `possession`: somebody can use it. `line-anchored`: the
 * station drove the element that made it. `vendor-anchored`: the element's maker vouches for it.
 */
export const proofLevels = ['possession', 'line-anchored', 'vendor-anchored'] as const;

export type ProofLevel = (typeof proofLevels)[number];

export interface Ticket {
  /** 16 random bytes. */
  readonly ticketId: Uint8Array;
  readonly order: string;
  readonly batch: string;
  readonly product: string;
  readonly profile: string;
  readonly family: string;
  readonly leastProof: ProofLevel;
  /** DER of SubjectPublicKeyInfo, P-256: only requests signed by this key count. */
  readonly stationKeySpki: Uint8Array;
  /** How many identities may be made. */
  readonly count: number;
  /** Unix seconds; the first and the last moment at which units are endorsed. */
  readonly notBeforeS: number;
  readonly notAfterS: number;
}

export const maximumTicketCount = 10_000_000;

export function encodeTicket(ticket: Ticket): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.ticket),
    cbor.bytes(ticket.ticketId),
    cbor.text(ticket.order),
    cbor.text(ticket.batch),
    cbor.text(ticket.product),
    cbor.text(ticket.profile),
    cbor.text(ticket.family),
    cbor.integer(proofLevels.indexOf(ticket.leastProof)),
    cbor.bytes(ticket.stationKeySpki),
    cbor.integer(ticket.count),
    cbor.integer(ticket.notBeforeS),
    cbor.integer(ticket.notAfterS),
  );
}

/** Throws a `MalformedError` with the offset of the first wrong byte. */
export function readTicket(payload: Uint8Array): Ticket {
  const reader = new CborReader(payload);
  const name = (what: string): string => readName(reader, what, lineLimits.nameCharacters);
  readHead(reader, 'ticket', 12);
  const ticket: Ticket = {
    ticketId: readBytes(reader, 'ticket id', 16, 16),
    order: name('order'),
    batch: name('batch'),
    product: name('product'),
    profile: name('profile'),
    family: name('family'),
    leastProof: readProofLevel(reader),
    stationKeySpki: readBytes(reader, 'station key', 1, 200),
    count: readCount(reader),
    notBeforeS: reader.unsigned(),
    notAfterS: readPeriodEnd(reader),
  };
  reader.end();
  return ticket;
}

export function readProofLevel(reader: CborReader): ProofLevel {
  const start = reader.offset;
  return proofLevels[reader.unsigned()] ?? reader.fail('unknown proof level', start);
}

function readCount(reader: CborReader): number {
  const start = reader.offset;
  const count = reader.unsigned(maximumTicketCount);
  return count > 0 ? count : reader.fail('a ticket for nothing', start);
}

/** RFC 5280 §4.1.2.5: no certificate date lies beyond the year 9999, so no period needs to. */
function readPeriodEnd(reader: CborReader): number {
  return reader.unsigned(253_402_300_799);
}
