/** The authority as its operator sees it: orders, tickets, stations, closing. A process of its own. */
import type { TicketCounts } from '../../wire/line/reporting.ts';
import type { ProofLevel } from '../../wire/line/ticket.ts';
import type { StationEnrolment } from './authority.ts';
import type { Refusal } from './faults.ts';
import type { BatchRecord, OrderRecord, TicketRecord } from './orderStore.ts';

export interface OrderRequest {
  readonly order: string;
  readonly product: string;
  readonly family: string;
  /** Dotted OID of the kind of hardware (RFC 4108 §5). */
  readonly hwType: string;
  readonly partNumber: string;
  readonly quantity: number;
  readonly leastProof: ProofLevel;
  /** Of the birth certificates; `idevid` when absent. */
  readonly profile?: string;
  /** The next free range when absent. */
  readonly eui64First?: Uint8Array;
  /** That of the installation when absent. */
  readonly serverIdentity?: Uint8Array;
  /** One batch of the order's name and quantity when absent. */
  readonly batches?: ReadonlyArray<{ readonly batch: string; readonly quantity: number }>;
}

export interface TicketRequest {
  readonly batch: string;
  readonly count: number;
  /** DER of SubjectPublicKeyInfo, P-256. */
  readonly stationKeySpki: Uint8Array;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

/** An order with everything that belongs to it. */
export interface OrderView {
  readonly order: OrderRecord;
  readonly batches: readonly BatchRecord[];
  readonly tickets: ReadonlyArray<TicketView>;
}

/** A ticket without its secrets. */
export type TicketView = Omit<TicketRecord, 'agreeKey'>;

export interface ClosedBatch {
  readonly batch: string;
  readonly counts: TicketCounts;
  /** Ordered and never made. */
  readonly void: number;
  /** File names in the authority's folder of documents. */
  readonly manifest: string;
  readonly yieldReport: string;
}

/** More quota, of one batch of the order. */
export interface OrderRaise {
  readonly order: string;
  readonly batch: string;
  readonly by: number;
}

export interface AuthorityStatus {
  readonly organization: string;
  readonly issued: number;
  readonly revoked: number;
  /** What was finished at the last start, and what waits for a person. */
  readonly recovered: number;
  readonly withheld: number;
  readonly auditSize: number;
  /** Hexadecimal. */
  readonly auditRoot: string;
}

/**
 * Every call rejects with an `EnvironmentError`, retryable, when the authority cannot be reached. `approval`
 * is the SHA-256 of an approved request, where two persons are needed.
 */
export interface OperatorAuthority {
  status(): Promise<AuthorityStatus>;
  createOrder(request: OrderRequest, approval?: Uint8Array): Promise<OrderRecord | Refusal<string>>;
  /** The order as it is then. */
  raiseOrder(raise: OrderRaise, approval?: Uint8Array): Promise<OrderRecord | Refusal<string>>;
  /** A page, newest first; those older than the order `before`. */
  orders(limit: number, before?: string): Promise<readonly OrderRecord[]>;
  order(order: string): Promise<OrderView | undefined>;
  issueTicket(request: TicketRequest, approval?: Uint8Array): Promise<TicketView | Refusal<string>>;
  closeBatch(batch: string, approval?: Uint8Array): Promise<ClosedBatch | Refusal<string>>;
  enrolStation(
    name: string,
    request: Uint8Array,
    approval?: Uint8Array,
  ): Promise<StationEnrolment | Refusal<string>>;
}
