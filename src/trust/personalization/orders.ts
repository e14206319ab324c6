/** Orders, batches and tickets: who may have how many identities made, where, and until when. */
import { equal } from '../../wire/bytes/bytes.ts';
import { eui64Plus } from '../../wire/bytes/eui64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import { isName, lineLimits } from '../../wire/line/fields.ts';
import { prepareSigned } from '../../wire/line/signed.ts';
import { encodeTicket, maximumTicketCount, proofLevels } from '../../wire/line/ticket.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import type { Approved } from '../approvals/permissions.ts';
import { isSpendingFault, refuseApproval } from '../approvals/refusals.ts';
import { encodeAuditEntry } from '../audit/entry.ts';
import type { SpendingFault } from '../ports/approvalStore.ts';
import type { Birth } from '../issuance/issuer.ts';
import type { Clock } from '../ports/clock.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { Signer } from '../ports/keys.ts';
import type { OrderRaise, OrderRequest, TicketRequest } from '../ports/operatorAuthority.ts';
import type { BatchRecord, OrderRecord, OrderStore, TicketRecord } from '../ports/orderStore.ts';
import type { TicketLedger } from '../ports/ticketLedger.ts';

export interface OrdersOptions {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly store: OrderStore;
  readonly orderKey: Signer;
  /** Whether an authority here certifies such births. */
  readonly bears: (birth: Birth) => boolean;
  /** Where the first range of EUI-64s begins when an order names none. */
  readonly eui64Base: Uint8Array;
  /** Hears of every order and ticket before it is made. */
  readonly ledger?: TicketLedger | undefined;
}

export type OrderRefusal = Refusal<
  | 'invalid'
  | 'order-exists'
  | 'batch-exists'
  | 'eui64-overlap'
  | 'no-server-identity'
  | 'no-authority'
  | SpendingFault
>;

export type RaiseRefusal = Refusal<
  'invalid' | 'unknown-order' | 'unknown-batch' | 'batch-closed' | 'eui64-overlap' | SpendingFault
>;

export type TicketRefusal = Refusal<
  'invalid' | 'unknown-batch' | 'batch-closed' | 'batch-exhausted' | SpendingFault
>;

/** Setting of the store under which the installation's server identity is kept. */
export const serverIdentitySetting = 'server-identity';

/** As the audit log calls it, with the SHA-256 of the identity. */
export const serverIdentityAct = 'server-identity';
/** More quota: of which order, and of which batch how much. */
export const raisedAct = 'order-raised';

export class Orders {
  readonly #options: OrdersOptions;

  constructor(options: OrdersOptions) {
    this.#options = options;
  }

  /** What orders get that name none; with a leaf of the log when it is another one than before. */
  async saveServerIdentity(identity: Uint8Array): Promise<void> {
    const { crypto, clock, store } = this.#options;
    const known = await store.setting(serverIdentitySetting);
    if (known !== undefined && equal(known, identity)) return;
    const subject = toHex(crypto.hash('SHA-256', identity));
    const said = { act: serverIdentityAct, subject, detail: '', atMs: clock.nowMs() };
    const entry = encodeAuditEntry({ kind: 'decision', ...said });
    await store.saveSetting(serverIdentitySetting, identity, entry);
  }

  async create(approved: Approved<'order.create'>): Promise<OrderRecord | OrderRefusal> {
    const { crypto, clock, store, bears } = this.#options;
    const { request, spending } = approved;
    const fault = faultOfOrder(request);
    if (fault !== undefined) return refuse('invalid', fault);
    const { batches = [{ batch: request.order, quantity: request.quantity }] } = request;
    const { product, profile = usualBirth } = request;
    if (!batches.every(({ batch }) => bears({ profile, product, batch }))) {
      return refuse('no-authority', `No authority here certifies births of profile ${profile}.`);
    }
    const serverIdentity = request.serverIdentity ?? (await store.setting(serverIdentitySetting));
    if (serverIdentity === undefined) {
      return refuse(
        'no-server-identity',
        'No server identity is known: start the provisioner once, or give one with the order.',
      );
    }
    const eui64First = request.eui64First ?? (await store.eui64After()) ?? this.#options.eui64Base;
    if (eui64Plus(eui64First, request.quantity - 1) === undefined) {
      return refuse('invalid', 'The range of EUI-64s leaves the address space.');
    }
    const record: OrderRecord = {
      order: request.order,
      product,
      family: request.family,
      profile,
      hwType: request.hwType,
      // A manifest names a part: the product, where the maker has no number for it.
      partNumber: request.partNumber === '' ? request.product : request.partNumber,
      quantity: request.quantity,
      leastProof: request.leastProof,
      eui64First,
      serverIdentity,
      createdMs: clock.nowMs(),
    };
    const entry = encodeAuditEntry({
      kind: 'ordered',
      atMs: record.createdMs,
      order: record.order,
      recordSha256: crypto.hash('SHA-256', encodeOrder(record, batches)),
    });
    const rows = batchRecords(record.order, batches);
    await this.#options.ledger?.note({ kind: 'order', order: record, batches });
    const outcome = await store.createOrder(record, rows, entry, spending);
    if (outcome === 'created') return record;
    return isSpendingFault(outcome)
      ? refuseApproval(outcome)
      : refuse(outcome, orderReasons[outcome]);
  }

