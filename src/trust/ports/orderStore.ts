/**
 * Orders, batches, tickets and units of the authority, as a store. The units themselves come into being
 * in T1 (`issuanceStore.ts`); here is what allows them and what became of them.
 */
import type { TicketCounts } from '../../wire/line/reporting.ts';
import type { ProofLevel } from '../../wire/line/ticket.ts';
import type { Spending, SpendingFault } from './approvalStore.ts';
import type { Revocation } from './issuanceStore.ts';
import type { OrderRaise } from './operatorAuthority.ts';

export interface OrderRecord {
  readonly order: string;
  readonly product: string;
  /** Element family. */
  readonly family: string;
  /** Certificate profile of the birth certificates. */
  readonly profile: string;
  /** Dotted OID of the kind of hardware (RFC 4108 §5). */
  readonly hwType: string;
  /** What the manifest calls the part. */
  readonly partNumber: string;
  readonly quantity: number;
  readonly leastProof: ProofLevel;
  /** First of `quantity` consecutive addresses, 8 bytes. */
  readonly eui64First: Uint8Array;
  /** What elements store as `server-identity`; empty for none. */
  readonly serverIdentity: Uint8Array;
  readonly createdMs: number;
}

export interface BatchRecord {
  readonly batch: string;
  readonly order: string;
  readonly quantity: number;
  /** `undefined` while it is open. */
  readonly closedMs: number | undefined;
}

export interface TicketRecord {
  /** 16 bytes. */
  readonly ticketId: Uint8Array;
  readonly order: string;
  readonly batch: string;
  /** DER of SubjectPublicKeyInfo. */
  readonly stationKeySpki: Uint8Array;
  readonly count: number;
  /** Identities made; never above `count`. */
  readonly taken: number;
  readonly leastProof: ProofLevel;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** The ticket as it was signed. */
  readonly signed: Uint8Array;
  /** Made at the first opening: private half sealed, public half a point of 65 bytes. */
  readonly agreeKey: TicketAgreeKey | undefined;
  readonly closedMs: number | undefined;
}

export interface TicketAgreeKey {
  readonly sealedPrivateKey: Uint8Array;
  readonly publicKey: Uint8Array;
}

/** `endorsed`: T1 happened. The others are what the station reported last. */
export type UnitState = 'endorsed' | 'verified' | 'locked' | 'returned' | 'scrapped';

/** The order is the encoding: append only. */
export const unitStates: readonly UnitState[] = [
  'endorsed',
  'verified',
  'locked',
  'returned',
  'scrapped',
];

export interface UnitRecord {
  readonly ticketId: Uint8Array;
  readonly uid: Uint8Array;
  readonly keyIdentifier: Uint8Array;
  readonly agreeKey: Uint8Array | undefined;
  readonly deviceId: string;
  readonly eui64: Uint8Array;
  readonly model: string;
  readonly firmware: string;
  readonly proofLevel: ProofLevel;
  readonly state: UnitState;
  /** Why it was scrapped or returned. */
  readonly reason: string;
  readonly endorsedMs: number;
  readonly serialNumber: Uint8Array;
  readonly tbs: Uint8Array;
  /** `undefined` between T1 and T2. */
  readonly signature: Uint8Array | undefined;
}

export interface UnitChange {
  readonly uid: Uint8Array;
  /** States from which the change is allowed; a unit that is in `to` already stays as it is. */
  readonly from: readonly UnitState[];
  readonly to: UnitState;
  readonly reason: string;
  readonly atMs: number;
  /** Done with the change, or not at all. */
  readonly revocation: Revocation | undefined;
}

export type UnitChangeOutcome = 'done' | 'unknown-unit' | 'wrong-state';

export type OrderOutcome =
  | 'created'
  | 'order-exists'
  | 'batch-exists'
  | 'eui64-overlap'
  | SpendingFault;

export type RaiseOutcome =
  | 'raised'
  /** Of that order. */
  | 'unknown-batch'
  | 'batch-closed'
  | 'eui64-overlap'
  | SpendingFault;

export type TicketOutcome =
  | 'created'
  | 'unknown-batch'
  | 'batch-closed'
  | 'batch-exhausted'
  | SpendingFault;

export interface TicketClosing {
  readonly ticketId: Uint8Array;
  /** As the station counted. */
  readonly counts: TicketCounts;
  readonly atMs: number;
  readonly entry: Uint8Array;
}

export interface BatchClosing {
  readonly batch: string;
  readonly atMs: number;
  readonly entry: Uint8Array;
}

export interface OrderStore {
  createOrder(
    order: OrderRecord,
    batches: readonly BatchRecord[],
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<OrderOutcome>;
  /** Order, batch and range of addresses grow together. */
  raiseOrder(raise: OrderRaise, entry: Uint8Array, spending?: Spending): Promise<RaiseOutcome>;
  order(order: string): Promise<OrderRecord | undefined>;
  /** Newest first; those older than the order `before`, none when there is no such order. */
  orders(limit: number, before?: string): Promise<readonly OrderRecord[]>;
  batches(order: string): Promise<readonly BatchRecord[]>;
  batch(batch: string): Promise<BatchRecord | undefined>;
  /** First address behind every range that was given out; `undefined` before the first order. */
  eui64After(): Promise<Uint8Array | undefined>;

  /** Open tickets count in full, closed ones with what they took: together at most the batch. */
  createTicket(
    ticket: TicketRecord,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<TicketOutcome>;
  ticket(ticketId: Uint8Array): Promise<TicketRecord | undefined>;
  tickets(order: string): Promise<readonly TicketRecord[]>;
  /** Keeps the first key it is given. Returns the ticket as it is then. */
  openTicket(ticketId: Uint8Array, agreeKey: TicketAgreeKey): Promise<TicketRecord | undefined>;

  /** Those that are known, in no order. */
  units(family: string, uids: readonly Uint8Array[]): Promise<readonly UnitRecord[]>;
  unitByDevice(deviceId: string): Promise<UnitRecord | undefined>;
  changeUnits(
    ticketId: Uint8Array,
    changes: readonly UnitChange[],
  ): Promise<readonly UnitChangeOutcome[]>;
  countTicket(ticketId: Uint8Array): Promise<TicketCounts>;
  /** Closes when the counts agree; returns the store's own counts either way. Closing twice is once. */
  closeTicket(closing: TicketClosing): Promise<{
    readonly closed: boolean;
    readonly counts: TicketCounts;
  }>;

  /** Units of a batch in that state, in the order of their making, behind the page that ended at `after`. */
  unitsOfBatch(
    batch: string,
    page: { readonly state: UnitState; readonly after: number; readonly limit: number },
  ): Promise<{ readonly units: readonly UnitRecord[]; readonly next: number | undefined }>;
  countBatch(batch: string): Promise<TicketCounts & { readonly openTickets: number }>;
  closeBatch(
    closing: BatchClosing,
    spending?: Spending,
  ): Promise<'closed' | 'unknown-batch' | SpendingFault>;
  /** Closed batches in the order of their closing, behind the given one. */
  closedBatches(
    afterSequence: number,
    limit: number,
  ): Promise<ReadonlyArray<{ readonly sequence: number; readonly batch: string }>>;

  /** Small values that belong to the installation, such as the server identity. */
  setting(name: string): Promise<Uint8Array | undefined>;
  /** With a leaf of the audit log, in one transaction, where there is one. */
  saveSetting(name: string, value: Uint8Array, entry?: Uint8Array): Promise<void>;
}
