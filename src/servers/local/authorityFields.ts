/** The authority's local door in JSON: what bodies mean, and how answers are written. */
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type {
  OrderRaise,
  OrderRequest,
  OrderView,
  TicketRequest,
  TicketView,
} from '../../trust/ports/operatorAuthority.ts';
import type { BatchRecord, OrderRecord } from '../../trust/ports/orderStore.ts';
import type { AuthorityNotice } from '../../trust/ports/registryStore.ts';
import { toBase64 } from '../../wire/bytes/base64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { isReason, type RevocationReason } from '../../wire/crl/reason.ts';
import { maximumTicketCount, proofLevels } from '../../wire/line/ticket.ts';
import { FieldError, Fields } from './fields.ts';

const maximumNotices = 1_000;
const maximumBatches = 1_000;
const lastMs = Number.MAX_SAFE_INTEGER;

export function readOrderRequest(body: unknown): OrderRequest {
  const fields = new Fields(body);
  return {
    order: fields.text('order', 64),
    product: fields.text('product', 64),
    family: fields.text('family', 64),
    hwType: fields.text('hwType', 128),
    partNumber: fields.optionalText('partNumber', 64) ?? '',
    quantity: fields.integer('quantity', 1, maximumTicketCount),
    leastProof: fields.oneOf('leastProof', proofLevels),
    ...(fields.has('profile') ? { profile: fields.text('profile', 40) } : {}),
    ...(fields.has('eui64First') ? { eui64First: fields.hex('eui64First') } : {}),
    ...(fields.has('serverIdentity') ? { serverIdentity: fields.base64('serverIdentity') } : {}),
    ...(fields.has('batches') ? { batches: readBatches(fields) } : {}),
  };
}

export function readOrderRaise(body: unknown): OrderRaise {
  const fields = new Fields(body);
  return {
    order: fields.text('order', 64),
    batch: fields.text('batch', 64),
    by: fields.integer('by', 1, maximumTicketCount),
  };
}

function readBatches(fields: Fields): NonNullable<OrderRequest['batches']> {
  return fields.objects('batches', maximumBatches).map((batch) => ({
    batch: batch.text('batch', 64),
    quantity: batch.integer('quantity', 1, maximumTicketCount),
  }));
}

export function readTicketRequest(body: unknown): TicketRequest {
  const fields = new Fields(body);
  return {
    batch: fields.text('batch', 64),
    count: fields.integer('count', 1, maximumTicketCount),
    stationKeySpki: fields.base64('stationKeySpki'),
    notBeforeMs: fields.integer('notBeforeMs', 0, lastMs),
    notAfterMs: fields.integer('notAfterMs', 0, lastMs),
  };
}

export function readNotices(body: unknown): readonly AuthorityNotice[] {
  return new Fields(body).objects('notices', maximumNotices).map((notice) => ({
    sequence: notice.integer('sequence', 0, lastMs),
    act: notice.oneOf('act', ['revoke-device', 'revoke-certificate']),
    subject: notice.text('subject', 64),
    holder: notice.optionalText('holder', 64),
    code: readReason(notice),
    reason: notice.text('reason'),
    atMs: notice.integer('atMs', 0, lastMs),
  }));
}

/** SHA-256 of the request that allows the act. */
export function readApproval(fields: Fields, member = 'approval'): Uint8Array | undefined {
  if (!fields.has(member)) return undefined;
  const approval = fields.hex(member);
  if (approval.length !== 32) throw new FieldError(`${member} is 32 bytes`);
  return approval;
}

/** A name of RFC 5280 §5.3.1. */
export function readReason(fields: Fields): RevocationReason {
  const name = fields.text('code', 32);
  if (isReason(name)) return name;
  throw new FieldError('code is no reason of RFC 5280 §5.3.1');
}

export function hierarchyDocument(
  hierarchy: Hierarchy & { readonly orderKeySpki: Uint8Array },
): object {
  return {
    roots: hierarchy.roots.map(toBase64),
    factory: hierarchy.factory.map(toBase64),
    operational: hierarchy.operational.map(toBase64),
    server: hierarchy.server.map(toBase64),
    links: hierarchy.links.map(toBase64),
    manifestSigners: hierarchy.manifestSigners.map(toBase64),
    orderKeySpki: toBase64(hierarchy.orderKeySpki),
  };
}

export function orderDocument(order: OrderRecord): object {
  return {
    order: order.order,
    product: order.product,
    family: order.family,
    profile: order.profile,
    hwType: order.hwType,
    partNumber: order.partNumber,
    quantity: order.quantity,
    leastProof: order.leastProof,
    eui64First: toHex(order.eui64First),
    serverIdentity: toBase64(order.serverIdentity),
    createdMs: order.createdMs,
  };
}

export function orderViewDocument({ order, batches, tickets }: OrderView): object {
  return {
    ...orderDocument(order),
    batches: batches.map(batchDocument),
    tickets: tickets.map(ticketDocument),
  };
}

export function ticketDocument(ticket: TicketView): object {
  return {
    ticketId: toHex(ticket.ticketId),
    order: ticket.order,
    batch: ticket.batch,
    stationKeySpki: toBase64(ticket.stationKeySpki),
    count: ticket.count,
    taken: ticket.taken,
    leastProof: ticket.leastProof,
    notBeforeMs: ticket.notBeforeMs,
    notAfterMs: ticket.notAfterMs,
    signed: toBase64(ticket.signed),
    closedMs: ticket.closedMs ?? null,
  };
}

function batchDocument({ batch, quantity, closedMs }: BatchRecord): object {
  return { batch, quantity, closedMs: closedMs ?? null };
}