  /** More of the same order, behind the addresses that it has. Tickets stay what they are. */
  async raise(approved: Approved<'order.raise'>): Promise<OrderRecord | RaiseRefusal> {
    const { clock, store } = this.#options;
    const { request, spending } = approved;
    const { order: name, batch, by } = request;
    const order = await store.order(name);
    if (order === undefined) return refuse('unknown-order', 'No order of this name.');
    const raised = { ...order, quantity: order.quantity + by };
    if (!isCount(by) || !isCount(raised.quantity)) {
      return refuse('invalid', `The quantity is not 1 to ${maximumOrder}.`);
    }
    if (eui64Plus(order.eui64First, raised.quantity - 1) === undefined) {
      return refuse('invalid', 'The range of EUI-64s leaves the address space.');
    }
    const batches = (await store.batches(name)).map((one) =>
      one.batch === batch ? { ...one, quantity: one.quantity + by } : one,
    );
    const detail = raisedDetail(request);
    const said = { act: raisedAct, subject: name, detail, atMs: clock.nowMs() };
    const entry = encodeAuditEntry({ kind: 'decision', ...said });
    await this.#options.ledger?.note({ kind: 'order', order: raised, batches });
    const outcome = await store.raiseOrder(request, entry, spending);
    if (outcome === 'raised') return raised;
    return isSpendingFault(outcome)
      ? refuseApproval(outcome)
      : refuse(outcome, raiseReasons[outcome]);
  }

  /** The ticket as its station needs it is `signed`. */
  async issueTicket(approved: Approved<'ticket.issue'>): Promise<TicketRecord | TicketRefusal> {
    const { crypto, clock, store } = this.#options;
    const { request, spending } = approved;
    const fault = faultOfTicket(request);
    if (fault !== undefined) return refuse('invalid', fault);
    const batch = await store.batch(request.batch);
    const order = batch && (await store.order(batch.order));
    if (batch === undefined || order === undefined) {
      return refuse('unknown-batch', ticketReasons['unknown-batch']);
    }
    const record = await this.#sign(request, batch, order);
    const entry = encodeAuditEntry({
      kind: 'ticket-issued',
      atMs: clock.nowMs(),
      ticketId: record.ticketId,
      ticketSha256: crypto.hash('SHA-256', record.signed),
    });
    const { ticketId, batch: name, count, notAfterMs } = record;
    await this.#options.ledger?.note({ kind: 'ticket', ticketId, batch: name, count, notAfterMs });
    const outcome = await store.createTicket(record, entry, spending);
    if (outcome === 'created') return record;
    return isSpendingFault(outcome)
      ? refuseApproval(outcome)
      : refuse(outcome, ticketReasons[outcome]);
  }

  async #sign(
    request: TicketRequest,
    { batch }: BatchRecord,
    order: OrderRecord,
  ): Promise<TicketRecord> {
    const { crypto, orderKey } = this.#options;
    const ticketId = crypto.random(16);
    const { count, stationKeySpki, notBeforeMs, notAfterMs } = request;
    const { product, profile, family, leastProof } = order;
    const unsigned = prepareSigned(
      encodeTicket({
        ticketId,
        order: order.order,
        batch,
        product,
        profile,
        family,
        leastProof,
        stationKeySpki,
        count,
        notBeforeS: Math.floor(notBeforeMs / 1000),
        notAfterS: Math.floor(notAfterMs / 1000),
      }),
    );
    const signature = await orderKey.sign(unsigned.toBeSigned);
    return {
      ticketId,
      order: order.order,
      batch,
      stationKeySpki,
      count,
      taken: 0,
      leastProof,
      notBeforeMs,
      notAfterMs,
      signed: unsigned.finish(fixedSignature(signature, 32)),
      agreeKey: undefined,
      closedMs: undefined,
    };
  }
}

/** What elements are born with unless their order says otherwise. */
export const usualBirth = 'idevid';

