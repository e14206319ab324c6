/**
 * Units by what they have in common. Everything that they can be chosen by hangs on their ticket or their
 * order, so a selection is a set of tickets: their units are then read along an index, page by page.
 */
import type { DevicePageOfSelection, UnitSelection } from '../../../trust/ports/statusStore.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { blob, integer, text } from '../sqlite/rows.ts';
import { isUnitOf, keyIdOf, readCursor } from '../sqlite/selection.ts';
import type { Connection } from './connection.ts';

/** `after`: TICKET.UNIT, as the last page said. */
export async function devicesOf(
  connection: Connection,
  selection: UnitSelection,
  after: string | undefined,
  limit: number,
): Promise<DevicePageOfSelection> {
  const [afterTicket, afterUnit] = readCursor(after);
  const firmware = selection.by === 'family' ? (selection.firmware ?? null) : null;
  const deviceIds: string[] = [];
  for (const ticket of await ticketsOf(connection, selection)) {
    if (ticket < afterTicket) continue;
    const from = ticket === afterTicket ? afterUnit : 0;
    const left = limit - deviceIds.length;
    const rows = await connection.all(selectUnits, ticket, from, firmware, left);
    deviceIds.push(...rows.map((row) => text(row, 'device_id')));
    const last = rows.at(-1);
    if (deviceIds.length === limit && last !== undefined) {
      return { deviceIds, next: `${ticket}.${integer(last, 'id')}` };
    }
  }
  return { deviceIds, next: undefined };
}

/** A firmware is known by its units alone; every other name by what was ordered or certified under it. */
export async function isKnown(connection: Connection, selection: UnitSelection): Promise<boolean> {
  if (selection.by === 'family' && selection.firmware !== undefined) {
    return (await devicesOf(connection, selection, undefined, 1)).deviceIds.length > 0;
  }
  return (await connection.first(selectName[selection.by], selection.name)) !== undefined;
}

/** Whether each is one of them; who was not born here is left out. */
export async function selected(
  connection: Connection,
  selection: UnitSelection,
  deviceIds: readonly string[],
): Promise<ReadonlyMap<string, boolean>> {
  const tickets = new Set(await ticketsOf(connection, selection));
  const rows = await connection.all(selectPlaces, deviceIds);
  return new Map(
    rows.map((row) => [text(row, 'device_id'), isUnitOf(row, tickets, selection)] as const),
  );
}

const selectPlaces = `
  SELECT device_id, ticket, firmware FROM units WHERE device_id = ANY ($1::text[])`;

/** In ascending order. */
async function ticketsOf(
  connection: Connection,
  { by, name }: UnitSelection,
): Promise<readonly number[]> {
  if (by === 'station') return ticketsOfStation(connection, name);
  return (await connection.all(selectTickets[by], name)).map((row) => integer(row, 'id'));
}

/** A ticket holds the station's key and not its name, which the key's certificates have. */
async function ticketsOfStation(connection: Connection, name: string): Promise<readonly number[]> {
  const certified = await connection.all(
    `SELECT key_id FROM issuances WHERE holder = $1 AND profile LIKE 'station@%'`,
    name,
  );
  const keys = new Set(certified.map((row) => toHex(blob(row, 'key_id'))));
  const tickets = await connection.all('SELECT id, station_spki FROM tickets ORDER BY id');
  return tickets
    .filter((row) => keys.has(keyIdOf(blob(row, 'station_spki'))))
    .map((row) => integer(row, 'id'));
}

const fromTickets = `
  SELECT tickets.id FROM tickets
  JOIN batches ON batches.id = batch_id JOIN orders ON orders.id = order_id`;

const selectTickets = {
  batch: `${fromTickets} WHERE batches.name = $1 ORDER BY tickets.id`,
  product: `${fromTickets} WHERE orders.product = $1 ORDER BY tickets.id`,
  family: `${fromTickets} WHERE orders.family = $1 ORDER BY tickets.id`,
} as const;

const selectName = {
  batch: 'SELECT 1 FROM batches WHERE name = $1',
  // Elements of others come without an order.
  product: `
    SELECT 1 FROM orders WHERE product = $1
    UNION ALL SELECT 1 FROM foreign_anchors WHERE product = $1 LIMIT 1`,
  family: 'SELECT 1 FROM orders WHERE family = $1 LIMIT 1',
  station: `SELECT 1 FROM issuances WHERE holder = $1 AND profile LIKE 'station@%' LIMIT 1`,
} as const;

const selectUnits = `
  SELECT units.id, device_id FROM units JOIN signatures USING (id)
  WHERE ticket = $1 AND units.id > $2 AND ($3::text IS NULL OR firmware = $3)
  ORDER BY units.id LIMIT $4`;
