/** Orders, batches, tickets and the fate of units on SQLite. */
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import type {
  BatchClosing,
  BatchRecord,
  OrderOutcome,
  OrderRecord,
  OrderStore,
  RaiseOutcome,
  TicketAgreeKey,
  TicketClosing,
  TicketOutcome,
  TicketRecord,
  UnitChange,
  UnitChangeOutcome,
  UnitRecord,
  UnitState,
} from '../../../trust/ports/orderStore.ts';
import type { OrderRaise } from '../../../trust/ports/operatorAuthority.ts';
import { unitStates } from '../../../trust/ports/orderStore.ts';
import { eui64Plus } from '../../../wire/bytes/eui64.ts';
import type { TicketCounts } from '../../../wire/line/reporting.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import { spend } from './approvalRows.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf, revokeOne } from './issuanceStore.ts';
import {
  batchOf,
  countsOf,
  orderOf,
  selectBatch,
  selectOrder,
  selectTicket,
  selectUnit,
  ticketOf,
  unitOf,
} from './orderRows.ts';
import { blob, integer, text } from './rows.ts';

export class SqliteOrderStore implements OrderStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  createOrder(
    order: OrderRecord,
    batches: readonly BatchRecord[],
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<OrderOutcome> {
    return this.#database.transact((connection) => {
      const outcome = refusedOrder(connection, order, batches) ?? spend(connection, spending);
      if (outcome !== undefined) return outcome;
      insertOrder(connection, order, batches);
      connection.prepare(appendLeaf).run(entry);
      return 'created';
    });
  }

  raiseOrder(raise: OrderRaise, entry: Uint8Array, spending?: Spending): Promise<RaiseOutcome> {
    return this.#database.transact((connection) => {
      const outcome = refusedRaise(connection, raise) ?? spend(connection, spending);
      if (outcome !== undefined) return outcome;
      raiseOne(connection, raise);
      connection.prepare(appendLeaf).run(entry);
      return 'raised';
    });
  }

  order(order: string): Promise<OrderRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare(`${selectOrder} WHERE name = ?`).get(order);
      return row === undefined ? undefined : orderOf(row);
    });
  }

  orders(limit: number, before?: string): Promise<readonly OrderRecord[]> {
    const names = before === undefined ? [] : [before];
    const older = names.length === 0 ? '' : 'WHERE id < (SELECT id FROM orders WHERE name = ?)';
    const sql = `${selectOrder} ${older} ORDER BY id DESC LIMIT ?`;
    return this.#database.read((connection) =>
      connection
        .prepare(sql)
        .all(...names, limit)
        .map(orderOf),
    );
  }

  batches(order: string): Promise<readonly BatchRecord[]> {
    return this.#database.read((connection) =>
      connection
        .prepare(`${selectBatch} WHERE orders.name = ? ORDER BY batches.id`)
        .all(order)
        .map(batchOf),
    );
  }

  batch(batch: string): Promise<BatchRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare(`${selectBatch} WHERE batches.name = ?`).get(batch);
      return row === undefined ? undefined : batchOf(row);
    });
  }

  eui64After(): Promise<Uint8Array | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare('SELECT max(eui64_last) AS last FROM orders').get() ?? {};
      return row['last'] === null ? undefined : eui64Plus(blob(row, 'last'), 1);
    });
  }

  createTicket(
    ticket: TicketRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<TicketOutcome> {
    return this.#database.transact((connection) => {
      const batch = connection.prepare(selectRoom).get(ticket.batch);
      if (batch === undefined) return 'unknown-batch';
      if (batch['closed_ms'] !== null) return 'batch-closed';
      if (integer(batch, 'spoken_for') + ticket.count > integer(batch, 'quantity')) {
        return 'batch-exhausted';
      }
      const fault = spend(connection, spending);
      if (fault !== undefined) return fault;
      insertTicket(connection, integer(batch, 'id'), ticket);
      connection.prepare(appendLeaf).run(entry);
      return 'created';
    });
  }

  ticket(ticketId: Uint8Array): Promise<TicketRecord | undefined> {
    return this.#database.read((connection) => ticketById(connection, ticketId));
  }

  tickets(order: string): Promise<readonly TicketRecord[]> {
    return this.#database.read((connection) =>
      connection
        .prepare(`${selectTicket} WHERE orders.name = ? ORDER BY tickets.id`)
        .all(order)
        .map(ticketOf),
    );
  }

  openTicket(ticketId: Uint8Array, agreeKey: TicketAgreeKey): Promise<TicketRecord | undefined> {
    return this.#database.transact((connection) => {
      connection
        .prepare(
          `UPDATE tickets SET sealed_agree_key = ?, agree_key = ?
           WHERE ticket_id = ? AND agree_key IS NULL AND closed_ms IS NULL`,
        )
        .run(agreeKey.sealedPrivateKey, agreeKey.publicKey, ticketId);
      return ticketById(connection, ticketId);
    });
  }

  units(family: string, uids: readonly Uint8Array[]): Promise<readonly UnitRecord[]> {
    const read = (connection: Connection): readonly UnitRecord[] => {
      // Most are new: an index alone tells so.
      const find = connection.prepare('SELECT id FROM units WHERE uid = ? AND family = ?');
      const select = connection.prepare(`${selectUnit} WHERE units.id = ?`);
      return uids.flatMap((uid) => {
        const row = find.get(uid, family);
        return row === undefined ? [] : select.all(integer(row, 'id')).map(unitOf);
      });
    };
    // No unit is ever deleted.
    return this.#database.read(read, (found) => found.length === 0);
  }

  unitByDevice(deviceId: string): Promise<UnitRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare(`${selectUnit} WHERE units.device_id = ?`).get(deviceId);
      return row === undefined ? undefined : unitOf(row);
    });
  }

  changeUnits(
    ticketId: Uint8Array,
    changes: readonly UnitChange[],
  ): Promise<readonly UnitChangeOutcome[]> {
    return this.#database.transact((connection) =>
      changes.map((change) => changeOne(connection, ticketId, change)),
    );
  }

  countTicket(ticketId: Uint8Array): Promise<TicketCounts> {
    return this.#database.read((connection) => countTicket(connection, ticketId));
  }

  closeTicket({
    ticketId,
    counts,
    atMs,
    entry,
  }: TicketClosing): Promise<{ readonly closed: boolean; readonly counts: TicketCounts }> {
    return this.#database.transact((connection) => {
      const own = countTicket(connection, ticketId);
      const agreed =
        own.issued === counts.issued &&
        own.released === counts.released &&
        own.scrapped === counts.scrapped &&
        own.returned === counts.returned &&
        own.issued === own.released + own.scrapped + own.returned;
      if (!agreed) return { closed: false, counts: own };
      const { changes } = connection
        .prepare('UPDATE tickets SET closed_ms = ? WHERE ticket_id = ? AND closed_ms IS NULL')
        .run(atMs, ticketId);
      if (changes === 1) connection.prepare(appendLeaf).run(entry);
      return { closed: true, counts: own };
    });
  }

  unitsOfBatch(
    batch: string,
    page: { readonly state: UnitState; readonly after: number; readonly limit: number },
  ): Promise<{ readonly units: readonly UnitRecord[]; readonly next: number | undefined }> {
    const sql = `${selectUnit} JOIN batches ON batches.id = tickets.batch_id
      WHERE batches.name = ? AND units.state = ? AND units.id > ? ORDER BY units.id LIMIT ?`;
    return this.#database.read((connection) => {
      const rows = connection
        .prepare(sql)
        .all(batch, unitStates.indexOf(page.state), page.after, page.limit);
      const last = rows.length < page.limit ? undefined : rows.at(-1);
      return {
        units: rows.map(unitOf),
        next: last === undefined ? undefined : integer(last, 'id'),
      };
    });
  }

  countBatch(batch: string): Promise<TicketCounts & { readonly openTickets: number }> {
    return this.#database.read((connection) => {
      const states = connection
        .prepare(
          `SELECT state, count(*) AS units FROM units
           JOIN tickets ON tickets.id = ticket JOIN batches ON batches.id = batch_id
           WHERE batches.name = ? GROUP BY state`,
        )
        .all(batch);
      const open = connection
        .prepare(
          `SELECT count(*) AS tickets FROM tickets JOIN batches ON batches.id = batch_id
           WHERE batches.name = ? AND tickets.closed_ms IS NULL`,
        )
        .get(batch);
      return { ...countsOf(states), openTickets: integer(open ?? {}, 'tickets') };
    });
  }

  closeBatch(
    { batch, atMs, entry }: BatchClosing,
    spending?: Spending,
  ): Promise<'closed' | 'unknown-batch' | SpendingFault> {
    return this.#database.transact((connection) => {
      const row = connection.prepare('SELECT closed_ms FROM batches WHERE name = ?').get(batch);
      if (row === undefined) return 'unknown-batch';
      if (row['closed_ms'] === null) {
        const fault = spend(connection, spending);
        if (fault !== undefined) return fault;
        connection.prepare(updateClosed).run(atMs, batch);
        connection.prepare(appendLeaf).run(entry);
      }
      return 'closed';
    });
  }

  closedBatches(
    afterSequence: number,
    limit: number,
  ): Promise<ReadonlyArray<{ readonly sequence: number; readonly batch: string }>> {
    const sql = `SELECT closed_sequence, name FROM batches WHERE closed_sequence > ?
      ORDER BY closed_sequence LIMIT ?`;
    return this.#database.read((connection) =>
      connection
        .prepare(sql)
        .all(afterSequence, limit)
        .map((row) => ({ sequence: integer(row, 'closed_sequence'), batch: text(row, 'name') })),
    );
  }

  setting(name: string): Promise<Uint8Array | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare('SELECT value FROM settings WHERE name = ?').get(name);
      return row === undefined ? undefined : blob(row, 'value');
    });
  }

  saveSetting(name: string, value: Uint8Array, entry?: Uint8Array): Promise<void> {
    return this.#database.transact((connection) => {
      connection.prepare('INSERT OR REPLACE INTO settings VALUES (?, ?)').run(name, value);
      if (entry !== undefined) connection.prepare(appendLeaf).run(entry);
    });
  }
}