/** Largest order; more is several orders. */
export const maximumOrder: number = maximumTicketCount;

const maximumBatches = 1_000;

function faultOfOrder(request: OrderRequest): string | undefined {
  for (const name of ['order', 'product', 'family'] as const) {
    if (!isName(request[name])) return nameRule(name);
  }
  const { quantity, hwType, partNumber, batches, eui64First, serverIdentity } = request;
  if (!isCount(quantity)) return `The quantity is not 1 to ${maximumOrder}.`;
  if (!/^[012](?:\.(?:0|[1-9]\d{0,9})){2,19}$/.test(hwType)) return 'hwType is no dotted OID.';
  if (!/^[\x20-\x7e]{0,64}$/.test(partNumber)) return 'The part number has printable characters.';
  if (eui64First !== undefined && eui64First.length !== 8) return 'An EUI-64 has 8 bytes.';
  if ((serverIdentity?.length ?? 0) > lineLimits.serverIdentity) {
    return `The server identity has more than ${lineLimits.serverIdentity} bytes.`;
  }
  return batches === undefined ? undefined : faultOfBatches(batches, quantity);
}

function faultOfBatches(
  batches: NonNullable<OrderRequest['batches']>,
  quantity: number,
): string | undefined {
  if (batches.length === 0 || batches.length > maximumBatches) {
    return `An order has 1 to ${maximumBatches} batches.`;
  }
  if (batches.some(({ batch }) => !isName(batch))) return nameRule('batch');
  if (new Set(batches.map(({ batch }) => batch)).size !== batches.length) {
    return 'Two batches have one name.';
  }
  if (!batches.every((batch) => isCount(batch.quantity))) return 'A batch has a quantity.';
  const sum = batches.reduce((total, batch) => total + batch.quantity, 0);
  return sum === quantity ? undefined : `The batches make ${sum}, the order ${quantity}.`;
}

function faultOfTicket(request: TicketRequest): string | undefined {
  const { count, notBeforeMs, notAfterMs, stationKeySpki } = request;
  if (!isCount(count)) return `The count is not 1 to ${maximumTicketCount}.`;
  if (!Number.isSafeInteger(notBeforeMs) || !(notBeforeMs < notAfterMs)) {
    return 'The period ends before it begins.';
  }
  if (notAfterMs - notBeforeMs > maximumPeriodMs) return 'The period is longer than a year.';
  try {
    p256Point(stationKeySpki);
    return undefined;
  } catch {
    return 'The station key is no P-256 key.';
  }
}

const maximumPeriodMs = 366 * 86_400_000;

function isCount(count: number): boolean {
  return Number.isInteger(count) && count > 0 && count <= maximumOrder;
}

function nameRule(what: string): string {
  return `${what} is not 1 to ${lineLimits.nameCharacters} letters, digits, dots, dashes or underscores.`;
}

function batchRecords(
  order: string,
  batches: NonNullable<OrderRequest['batches']>,
): readonly BatchRecord[] {
  return batches.map(({ batch, quantity }) => ({ batch, order, quantity, closedMs: undefined }));
}

export function raisedDetail({ batch, by }: Pick<OrderRaise, 'batch' | 'by'>): string {
  return `${batch} by ${by}`;
}

/** What the audit log commits to. */
export function encodeOrder(
  record: OrderRecord,
  batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>,
): Uint8Array {
  return cbor.array(
    cbor.text(record.order),
    cbor.text(record.product),
    cbor.text(record.family),
    cbor.text(record.profile),
    cbor.text(record.hwType),
    cbor.text(record.partNumber),
    cbor.integer(record.quantity),
    cbor.integer(proofLevels.indexOf(record.leastProof)),
    cbor.bytes(record.eui64First),
    cbor.bytes(record.serverIdentity),
    cbor.integer(record.createdMs),
    cbor.array(
      ...batches.map(({ batch, quantity }) => cbor.array(cbor.text(batch), cbor.integer(quantity))),
    ),
  );
}

const orderReasons = {
  'order-exists': 'An order of this name exists.',
  'batch-exists': 'A batch of this name exists, in this order or another.',
  'eui64-overlap': 'The range of EUI-64s overlaps that of another order.',
} as const;

const raiseReasons = {
  'unknown-batch': 'The order has no batch of this name.',
  'batch-closed': 'The batch is closed.',
  'eui64-overlap': 'The addresses behind its own are those of another order: place an order more.',
} as const;

const ticketReasons = {
  'unknown-batch': 'No batch of this name.',
  'batch-closed': 'The batch is closed.',
  'batch-exhausted': 'Its tickets already promise the whole batch.',
} as const;
