/**
 * What T1 may give, for all intents of one transaction: tickets, orders, grants and everything unique are
 * read at once, decided intent by intent in memory, and counted back at once. Nothing changes between the
 * reading and the commit, since transactions that write follow one another (`writer.ts`); the unique
 * indexes and CHECKs of the tables stand behind it.
 */
import { eui64Plus } from '../../../wire/bytes/eui64.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import type { GrantReference } from '../../../trust/ports/grantStore.ts';
import type {
  Intent,
  IntentConflict,
  IntentOutcome,
  UnitIntent,
} from '../../../trust/ports/issuanceStore.ts';
import { blob, integer, type Row, text } from '../sqlite/rows.ts';
import type { Connection } from './connection.ts';

export type Verdict =
  | { readonly ticket: number | undefined; readonly eui64: Uint8Array | undefined }
  | Extract<IntentOutcome, { readonly refused: string }>
  | { readonly conflict: IntentConflict };

export class Quotas {
  /** By ticket id in hexadecimal; closed ones are not among them. */
  readonly #tickets = new Map<string, Ticket>();
  /** Tickets of one order hand out addresses of one range. */
  readonly #orders = new Map<number, Order>();
  readonly #taken = new Set<string>();
  readonly #freeGrants = new Set<string>();
  /** Id of the last intent of each holder for whom something is replaced. */
  readonly #latest = new Map<string, number>();

  static async read(connection: Connection, intents: readonly Intent[]): Promise<Quotas> {
    const quotas = new Quotas();
    const units = intents.flatMap(({ unit }) => unit ?? []);
    if (units.length > 0) {
      const ids = new Map(units.map(({ ticketId }) => [toHex(ticketId), ticketId]));
      const rows = await connection.all(selectTickets, [...ids.values()]);
      for (const row of rows) quotas.#addTicket(row);
    }
    const taken = await connection.all(
      selectTaken,
      intents.map(({ serialNumber }) => serialNumber),
      units.map(({ uid }) => uid),
      units.map(({ family }) => family),
      intents.flatMap(({ unit, holder }) => (unit === undefined ? [] : [holder])),
      intents.flatMap((intent) => keysOf(intent)),
    );
    for (const row of taken) quotas.#taken.add(text(row, 'taken'));
    await quotas.#readGrants(connection, intents);
    await quotas.#readLatest(connection, intents);
    return quotas;
  }

  /** Counts at once what it allows. */
  judge(intent: Intent): Verdict {
    const { unit, grants = [] } = intent;
    if (unit !== undefined) return this.#judgeUnit(intent, unit);
    const keys = grants.map(grantKey);
    if (!keys.every((key) => this.#freeGrants.has(key))) return { refused: 'grant-spent' };
    const { holder, replaces } = intent;
    if (replaces !== undefined && replaces.latest !== (this.#latest.get(holder) ?? 0)) {
      return { refused: 'overtaken' };
    }
    const conflict = this.#conflictOf(intent);
    if (conflict !== undefined) return { conflict };
    // Whatever id it gets, it is a later one.
    if (replaces !== undefined) this.#latest.set(holder, Infinity);
    for (const key of keys) this.#freeGrants.delete(key);
    this.#reserve(intent);
    return { ticket: undefined, eui64: undefined };
  }

  async save(connection: Connection): Promise<void> {
    const tickets = [...this.#tickets.values()].filter(({ changed }) => changed);
    if (tickets.length === 0) return;
    const orders = [...new Set(tickets.map(({ order }) => order))];
    await connection.run(
      updateCounts,
      tickets.map(({ row }) => row),
      tickets.map(({ taken }) => taken),
      orders.map(({ row }) => row),
      orders.map(({ eui64Taken }) => eui64Taken),
    );
  }

  #judgeUnit(intent: Intent, unit: UnitIntent): Verdict {
    const ticket = this.#tickets.get(toHex(unit.ticketId));
    if (ticket === undefined) return { refused: 'ticket-closed' };
    if (ticket.taken >= ticket.count) return { refused: 'quota-exhausted' };
    const { order } = ticket;
    const { eui64First, eui64Taken, quantity } = order;
    const eui64 = eui64Taken < quantity ? eui64Plus(eui64First, eui64Taken) : undefined;
    if (eui64 === undefined) return { refused: 'no-eui64-left' };
    const conflict = this.#conflictOf(intent);
    if (conflict !== undefined) return { conflict };
    ticket.taken += 1;
    ticket.changed = true;
    order.eui64Taken += 1;
    this.#reserve(intent);
    return { ticket: ticket.row, eui64 };
  }

  #conflictOf(intent: Intent): IntentConflict | undefined {
    for (const [conflict, name] of uniqueNames(intent)) if (this.#taken.has(name)) return conflict;
    const { unit } = intent;
    const sameKeyTwice =
      unit?.agreeKey !== undefined &&
      toHex(unit.agreeKey.keyIdentifier) === toHex(intent.keyIdentifier);
    return sameKeyTwice ? 'key' : undefined;
  }

  #reserve(intent: Intent): void {
    for (const [, name] of uniqueNames(intent)) this.#taken.add(name);
  }

  #addTicket(row: Row): void {
    const id = integer(row, 'order_id');
    const order = this.#orders.get(id) ?? {
      row: id,
      eui64First: blob(row, 'eui64_first'),
      quantity: integer(row, 'quantity'),
      eui64Taken: integer(row, 'eui64_taken'),
    };
    this.#orders.set(id, order);
    this.#tickets.set(toHex(blob(row, 'ticket_id')), {
      row: integer(row, 'id'),
      count: integer(row, 'count'),
      taken: integer(row, 'taken'),
      order,
      changed: false,
    });
  }

  async #readLatest(connection: Connection, intents: readonly Intent[]): Promise<void> {
    const holders = intents.flatMap(({ holder, replaces }) =>
      replaces === undefined ? [] : [holder],
    );
    if (holders.length === 0) return;
    for (const row of await connection.all(selectLatest, holders)) {
      this.#latest.set(text(row, 'holder'), integer(row, 'latest'));
    }
  }

  async #readGrants(connection: Connection, intents: readonly Intent[]): Promise<void> {
    for (const kind of ['secret', 'approval'] as const) {
      const ids = intents.flatMap((intent) => grantsOf(intent, kind));
      if (ids.length === 0) continue;
      for (const row of await connection.all(selectFreeGrants[kind], ids)) {
        this.#freeGrants.add(grantKey({ kind, id: integer(row, 'id') }));
      }
    }
  }
}

