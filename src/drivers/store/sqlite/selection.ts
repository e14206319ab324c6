/**
 * Units by what they have in common. Everything that they can be chosen by hangs on their ticket or their
 * order, so a selection is a set of tickets: their units are then read along an index, page by page.
 */
import { createHash } from 'node:crypto';
import type { DevicePageOfSelection, UnitSelection } from '../../../trust/ports/statusStore.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { parseSpki } from '../../../wire/x509/spki.ts';
import type { Connection } from './database.ts';
import { blob, integer, type Row, text } from './rows.ts';

/** `after`: TICKET.UNIT, as the last page said. */
export function devicesOf(
  connection: Connection,
  selection: UnitSelection,
  after: string | undefined,
  limit: number,
): DevicePageOfSelection {
  const [afterTicket, afterUnit] = readCursor(after);
  const firmware = selection.by === 'family' ? selection.firmware : undefined;
  const deviceIds: string[] = [];
  for (const ticket of ticketsOf(connection, selection)) {
    if (ticket < afterTicket) continue;
    const rows = connection
      .prepare(firmware === undefined ? selectUnits : selectUnitsOfFirmware)
      .all(
        ticket,
        ticket === afterTicket ? afterUnit : 0,
        ...(firmware === undefined ? [] : [firmware]),
        limit - deviceIds.length,
      );
    deviceIds.push(...rows.map((row) => text(row, 'device_id')));
    const last = rows.at(-1);
    if (deviceIds.length === limit && last !== undefined) {
      return { deviceIds, next: `${ticket}.${integer(last, 'id')}` };
    }
  }
  return { deviceIds, next: undefined };
}

/** A firmware is known by its units alone; every other name by what was ordered or certified under it. */
export function isKnown(connection: Connection, selection: UnitSelection): boolean {
  if (selection.by === 'family' && selection.firmware !== undefined) {
    return devicesOf(connection, selection, undefined, 1).deviceIds.length > 0;
  }
  return connection.prepare(selectName[selection.by]).get(selection.name) !== undefined;
}

/** Whether each is one of them; who was not born here is left out. */
export function selected(
  connection: Connection,
  selection: UnitSelection,
  deviceIds: readonly string[],
): ReadonlyMap<string, boolean> {
  const tickets = new Set(ticketsOf(connection, selection));
  const unit = connection.prepare('SELECT ticket, firmware FROM units WHERE device_id = ?');
  return new Map(
    deviceIds.flatMap((deviceId) => {
      const row = unit.get(deviceId);
      return row === undefined ? [] : [[deviceId, isUnitOf(row, tickets, selection)] as const];
    }),
  );
}

export function isUnitOf(
  row: Row,
  tickets: ReadonlySet<number>,
  selection: UnitSelection,
): boolean {
  const firmware = selection.by === 'family' ? selection.firmware : undefined;
  if (firmware !== undefined && text(row, 'firmware') !== firmware) return false;
  return tickets.has(integer(row, 'ticket'));
}

/** In ascending order. */
function ticketsOf(connection: Connection, selection: UnitSelection): readonly number[] {
  const { by, name } = selection;
  if (by === 'station') return ticketsOfStation(connection, name);
  return connection
    .prepare(selectTickets[by])
    .all(name)
    .map((row) => integer(row, 'id'));
}

/** A ticket holds the station's key and not its name, which the key's certificates have. */
function ticketsOfStation(connection: Connection, name: string): readonly number[] {
  const keys = new Set(
    connection
      .prepare(`SELECT key_id FROM issuances WHERE holder = ? AND profile LIKE 'station@%'`)
      .all(name)
      .map((row) => toHex(blob(row, 'key_id'))),
  );
  return connection
    .prepare('SELECT id, station_spki FROM tickets ORDER BY id')
    .all()
    .filter((row) => keys.has(keyIdOf(blob(row, 'station_spki'))))
    .map((row) => integer(row, 'id'));
}

/** RFC 7093 §2, method 1, as `issuances.key_id` is made. */
export function keyIdOf(spki: Uint8Array): string {
  return createHash('sha256').update(parseSpki(spki).key).digest('hex').slice(0, 40);
}

const fromTickets = `
  SELECT tickets.id FROM tickets
  JOIN batches ON batches.id = batch_id JOIN orders ON orders.id = order_id`;

const selectTickets = {
  batch: `${fromTickets} WHERE batches.name = ? ORDER BY tickets.id`,
  product: `${fromTickets} WHERE orders.product = ? ORDER BY tickets.id`,
  family: `${fromTickets} WHERE orders.family = ? ORDER BY tickets.id`,
} as const;

const selectName = {
  batch: 'SELECT 1 FROM batches WHERE name = ?',
  // Elements of others come without an order.
  product: `
    SELECT 1 FROM orders WHERE product = ?1
    UNION ALL SELECT 1 FROM foreign_anchors WHERE product = ?1 LIMIT 1`,
  family: 'SELECT 1 FROM orders WHERE family = ? LIMIT 1',
  station: `SELECT 1 FROM issuances WHERE holder = ? AND profile LIKE 'station@%' LIMIT 1`,
} as const;

const selectUnits = `
  SELECT units.id, device_id FROM units JOIN signatures USING (id)
  WHERE ticket = ? AND units.id > ? ORDER BY units.id LIMIT ?`;

const selectUnitsOfFirmware = `
  SELECT units.id, device_id FROM units JOIN signatures USING (id)
  WHERE ticket = ? AND units.id > ? AND firmware = ? ORDER BY units.id LIMIT ?`;

export function readCursor(after: string | undefined): readonly [ticket: number, unit: number] {
  if (after === undefined) return [0, 0];
  const parts = /^(\d{1,15})\.(\d{1,15})$/.exec(after);
  if (parts === null) throw new TypeError('no page begins there');
  return [Number(parts[1]), Number(parts[2])];
}
