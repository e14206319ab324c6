/** Orders, batches, tickets and the fate of units on PostgreSQL. */
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
import {
  batchOf,
  countsOf,
  orderOf,
  selectBatch,
  selectOrder,
  selectTicket,
  ticketOf,
  unitOf,
} from '../sqlite/orderRows.ts';
import { blob, integer, text } from '../sqlite/rows.ts';
import { spend } from './approvalRows.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';
import {
  insertOrder,
  insertTicket,
  raiseOne,
  refusedOrder,
  refusedRange,
  selectUnit,
} from './orderRows.ts';
import { revokeAll } from './statusRows.ts';

export class PostgresOrderStore implements OrderStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  createOrder(
    order: OrderRecord,
    batches: readonly BatchRecord[],
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<OrderOutcome> {
    return this.#database.transact(async (connection) => {
      const outcome =
        (await refusedOrder(connection, order, batches)) ?? (await spend(connection, spending));
      if (outcome !== undefined) return outcome;
      await insertOrder(connection, order, batches);
      await appendLeaves(connection, [entry]);
      return 'created';
    });
  }

  raiseOrder(raise: OrderRaise, entry: Uint8Array, spending?: Spending): Promise<RaiseOutcome> {
    return this.#database.transact(async (connection) => {
      const { order, batch } = raise;
      const known = await connection.first(`${selectBatch} WHERE batches.name = $1`, batch);
      if (known === undefined || batchOf(known).order !== order) return 'unknown-batch';
      const room = await connection.first(selectRoom, batch);
      if (room?.['closed_ms'] !== null) return 'batch-closed';
      const outcome =
        (await refusedRange(connection, raise)) ?? (await spend(connection, spending));
      if (outcome !== undefined) return outcome;
      await raiseOne(connection, raise);
      await appendLeaves(connection, [entry]);
      return 'raised';
    });
  }

  order(order: string): Promise<OrderRecord | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(`${selectOrder} WHERE name = $1`, order);
      return row === undefined ? undefined : orderOf(row);
    });
  }

  orders(limit: number, before?: string): Promise<readonly OrderRecord[]> {
    const names = before === undefined ? [] : [before];
    const older = names.length === 0 ? '' : 'WHERE id < (SELECT id FROM orders WHERE name = $2)';
    const sql = `${selectOrder} ${older} ORDER BY id DESC LIMIT $1`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, limit, ...names)).map(orderOf),
    );
  }

  batches(order: string): Promise<readonly BatchRecord[]> {
    const sql = `${selectBatch} WHERE orders.name = $1 ORDER BY batches.id`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, order)).map(batchOf),
    );
  }

  batch(batch: string): Promise<BatchRecord | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(`${selectBatch} WHERE batches.name = $1`, batch);
      return row === undefined ? undefined : batchOf(row);
    });
  }

  eui64After(): Promise<Uint8Array | undefined> {
    const sql = 'SELECT eui64_last FROM orders ORDER BY eui64_last DESC LIMIT 1';
    return this.#database.read(async (connection) => {
      const row = await connection.first(sql);
      return row === undefined ? undefined : eui64Plus(blob(row, 'eui64_last'), 1);
    });
  }

  createTicket(
    ticket: TicketRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<TicketOutcome> {
    return this.#database.transact(async (connection) => {
      const batch = await connection.first(selectRoom, ticket.batch);
      if (batch === undefined) return 'unknown-batch';
      if (batch['closed_ms'] !== null) return 'batch-closed';
      if (integer(batch, 'spoken_for') + ticket.count > integer(batch, 'quantity')) {
        return 'batch-exhausted';
      }
      const fault = await spend(connection, spending);
      if (fault !== undefined) return fault;
      await insertTicket(connection, integer(batch, 'id'), ticket);
      await appendLeaves(connection, [entry]);
      return 'created';
    });
  }

  ticket(ticketId: Uint8Array): Promise<TicketRecord | undefined> {
    return this.#database.read((connection) => ticketById(connection, ticketId));
  }

  tickets(order: string): Promise<readonly TicketRecord[]> {
    const sql = `${selectTicket} WHERE orders.name = $1 ORDER BY tickets.id`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, order)).map(ticketOf),
    );
  }

  openTicket(ticketId: Uint8Array, agreeKey: TicketAgreeKey): Promise<TicketRecord | undefined> {
    const sql = `UPDATE tickets SET sealed_agree_key = $1, agree_key = $2
      WHERE ticket_id = $3 AND agree_key IS NULL AND closed_ms IS NULL`;
    return this.#database.transact(async (connection) => {
      await connection.run(sql, agreeKey.sealedPrivateKey, agreeKey.publicKey, ticketId);
      return ticketById(connection, ticketId);
    });
  }

  units(family: string, uids: readonly Uint8Array[]): Promise<readonly UnitRecord[]> {
    const sql = `${selectUnit} WHERE units.family = $1 AND units.uid = ANY ($2::bytea[])`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, family, uids)).map(unitOf),
    );
  }

  unitByDevice(deviceId: string): Promise<UnitRecord | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(`${selectUnit} WHERE units.device_id = $1`, deviceId);
      return row === undefined ? undefined : unitOf(row);
    });
  }

  changeUnits(
    ticketId: Uint8Array,
    changes: readonly UnitChange[],
  ): Promise<readonly UnitChangeOutcome[]> {
    return this.#database.transact(async (connection) => {
      const outcomes: UnitChangeOutcome[] = [];
      for (const change of changes) outcomes.push(await changeOne(connection, ticketId, change));
      return outcomes;
    });
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
    return this.#database.transact(async (connection) => {
      const own = await countTicket(connection, ticketId);
      const agreed =
        own.issued === counts.issued &&
        own.released === counts.released &&
        own.scrapped === counts.scrapped &&
        own.returned === counts.returned &&
        own.issued === own.released + own.scrapped + own.returned;
      if (!agreed) return { closed: false, counts: own };
      const changes = await connection.run(
        'UPDATE tickets SET closed_ms = $1 WHERE ticket_id = $2 AND closed_ms IS NULL',
        atMs,
        ticketId,
      );
      if (changes === 1) await appendLeaves(connection, [entry]);
      return { closed: true, counts: own };
    });
  }

  unitsOfBatch(
    batch: string,
    page: { readonly state: UnitState; readonly after: number; readonly limit: number },
  ): Promise<{ readonly units: readonly UnitRecord[]; readonly next: number | undefined }> {
    const sql = `${selectUnit} JOIN batches ON batches.id = tickets.batch_id
      WHERE batches.name = $1 AND units.state = $2 AND units.id > $3 ORDER BY units.id LIMIT $4`;
    const { state, after, limit } = page;
    return this.#database.read(async (connection) => {
      const rows = await connection.all(sql, batch, unitStates.indexOf(state), after, limit);
      const last = rows.length < limit ? undefined : rows.at(-1);
      return {
        units: rows.map(unitOf),
        next: last === undefined ? undefined : integer(last, 'id'),
      };
    });
  }

  countBatch(batch: string): Promise<TicketCounts & { readonly openTickets: number }> {
    return this.#database.snapshot(async (connection) => {
      const states = await connection.all(countUnitsOfBatch, batch);
      const open = await connection.first(countOpenTickets, batch);
      return { ...countsOf(states), openTickets: integer(open ?? {}, 'tickets') };
    });
  }

  closeBatch(
    { batch, atMs, entry }: BatchClosing,
    spending?: Spending,
  ): Promise<'closed' | 'unknown-batch' | SpendingFault> {
    return this.#database.transact(async (connection) => {
      const row = await connection.first('SELECT closed_ms FROM batches WHERE name = $1', batch);
      if (row === undefined) return 'unknown-batch';
      if (row['closed_ms'] === null) {
        const fault = await spend(connection, spending);
        if (fault !== undefined) return fault;
        await connection.run(updateClosed, atMs, batch);
        await appendLeaves(connection, [entry]);
      }
      return 'closed';
    });
  }

  closedBatches(
    afterSequence: number,
    limit: number,
  ): Promise<ReadonlyArray<{ readonly sequence: number; readonly batch: string }>> {
    const sql = `SELECT closed_sequence, name FROM batches WHERE closed_sequence > $1
      ORDER BY closed_sequence LIMIT $2`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, afterSequence, limit)).map((row) => ({
        sequence: integer(row, 'closed_sequence'),
        batch: text(row, 'name'),
      })),
    );
  }

  setting(name: string): Promise<Uint8Array | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first('SELECT value FROM settings WHERE name = $1', name);
      return row === undefined ? undefined : blob(row, 'value');
    });
  }

  saveSetting(name: string, value: Uint8Array, entry?: Uint8Array): Promise<void> {
    const sql = `INSERT INTO settings VALUES ($1, $2)
      ON CONFLICT (name) DO UPDATE SET value = excluded.value`;
    return this.#database.transact(async (connection) => {
      await connection.run(sql, name, value);
      if (entry !== undefined) await appendLeaves(connection, [entry]);
    });
  }
}

