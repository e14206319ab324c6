/** Orders, tickets and closed batches in the JSON of the authority's local door. */
import type { ClosedBatch, OrderView, TicketView } from '../../../trust/ports/operatorAuthority.ts';
import type { OrderRecord } from '../../../trust/ports/orderStore.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import type { Answer } from './answers.ts';

export function readOrder(answer: Answer): OrderRecord {
  return {
    order: answer.text('order'),
    product: answer.text('product'),
    family: answer.text('family'),
    profile: answer.text('profile'),
    hwType: answer.text('hwType'),
    partNumber: answer.text('partNumber'),
    quantity: answer.number('quantity'),
    leastProof: answer.oneOf('leastProof', proofLevels),
    eui64First: answer.hex('eui64First'),
    serverIdentity: answer.base64('serverIdentity'),
    createdMs: answer.number('createdMs'),
  };
}

export function readOrderView(answer: Answer): OrderView {
  const order = readOrder(answer);
  return {
    order,
    batches: answer.answers('batches').map((batch) => ({
      batch: batch.text('batch'),
      order: order.order,
      quantity: batch.number('quantity'),
      closedMs: batch.optionalNumber('closedMs'),
    })),
    tickets: answer.answers('tickets').map(readTicketView),
  };
}

export function readTicketView(answer: Answer): TicketView {
  return {
    ticketId: answer.hex('ticketId'),
    order: answer.text('order'),
    batch: answer.text('batch'),
    stationKeySpki: answer.base64('stationKeySpki'),
    count: answer.number('count'),
    taken: answer.number('taken'),
    leastProof: answer.oneOf('leastProof', proofLevels),
    notBeforeMs: answer.number('notBeforeMs'),
    notAfterMs: answer.number('notAfterMs'),
    signed: answer.base64('signed'),
    closedMs: answer.optionalNumber('closedMs'),
  };
}

export function readClosedBatch(answer: Answer): ClosedBatch {
  const counts = answer.answer('counts');
  return {
    batch: answer.text('batch'),
    counts: {
      issued: counts.number('issued'),
      released: counts.number('released'),
      scrapped: counts.number('scrapped'),
      returned: counts.number('returned'),
    },
    void: answer.number('void'),
    manifest: answer.text('manifest'),
    yieldReport: answer.text('yieldReport'),
  };
}
