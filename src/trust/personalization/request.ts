/**
 * Who asks: a request of the line is believed when the order key signed its ticket, the station's key in
 * that ticket signed the request, and the ticket is one of ours. The relay that brought it counts for
 * nothing.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto, EphemeralKey, PublicKey } from '../../wire/crypto/crypto.ts';
import { isSignedBy, parseSigned } from '../../wire/line/signed.ts';
import { readTicket, type Ticket } from '../../wire/line/ticket.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import { InvariantError, isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import type { SealingKey } from '../ports/keys.ts';
import type { OrderRecord, OrderStore, TicketRecord } from '../ports/orderStore.ts';

export type RequestRefusal = Refusal<
  | 'malformed'
  | 'forged-ticket'
  | 'forged-request'
  | 'unknown-ticket'
  | 'ticket-closed'
  | 'ticket-not-begun'
  | 'ticket-expired'
  | 'ticket-not-opened'
>;

export interface AuthenticatorOptions {
  readonly crypto: Crypto;
  readonly store: OrderStore;
  readonly orderKey: PublicKey;
  readonly sealingKey: SealingKey;
}

/** A request whose station and ticket are proven. Made by `Authenticator` alone. */
export interface StationRequest<Content> {
  readonly content: Content;
  readonly ticket: TicketRecord;
  readonly order: OrderRecord;
}

/** What does not change as long as a ticket lives. */
interface KnownTicket {
  readonly signed: Uint8Array;
  readonly ticket: Ticket;
  readonly stationKey: PublicKey;
  readonly order: OrderRecord;
}

/** Tickets whose keys are kept imported; a factory has a few stations. */
const maximumKnown = 256;

export class Authenticator {
  readonly #options: AuthenticatorOptions;
  /** By the bytes of the signed ticket: a known one was verified before. */
  readonly #known = new Map<string, KnownTicket>();
  readonly #agreeKeys = new Map<string, EphemeralKey>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** `read` is the reader of that kind of request; its ticket is checked, and then its signature. */
  async authenticate<Content extends { readonly ticket: Uint8Array }>(
    message: Uint8Array,
    read: (payload: Uint8Array) => Content,
  ): Promise<StationRequest<Content> | RequestRefusal> {
    const parsed = parsedRequest(message, read);
    if (isRefusal(parsed)) return parsed;
    const known = await this.#ticket(parsed.content.ticket);
    if (isRefusal(known)) return known;
    if (!isSignedBy(this.#options.crypto, known.stationKey, parsed.signed)) {
      return refuse('forged-request', 'The request is not signed by the station of its ticket.');
    }
    const ticket = await this.#options.store.ticket(known.ticket.ticketId);
    if (ticket === undefined) throw new InvariantError('a ticket is gone from the store');
    return { content: parsed.content, ticket, order: known.order };
  }

  /** The private half of the key for agree proofs, `undefined` before the ticket was opened. */
  agreeKey({ ticketId, agreeKey }: TicketRecord): EphemeralKey | undefined {
    if (agreeKey === undefined) return undefined;
    const id = ticketId.join();
    const kept = this.#agreeKeys.get(id);
    if (kept !== undefined) return kept;
    const { crypto, sealingKey } = this.#options;
    const scalar = sealingKey.open(agreeKey.sealedPrivateKey, agreeKeyContext(ticketId));
    const key = scalar === undefined ? undefined : crypto.importEphemeral('P-256', scalar);
    if (key === undefined) throw new InvariantError('the sealed key of a ticket does not open');
    keep(this.#agreeKeys, id, key);
    return key;
  }

  async #ticket(signed: Uint8Array): Promise<KnownTicket | RequestRefusal> {
    const id = signed.join();
    const kept = this.#known.get(id);
    if (kept !== undefined) return kept;
    const ticket = this.#verified(signed);
    if (isRefusal(ticket)) return ticket;
    const { crypto, store } = this.#options;
    const record = await store.ticket(ticket.ticketId);
    // The order key may have signed tickets that a restored store does not know.
    if (record === undefined || !equal(record.signed, signed)) {
      return refuse('unknown-ticket', 'This authority did not issue the ticket.');
    }
    const order = await store.order(record.order);
    const stationKey = crypto.importPublicKey('P-256', p256Point(record.stationKeySpki));
    if (order === undefined || stationKey === undefined) {
      throw new InvariantError('a ticket without order or station');
    }
    const known = { signed, ticket, stationKey, order };
    keep(this.#known, id, known);
    return known;
  }

  #verified(signed: Uint8Array): Ticket | RequestRefusal {
    const { crypto, orderKey } = this.#options;
    try {
      const message = parseSigned(signed);
      if (isSignedBy(crypto, orderKey, message)) return readTicket(message.payload);
      return refuse('forged-ticket', 'The ticket is not signed by this authority’s order key.');
    } catch (error) {
      return malformed(error);
    }
  }
}

/** Sealed keys of tickets are bound to their ticket. */
export function agreeKeyContext(ticketId: Uint8Array): string {
  return `ticket ${ticketId.join()} agree key`;
}

/** Whether units may be endorsed now. */
export function refusedByTicket(ticket: TicketRecord, nowMs: number): RequestRefusal | undefined {
  if (ticket.closedMs !== undefined) return refuse('ticket-closed', 'The ticket is closed.');
  if (nowMs < ticket.notBeforeMs) {
    return refuse('ticket-not-begun', 'The period of the ticket has not begun.');
  }
  if (nowMs > ticket.notAfterMs)
    return refuse('ticket-expired', 'The period of the ticket is over.');
  return undefined;
}

interface ParsedRequest<Content> {
  readonly signed: ReturnType<typeof parseSigned>;
  readonly content: Content;
}

function parsedRequest<Content>(
  message: Uint8Array,
  read: (payload: Uint8Array) => Content,
): ParsedRequest<Content> | RequestRefusal {
  try {
    const signed = parseSigned(message);
    return { signed, content: read(signed.payload) };
  } catch (error) {
    return malformed(error);
  }
}

function malformed(error: unknown): RequestRefusal {
  if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
  return refuse('malformed', error.message);
}

function keep<Value>(map: Map<string, Value>, id: string, value: Value): void {
  const [oldest] = map.keys();
  if (map.size >= maximumKnown && oldest !== undefined) map.delete(oldest);
  map.set(id, value);
}
