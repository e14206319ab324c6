/** From rows of the issuing database to what `trust` knows of orders, tickets and units. */
import {
  type BatchRecord,
  type OrderRecord,
  type TicketRecord,
  type UnitRecord,
  unitStates,
} from '../../../trust/ports/orderStore.ts';
import type { TicketCounts } from '../../../wire/line/reporting.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import { InvariantError } from '../../../trust/ports/faults.ts';
import { blob, integer, optionalBlob, optionalInteger, type Row, text } from './rows.ts';

export const selectOrder = 'SELECT * FROM orders';

export const selectBatch = `
  SELECT batches.name AS batch, orders.name AS order_name, batches.quantity, batches.closed_ms
  FROM batches JOIN orders ON orders.id = order_id`;

export const selectTicket = `
  SELECT tickets.*, batches.name AS batch, orders.name AS order_name
  FROM tickets JOIN batches ON batches.id = batch_id JOIN orders ON orders.id = order_id`;

export const selectUnit = `
  SELECT units.*, ticket_id, serial, key_id, prepared_ms, tbs, signature
  FROM units
  JOIN issuances USING (id)
  JOIN tickets ON tickets.id = units.ticket
  LEFT JOIN signatures USING (id)`;

export function orderOf(row: Row): OrderRecord {
  return {
    order: text(row, 'name'),
    product: text(row, 'product'),
    family: text(row, 'family'),
    profile: text(row, 'profile'),
    hwType: text(row, 'hw_type'),
    partNumber: text(row, 'part_number'),
    quantity: integer(row, 'quantity'),
    leastProof: member(row, 'least_proof', proofLevels),
    eui64First: blob(row, 'eui64_first'),
    serverIdentity: blob(row, 'server_identity'),
    createdMs: integer(row, 'created_ms'),
  };
}

export function batchOf(row: Row): BatchRecord {
  return {
    batch: text(row, 'batch'),
    order: text(row, 'order_name'),
    quantity: integer(row, 'quantity'),
    closedMs: optionalInteger(row, 'closed_ms'),
  };
}

export function ticketOf(row: Row): TicketRecord {
  const publicKey = optionalBlob(row, 'agree_key');
  return {
    ticketId: blob(row, 'ticket_id'),
    order: text(row, 'order_name'),
    batch: text(row, 'batch'),
    stationKeySpki: blob(row, 'station_spki'),
    count: integer(row, 'count'),
    taken: integer(row, 'taken'),
    leastProof: member(row, 'least_proof', proofLevels),
    notBeforeMs: integer(row, 'not_before_ms'),
    notAfterMs: integer(row, 'not_after_ms'),
    signed: blob(row, 'signed'),
    agreeKey:
      publicKey === undefined
        ? undefined
        : { publicKey, sealedPrivateKey: blob(row, 'sealed_agree_key') },
    closedMs: optionalInteger(row, 'closed_ms'),
  };
}

export function unitOf(row: Row): UnitRecord {
  return {
    ticketId: blob(row, 'ticket_id'),
    uid: blob(row, 'uid'),
    keyIdentifier: blob(row, 'key_id'),
    agreeKey: optionalBlob(row, 'agree_key'),
    deviceId: text(row, 'device_id'),
    eui64: blob(row, 'eui64'),
    model: text(row, 'model'),
    firmware: text(row, 'firmware'),
    proofLevel: member(row, 'proof', proofLevels),
    state: member(row, 'state', unitStates),
    reason: text(row, 'reason'),
    endorsedMs: integer(row, 'prepared_ms'),
    serialNumber: blob(row, 'serial'),
    tbs: blob(row, 'tbs'),
    signature: optionalBlob(row, 'signature'),
  };
}

/** Rows of (state, units). */
export function countsOf(rows: readonly Row[]): TicketCounts {
  const counts = { issued: 0, released: 0, scrapped: 0, returned: 0 };
  for (const row of rows) {
    const units = integer(row, 'units');
    const state = member(row, 'state', unitStates);
    counts.issued += units;
    if (state === 'locked') counts.released += units;
    if (state === 'scrapped') counts.scrapped += units;
    if (state === 'returned') counts.returned += units;
  }
  return counts;
}

function member<Word>(row: Row, column: string, words: readonly Word[]): Word {
  const word = words[integer(row, column)];
  if (word === undefined) throw new InvariantError(`column ${column} holds no known number`);
  return word;
}
