/** Orders, batches and tickets against the units that were really made. */
import { eui64Plus } from '../../wire/bytes/eui64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Inspection } from './fsck.ts';
import { bytes, hex, isNull, number, string } from './values.ts';

export async function checkQuotas(
  inspection: Inspection,
): Promise<{ readonly units: number; readonly tickets: number }> {
  const made = await countUnits(inspection);
  const tickets = await checkTickets(inspection, made.byTicket);
  await checkBatches(inspection);
  await checkOrders(inspection, made.byTicket);
  return { units: made.units, tickets };
}

/** Units by ticket, counted one by one. */
async function countUnits({ snapshot }: Inspection): Promise<{
  readonly units: number;
  readonly byTicket: ReadonlyMap<number, number>;
}> {
  const byTicket = new Map<number, number>();
  let units = 0;
  for await (const row of snapshot.rows('SELECT ticket FROM units')) {
    const ticket = number(row, 'ticket');
    byTicket.set(ticket, (byTicket.get(ticket) ?? 0) + 1);
    units += 1;
  }
  return { units, byTicket };
}

async function checkTickets(
  { snapshot, fault }: Inspection,
  byTicket: ReadonlyMap<number, number>,
): Promise<number> {
  let tickets = 0;
  for await (const row of snapshot.rows('SELECT * FROM tickets')) {
    tickets += 1;
    const made = byTicket.get(number(row, 'id')) ?? 0;
    const name = `ticket ${hex(row, 'ticket_id')}`;
    if (made > number(row, 'count')) {
      fault(`${name}: ${made} identities, ${number(row, 'count')} allowed`);
    }
    if (made !== number(row, 'taken')) {
      fault(`${name}: ${made} identities, ${number(row, 'taken')} counted`);
    }
  }
  const unfinished = `
    SELECT ticket_id FROM tickets WHERE closed_ms IS NOT NULL AND EXISTS (
      SELECT 1 FROM units WHERE ticket = tickets.id AND state NOT IN (2, 3, 4)
    )`;
  for await (const row of snapshot.rows(unfinished)) {
    fault(`ticket ${hex(row, 'ticket_id')}: closed with units that are not accounted for`);
  }
  return tickets;
}

async function checkBatches({ snapshot, fault }: Inspection): Promise<void> {
  const select = `
    SELECT name, quantity, batches.closed_ms,
      (SELECT CAST(coalesce(sum(CASE WHEN closed_ms IS NULL THEN count ELSE taken END), 0) AS BIGINT)
       FROM tickets WHERE batch_id = batches.id) AS promised,
      (SELECT count(*) FROM tickets WHERE batch_id = batches.id AND closed_ms IS NULL) AS open
    FROM batches`;
  for await (const row of snapshot.rows(select)) {
    const name = `batch ${string(row, 'name')}`;
    if (number(row, 'promised') > number(row, 'quantity')) {
      fault(`${name}: ${number(row, 'promised')} promised, ${number(row, 'quantity')} ordered`);
    }
    if (!isNull(row, 'closed_ms') && number(row, 'open') > 0) {
      fault(`${name}: closed with open tickets`);
    }
  }
}

/** Quantities add up, and every address is one of its order's own. */
async function checkOrders(
  { snapshot, fault }: Inspection,
  byTicket: ReadonlyMap<number, number>,
): Promise<void> {
  const orderOfTicket = new Map<number, number>();
  const tickets = 'SELECT tickets.id, order_id FROM tickets JOIN batches ON batches.id = batch_id';
  for await (const row of snapshot.rows(tickets)) {
    orderOfTicket.set(number(row, 'id'), number(row, 'order_id'));
  }
  const made = new Map<number, number>();
  for (const [ticket, units] of byTicket) {
    const order = orderOfTicket.get(ticket) ?? 0;
    made.set(order, (made.get(order) ?? 0) + units);
  }
  const ranges = new Map<number, readonly [first: string, last: string]>();
  const select = `
    SELECT *, (SELECT CAST(sum(quantity) AS BIGINT) FROM batches WHERE order_id = orders.id) AS in_batches
    FROM orders`;
  for await (const row of snapshot.rows(select)) {
    const name = `order ${string(row, 'name')}`;
    const id = number(row, 'id');
    const units = made.get(id) ?? 0;
    const quantity = number(row, 'quantity');
    if (units > quantity) fault(`${name}: ${units} identities, ${quantity} ordered`);
    if (units !== number(row, 'eui64_taken')) fault(`${name}: addresses do not match identities`);
    if (number(row, 'in_batches') !== quantity) fault(`${name}: its batches make another quantity`);
    const last = eui64Plus(bytes(row, 'eui64_first'), quantity - 1);
    ranges.set(id, [hex(row, 'eui64_first'), toHex(last ?? new Uint8Array(0))]);
  }
  checkOverlaps([...ranges.values()], fault);
  await checkAddresses(snapshot.rows('SELECT ticket, eui64, device_id FROM units'), {
    fault,
    rangeOf: (ticket) => ranges.get(orderOfTicket.get(ticket) ?? 0),
  });
}

function checkOverlaps(
  ranges: ReadonlyArray<readonly [first: string, last: string]>,
  fault: (text: string) => void,
): void {
  const sorted = ranges.toSorted(([left], [right]) => (left < right ? -1 : 1));
  for (const [index, [first]] of sorted.entries()) {
    const before = sorted[index - 1];
    if (before !== undefined && before[1] >= first) fault(`two orders share the address ${first}`);
  }
}

async function checkAddresses(
  rows: AsyncIterable<Parameters<typeof number>[0]>,
  context: {
    readonly fault: (text: string) => void;
    readonly rangeOf: (ticket: number) => readonly [first: string, last: string] | undefined;
  },
): Promise<void> {
  for await (const row of rows) {
    const range = context.rangeOf(number(row, 'ticket'));
    const eui64 = hex(row, 'eui64');
    if (range === undefined || eui64 < range[0] || eui64 > range[1]) {
      context.fault(`device ${string(row, 'device_id')}: its address is not of its order`);
    }
  }
}
