/** Orders and tickets of a database as lines of a ledger, for one that begins later than the installation. */
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import { blob, integer, text } from '../../drivers/store/sqlite/rows.ts';
import { InvariantError } from '../../trust/ports/faults.ts';
import type { LedgerLine } from '../../trust/ports/ticketLedger.ts';
import { proofLevels } from '../../wire/line/ticket.ts';

export async function linesOf(snapshot: Snapshot): Promise<readonly LedgerLine[]> {
  const batches = new Map<number, Array<{ readonly batch: string; readonly quantity: number }>>();
  for await (const row of snapshot.rows('SELECT * FROM batches ORDER BY id')) {
    const order = integer(row, 'order_id');
    const batch = { batch: text(row, 'name'), quantity: integer(row, 'quantity') };
    batches.set(order, [...(batches.get(order) ?? []), batch]);
  }
  const lines: LedgerLine[] = [];
  for await (const row of snapshot.rows('SELECT * FROM orders ORDER BY id')) {
    const leastProof = proofLevels[integer(row, 'least_proof')];
    if (leastProof === undefined) throw new InvariantError('an order without level of proof');
    const order = {
      order: text(row, 'name'),
      product: text(row, 'product'),
      family: text(row, 'family'),
      profile: text(row, 'profile'),
      hwType: text(row, 'hw_type'),
      partNumber: text(row, 'part_number'),
      quantity: integer(row, 'quantity'),
      leastProof,
      eui64First: blob(row, 'eui64_first'),
      serverIdentity: blob(row, 'server_identity'),
      createdMs: integer(row, 'created_ms'),
    };
    lines.push({ kind: 'order', order, batches: batches.get(integer(row, 'id')) ?? [] });
  }
  const tickets = `
    SELECT ticket_id, name, count, not_after_ms FROM tickets JOIN batches ON batches.id = batch_id
    ORDER BY tickets.id`;
  for await (const row of snapshot.rows(tickets)) {
    lines.push({
      kind: 'ticket',
      ticketId: blob(row, 'ticket_id'),
      batch: text(row, 'name'),
      count: integer(row, 'count'),
      notAfterMs: integer(row, 'not_after_ms'),
    });
  }
  return lines;
}