const updateClosed = `
  UPDATE batches SET closed_ms = ?,
    closed_sequence = (SELECT coalesce(max(closed_sequence), 0) + 1 FROM batches)
  WHERE name = ?`;

/** What a batch has promised already: open tickets in full, closed ones as far as they were used. */
const selectRoom = `
  SELECT batches.id, batches.quantity, coalesce(closed_ms, ended_ms) AS closed_ms, (
    SELECT coalesce(sum(CASE WHEN tickets.closed_ms IS NULL THEN count ELSE taken END), 0)
    FROM tickets WHERE batch_id = batches.id
  ) AS spoken_for
  FROM batches JOIN orders ON orders.id = order_id WHERE batches.name = ?`;

export function refusedOrder(
  connection: Connection,
  order: OrderRecord,
  batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>,
): Exclude<OrderOutcome, 'created'> | undefined {
  if (connection.prepare('SELECT 1 FROM orders WHERE name = ?').get(order.order) !== undefined) {
    return 'order-exists';
  }
  const selectBatchName = connection.prepare('SELECT 1 FROM batches WHERE name = ?');
  if (batches.some(({ batch }) => selectBatchName.get(batch) !== undefined)) return 'batch-exists';
  const overlap = connection
    .prepare('SELECT 1 FROM orders WHERE eui64_first <= ? AND eui64_last >= ?')
    .get(lastAddress(order), order.eui64First);
  return overlap === undefined ? undefined : 'eui64-overlap';
}

