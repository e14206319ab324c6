/**
 * Quotas while T1 runs: tickets and orders are read once, counted in memory and written back once, all
 * inside the one transaction that also inserts what was counted.
 */
import { eui64Plus } from '../../../wire/bytes/eui64.ts';
import type { Connection } from './database.ts';
import { blob, integer, type Row } from './rows.ts';

export type Offer =
  | { readonly ticket: number; readonly eui64: Uint8Array }
  | { readonly refused: 'ticket-closed' | 'quota-exhausted' | 'no-eui64-left' };

export class Quotas {
  readonly #connection: Connection;
  /** By ticket id; `undefined` for one that is closed or not known. */
  readonly #tickets = new Map<string, Ticket | undefined>();
  #latest: { readonly ticketId: Uint8Array; readonly ticket: Ticket | undefined } | undefined;
  /** Tickets of one order hand out addresses of one range. */
  readonly #orders = new Map<number, Order>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** What the next unit of the ticket would get. */
  next(ticketId: Uint8Array): Offer {
    const ticket = this.#ticket(ticketId);
    if (ticket === undefined) return { refused: 'ticket-closed' };
    if (ticket.taken >= ticket.count) return { refused: 'quota-exhausted' };
    const { eui64First, eui64Taken, quantity } = ticket.order;
    const eui64 = eui64Taken < quantity ? eui64Plus(eui64First, eui64Taken) : undefined;
    return eui64 === undefined ? { refused: 'no-eui64-left' } : { ticket: ticket.row, eui64 };
  }

  /** Counts what `next` offered. */
  take(ticketId: Uint8Array): void {
    const ticket = this.#ticket(ticketId);
    if (ticket === undefined) return;
    ticket.taken += 1;
    ticket.order.eui64Taken += 1;
  }

  save(): void {
    const saveTicket = this.#connection.prepare('UPDATE tickets SET taken = ? WHERE id = ?');
    for (const ticket of this.#tickets.values()) {
      if (ticket !== undefined) saveTicket.run(ticket.taken, ticket.row);
    }
    const saveOrder = this.#connection.prepare('UPDATE orders SET eui64_taken = ? WHERE id = ?');
    for (const order of this.#orders.values()) saveOrder.run(order.eui64Taken, order.row);
  }

  /** Units of one request hold the same array: the one of before is looked at first. */
  #ticket(ticketId: Uint8Array): Ticket | undefined {
    if (this.#latest?.ticketId !== ticketId) {
      this.#latest = { ticketId, ticket: this.#find(ticketId) };
    }
    return this.#latest.ticket;
  }

  #find(ticketId: Uint8Array): Ticket | undefined {
    const key = ticketId.join();
    if (this.#tickets.has(key)) return this.#tickets.get(key);
    const row = this.#connection.prepare(selectTicket).get(ticketId);
    const ticket =
      row === undefined
        ? undefined
        : {
            row: integer(row, 'id'),
            count: integer(row, 'count'),
            taken: integer(row, 'taken'),
            order: this.#order(row),
          };
    this.#tickets.set(key, ticket);
    return ticket;
  }

  #order(row: Row): Order {
    const id = integer(row, 'order_id');
    const known = this.#orders.get(id);
    if (known !== undefined) return known;
    const order = {
      row: id,
      eui64First: blob(row, 'eui64_first'),
      quantity: integer(row, 'quantity'),
      eui64Taken: integer(row, 'eui64_taken'),
    };
    this.#orders.set(id, order);
    return order;
  }
}

interface Ticket {
  readonly row: number;
  readonly count: number;
  readonly order: Order;
  taken: number;
}

interface Order {
  readonly row: number;
  readonly eui64First: Uint8Array;
  readonly quantity: number;
  eui64Taken: number;
}

const selectTicket = `
  SELECT tickets.id, count, taken, orders.id AS order_id, eui64_first, eui64_taken, orders.quantity
  FROM tickets JOIN batches ON batches.id = batch_id JOIN orders ON orders.id = order_id
  WHERE ticket_id = ? AND tickets.closed_ms IS NULL AND batches.closed_ms IS NULL
    AND orders.ended_ms IS NULL`;
