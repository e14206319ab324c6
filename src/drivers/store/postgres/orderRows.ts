/** How orders, batches and tickets are written to PostgreSQL, and units read. */
import type { OrderRaise } from '../../../trust/ports/operatorAuthority.ts';
import type {
  BatchRecord,
  OrderOutcome,
  OrderRecord,
  TicketRecord,
} from '../../../trust/ports/orderStore.ts';
import { eui64Plus } from '../../../wire/bytes/eui64.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import { orderOf, selectOrder } from '../sqlite/orderRows.ts';
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

/** Whether the range, so much longer, runs into that of another order. */
export async function refusedRange(
  connection: Connection,
  raise: OrderRaise,
): Promise<'eui64-overlap' | undefined> {
  return (await isTaken(connection, await raised(connection, raise))) ? 'eui64-overlap' : undefined;
}

/** Whether its addresses are those of another order. */
async function isTaken(connection: Connection, order: OrderRecord): Promise<boolean> {
  const { order: name, eui64First } = order;
  const sql = 'SELECT 1 FROM orders WHERE name <> $1 AND eui64_first <= $2 AND eui64_last >= $3';
  return (await connection.first(sql, name, lastAddress(order), eui64First)) !== undefined;
}

/** As on SQLite. */
export async function growOrder(
  connection: Connection,
  order: OrderRecord,
  batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>,
): Promise<void> {
  if (await isTaken(connection, order)) return;
  for (const { batch, quantity } of batches) {
    const row = await connection.first('SELECT quantity FROM batches WHERE name = $1', batch);
    const by = row === undefined ? 0 : quantity - integer(row, 'quantity');
    if (by > 0) await raiseOne(connection, { order: order.order, batch, by });
  }
}

export async function raiseOne(connection: Connection, raise: OrderRaise): Promise<void> {
  const order = await raised(connection, raise);
  await connection.run(
    'UPDATE orders SET quantity = $1, eui64_last = $2 WHERE name = $3',
    order.quantity,
    lastAddress(order),
    raise.order,
  );
  const sql = 'UPDATE batches SET quantity = quantity + $1 WHERE name = $2';
  await connection.run(sql, raise.by, raise.batch);
}

/** The order is there. */
async function raised(
  connection: Connection,
  { order: name, by }: OrderRaise,
): Promise<OrderRecord> {
  const row = await connection.first(`${selectOrder} WHERE name = $1`, name);
  const order = orderOf(row ?? {});
  return { ...order, quantity: order.quantity + by };
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