const updateClosed = `
  UPDATE batches SET closed_ms = $1,
    closed_sequence = (SELECT coalesce(max(closed_sequence), 0) + 1 FROM batches)
  WHERE name = $2`;

/** What a batch has promised already: open tickets in full, closed ones as far as they were used. */
const selectRoom = `
  SELECT batches.id, batches.quantity, coalesce(closed_ms, ended_ms) AS closed_ms, (
    SELECT coalesce(sum(CASE WHEN tickets.closed_ms IS NULL THEN count ELSE taken END), 0)::bigint
    FROM tickets WHERE batch_id = batches.id
  ) AS spoken_for
  FROM batches JOIN orders ON orders.id = order_id WHERE batches.name = $1`;

const countUnitsOfBatch = `
  SELECT state, count(*) AS units FROM units
  JOIN tickets ON tickets.id = ticket JOIN batches ON batches.id = batch_id
  WHERE batches.name = $1 GROUP BY state`;

const countOpenTickets = `
  SELECT count(*) AS tickets FROM tickets JOIN batches ON batches.id = batch_id
  WHERE batches.name = $1 AND tickets.closed_ms IS NULL`;

async function ticketById(
  connection: Connection,
  ticketId: Uint8Array,
): Promise<TicketRecord | undefined> {
  const row = await connection.first(`${selectTicket} WHERE ticket_id = $1`, ticketId);
  return row === undefined ? undefined : ticketOf(row);
}

async function changeOne(
  connection: Connection,
  ticketId: Uint8Array,
  change: UnitChange,
): Promise<UnitChangeOutcome> {
  const { uid, from, to, reason, atMs, revocation } = change;
  const row = await connection.first(
    `SELECT units.id, state FROM units JOIN tickets ON tickets.id = ticket
     WHERE uid = $1 AND ticket_id = $2`,
    uid,
    ticketId,
  );
  if (row === undefined) return 'unknown-unit';
  const state = unitStates[integer(row, 'state')];
  if (state === to) return 'done';
  if (state === undefined || !from.includes(state)) return 'wrong-state';
  await connection.run(
    'UPDATE units SET state = $1, reason = $2, reported_ms = $3 WHERE id = $4',
    unitStates.indexOf(to),
    reason,
    atMs,
    integer(row, 'id'),
  );
  if (revocation !== undefined) await revokeAll(connection, [revocation]);
  return 'done';
}

async function countTicket(connection: Connection, ticketId: Uint8Array): Promise<TicketCounts> {
  return countsOf(
    await connection.all(
      `SELECT state, count(*) AS units FROM units JOIN tickets ON tickets.id = ticket
       WHERE ticket_id = $1 GROUP BY state`,
      ticketId,
    ),
  );
}
