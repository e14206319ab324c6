/** Orders and the server's identity as the audit log tells of them: how much was ordered, and by how much more. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { orderOf } from '../../drivers/store/sqlite/orderRows.ts';
import {
  encodeOrder,
  raisedAct,
  serverIdentityAct,
  serverIdentitySetting,
} from '../../trust/personalization/orders.ts';
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Inspection } from './fsck.ts';
import { bytes, isNull, number, string } from './values.ts';

export class OrderTrail {
  /** SHA-256 of each order as it was placed, hexadecimal. */
  readonly #placed = new Map<string, string>();
  /** How much more, by order and batch. */
  readonly #raised = new Map<string, Map<string, number>>();
  #identity: string | undefined;

  note(entry: AuditEntry): void {
    if (entry.kind === 'ordered') this.#placed.set(entry.order, toHex(entry.recordSha256));
    if (entry.kind !== 'decision') return;
    const { act, subject, detail } = entry;
    if (act === serverIdentityAct) this.#identity = subject;
    if (act !== raisedAct) return;
    const [batch = '', , by = ''] = detail.split(' ');
    const more = this.#raised.get(subject) ?? new Map<string, number>();
    this.#raised.set(subject, more.set(batch, (more.get(batch) ?? 0) + Number(by)));
  }

  placed(order: string): string | undefined {
    return this.#placed.get(order);
  }

  raisedBy(order: string, batch: string): number {
    return this.#raised.get(order)?.get(batch) ?? 0;
  }

  /** SHA-256 of the server's identity; `undefined` before the log had it. */
  get identity(): string | undefined {
    return this.#identity;
  }
}

/** What is recorded of each order is what was placed, and what was raised since. */
export async function checkOrdersPlaced(
  { snapshot, fault }: Inspection,
  trail: OrderTrail,
): Promise<void> {
  const batches = new Map<number, Array<{ readonly batch: string; readonly quantity: number }>>();
  for await (const row of snapshot.rows(
    'SELECT order_id, name, quantity FROM batches ORDER BY id',
  )) {
    const order = number(row, 'order_id');
    const batch = { batch: string(row, 'name'), quantity: number(row, 'quantity') };
    batches.set(order, [...(batches.get(order) ?? []), batch]);
  }
  for await (const row of snapshot.rows('SELECT * FROM orders')) {
    // What a restore ended may be known from the ledger alone, and makes nothing any more.
    if (!isNull(row, 'ended_ms')) continue;
    const order = orderOf(row);
    const first = (batches.get(number(row, 'id')) ?? []).map(({ batch, quantity }) => {
      return { batch, quantity: quantity - trail.raisedBy(order.order, batch) };
    });
    const quantity = first.reduce((total, batch) => total + batch.quantity, 0);
    const encoded = encodeOrder({ ...order, quantity }, first);
    if (toHex(nodeCrypto.hash('SHA-256', encoded)) !== trail.placed(order.order)) {
      fault(`order ${order.order}: is not what was ordered and raised by the log`);
    }
  }
  const { identity } = trail;
  const select = 'SELECT value FROM settings WHERE name = $1';
  for await (const row of snapshot.rows(select, serverIdentitySetting)) {
    const sha256 = toHex(nodeCrypto.hash('SHA-256', bytes(row, 'value')));
    if (identity !== undefined && sha256 !== identity) {
      fault("the server's identity for elements is not the one of the log");
    }
  }
}