interface Ticket {
  readonly row: number;
  readonly count: number;
  readonly order: Order;
  taken: number;
  changed: boolean;
}

interface Order {
  readonly row: number;
  readonly eui64First: Uint8Array;
  readonly quantity: number;
  eui64Taken: number;
}

/** Keys that live in slots of the unit's element, whatever the slot. */
export function keysOf({ unit, keyIdentifier }: Intent): readonly Uint8Array[] {
  if (unit === undefined) return [];
  return unit.agreeKey === undefined
    ? [keyIdentifier]
    : [keyIdentifier, unit.agreeKey.keyIdentifier];
}

/** What has to be unique, each under a name of its own kind, as `selectTaken` writes it. */
function* uniqueNames(intent: Intent): Generator<readonly [IntentConflict, string]> {
  const { unit, serialNumber, holder } = intent;
  yield ['serial', `serial ${toHex(serialNumber)}`];
  if (unit === undefined) return;
  yield ['uid', `uid ${toHex(unit.uid)} ${unit.family}`];
  yield ['device-id', `device ${holder}`];
  for (const key of keysOf(intent)) yield ['key', `key ${toHex(key)}`];
}

/** Numbers of the grants of one kind. */
export function grantsOf({ grants = [] }: Intent, kind: GrantReference['kind']): readonly number[] {
  return grants.flatMap((grant) => (grant.kind === kind ? [grant.id] : []));
}

function grantKey({ kind, id }: GrantReference): string {
  return `${kind} ${id}`;
}

const selectTickets = `
  SELECT tickets.id, ticket_id, count, taken, orders.id AS order_id, eui64_first, eui64_taken,
         orders.quantity
  FROM tickets JOIN batches ON batches.id = batch_id JOIN orders ON orders.id = order_id
  WHERE ticket_id = ANY ($1::bytea[]) AND tickets.closed_ms IS NULL AND batches.closed_ms IS NULL
    AND orders.ended_ms IS NULL`;

const selectTaken = `
  SELECT 'serial ' || encode(serial, 'hex') AS taken FROM issuances WHERE serial = ANY ($1::bytea[])
  UNION ALL
  SELECT 'uid ' || encode(uid, 'hex') || ' ' || family FROM units
  JOIN unnest($2::bytea[], $3::text[]) AS wanted (uid, family) USING (uid, family)
  UNION ALL
  SELECT 'device ' || device_id FROM units WHERE device_id = ANY ($4::text[])
  UNION ALL
  SELECT 'key ' || encode(key_id, 'hex') FROM unit_keys WHERE key_id = ANY ($5::bytea[])`;

const selectLatest = `
  SELECT holder, max(id) AS latest FROM issuances WHERE holder = ANY ($1::text[]) GROUP BY holder`;

const selectFreeGrants = {
  secret: `SELECT id FROM enrolment_secrets
    WHERE id = ANY ($1::bigint[]) AND issuance IS NULL AND voided_ms IS NULL`,
  approval: `SELECT id FROM enrolment_approvals
    WHERE id = ANY ($1::bigint[]) AND issuance IS NULL AND decision = 'approved'`,
} as const;

const updateCounts = `
  WITH counted AS (
    UPDATE tickets SET taken = new.taken
    FROM unnest($1::bigint[], $2::bigint[]) AS new (id, taken) WHERE tickets.id = new.id
  )
  UPDATE orders SET eui64_taken = new.taken
  FROM unnest($3::bigint[], $4::bigint[]) AS new (id, taken) WHERE orders.id = new.id`;