export function insertOrder(
  connection: Connection,
  order: OrderRecord,
  batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>,
): void {
  const { lastInsertRowid } = connection
    .prepare(
      `INSERT INTO orders (name, product, family, profile, hw_type, part_number, quantity,
         least_proof, eui64_first, eui64_last, server_identity, created_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
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
  const insertBatch = connection.prepare(
    'INSERT INTO batches (order_id, name, quantity) VALUES (?, ?, ?)',
  );
  for (const { batch, quantity } of batches) insertBatch.run(lastInsertRowid, batch, quantity);
}

function refusedRaise(
  connection: Connection,
  { order: name, batch, by }: OrderRaise,
): Exclude<RaiseOutcome, 'raised'> | undefined {
  const room = connection.prepare(`${selectBatch} WHERE batches.name = ?`).get(batch);
  const row = connection.prepare(`${selectOrder} WHERE name = ?`).get(name);
  if (room === undefined || row === undefined || batchOf(room).order !== name) {
    return 'unknown-batch';
  }
  if (connection.prepare(selectRoom).get(batch)?.['closed_ms'] !== null) return 'batch-closed';
  const order = orderOf(row);
  const last = lastAddress({ ...order, quantity: order.quantity + by });
  return connection.prepare(selectOverlap).get(name, last, order.eui64First) === undefined
    ? undefined
    : 'eui64-overlap';
}

/** A restore: what the ledger says of an order that is known, where its addresses are nobody else's. */
export function growOrder(
  connection: Connection,
  order: OrderRecord,
  batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>,
): void {
  const { order: name, eui64First } = order;
  const overlap = connection.prepare(selectOverlap).get(name, lastAddress(order), eui64First);
  if (overlap !== undefined) return;
  const known = connection.prepare('SELECT quantity FROM batches WHERE name = ?');
  for (const { batch, quantity } of batches) {
    const row = known.get(batch);
    const by = row === undefined ? 0 : quantity - integer(row, 'quantity');
    if (by > 0) raiseOne(connection, { order: name, batch, by });
  }
}

/** Whether it may be was asked before. */
function raiseOne(connection: Connection, { order: name, batch, by }: OrderRaise): void {
  const row = connection.prepare(`${selectOrder} WHERE name = ?`).get(name);
  if (row === undefined) return;
  const quantity = orderOf(row).quantity + by;
  const last = lastAddress({ ...orderOf(row), quantity });
  connection
    .prepare('UPDATE orders SET quantity = ?, eui64_last = ? WHERE name = ?')
    .run(quantity, last, name);
  connection.prepare('UPDATE batches SET quantity = quantity + ? WHERE name = ?').run(by, batch);
}

const selectOverlap = `
  SELECT 1 FROM orders WHERE name <> ? AND eui64_first <= ? AND eui64_last >= ?`;

function lastAddress({ eui64First, quantity }: OrderRecord): Uint8Array {
  const last = eui64Plus(eui64First, quantity - 1);
  if (last === undefined) throw new TypeError('the range leaves the address space');
  return last;
}

function insertTicket(connection: Connection, batchRow: number, ticket: TicketRecord): void {
  connection
    .prepare(
      `INSERT INTO tickets (ticket_id, batch_id, station_spki, count, least_proof, not_before_ms,
         not_after_ms, signed)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
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

function ticketById(connection: Connection, ticketId: Uint8Array): TicketRecord | undefined {
  const row = connection.prepare(`${selectTicket} WHERE ticket_id = ?`).get(ticketId);
  return row === undefined ? undefined : ticketOf(row);
}

function changeOne(
  connection: Connection,
  ticketId: Uint8Array,
  change: UnitChange,
): UnitChangeOutcome {
  const { uid, from, to, reason, atMs, revocation } = change;
  const row = connection
    .prepare(
      `SELECT units.id, state FROM units JOIN tickets ON tickets.id = ticket
       WHERE uid = ? AND ticket_id = ?`,
    )
    .get(uid, ticketId);
  if (row === undefined) return 'unknown-unit';
  const state = unitStates[integer(row, 'state')];
  if (state === to) return 'done';
  if (state === undefined || !from.includes(state)) return 'wrong-state';
  connection
    .prepare('UPDATE units SET state = ?, reason = ?, reported_ms = ? WHERE id = ?')
    .run(unitStates.indexOf(to), reason, atMs, integer(row, 'id'));
  if (revocation !== undefined) revokeOne(connection, revocation);
  return 'done';
}

function countTicket(connection: Connection, ticketId: Uint8Array): TicketCounts {
  return countsOf(
    connection
      .prepare(
        `SELECT state, count(*) AS units FROM units JOIN tickets ON tickets.id = ticket
         WHERE ticket_id = ? GROUP BY state`,
      )
      .all(ticketId),
  );
}
