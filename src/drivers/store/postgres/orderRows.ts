/** How orders, batches and tickets are written to PostgreSQL, and units read. */
import type {
  BatchRecord,
  OrderOutcome,
  OrderRecord,
  TicketRecord,
} from '../../../trust/ports/orderStore.ts';
import { eui64Plus } from '../../../wire/bytes/eui64.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import { integer } from '../sqlite/rows.ts';
import type { Connection } from './connection.ts';

export const selectUnit = `
  SELECT units.*, ticket_id, serial, key_id, prepared_ms, tbs, signature
  FROM units
  JOIN issuances USING (id)
  LEFT JOIN signatures USING (id)
  JOIN tickets ON tickets.id = units.ticket`;

export async function refusedOrder(
  connection: Connection,
  order: OrderRecord,
  batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>,
): Promise<Exclude<OrderOutcome, 'created'> | undefined> {
  const same = await connection.first('SELECT 1 FROM orders WHERE name = $1', order.order);
  if (same !== undefined) return 'order-exists';
  const names = batches.map(({ batch }) => batch);
  const taken = await connection.first(
    'SELECT 1 FROM batches WHERE name = ANY ($1::text[])',
    names,
  );
  if (taken !== undefined) return 'batch-exists';
  const overlap = await connection.first(
    'SELECT 1 FROM orders WHERE eui64_first <= $1 AND eui64_last >= $2',
    lastAddress(order),
    order.eui64First,
  );
  return overlap === undefined ? undefined : 'eui64-overlap';
}

export async function insertOrder(
  connection: Connection,
  order: OrderRecord,
  batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>,
): Promise<void> {
  const row = await connection.first(
    `INSERT INTO orders (name, product, family, profile, hw_type, part_number, quantity,
       least_proof, eui64_first, eui64_last, server_identity, created_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id`,
    order.order,
    order.product,
    order.family,
    order.profile,
    order.hwType,
    order.partNumber,
    order.quantity,
    proofLevels.indexOf(order.leastProof),
    order.eui64First,
    lastAddress(order),
    order.serverIdentity,
    order.createdMs,
  );
  const id = integer(row ?? {}, 'id');
  for (const { batch, quantity } of batches) {
    await connection.run(
      'INSERT INTO batches (order_id, name, quantity) VALUES ($1, $2, $3)',
      id,
      batch,
      quantity,
    );
  }
}

export async function insertTicket(
  connection: Connection,
  batchRow: number,
  ticket: TicketRecord,
): Promise<void> {
  await connection.run(
    `INSERT INTO tickets (ticket_id, batch_id, station_spki, count, least_proof, not_before_ms,
       not_after_ms, signed)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
    ticket.ticketId,
    batchRow,
    ticket.stationKeySpki,
    ticket.count,
    proofLevels.indexOf(ticket.leastProof),
    ticket.notBeforeMs,
    ticket.notAfterMs,
    ticket.signed,
  );
}

function lastAddress({ eui64First, quantity }: OrderRecord): Uint8Array {
  const last = eui64Plus(eui64First, quantity - 1);
  if (last === undefined) throw new TypeError('the range leaves the address space');
  return last;
}
