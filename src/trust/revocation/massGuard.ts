/**
 * Orders about more devices than one person may change at once. The authority says whether they are
 * allowed, step by step: an order that is taken up again after a crash goes on under the same approval.
 */
import type { ProvisioningAuthority } from '../ports/authority.ts';
import { isRefusal, type Refusal } from '../ports/faults.ts';
import type { StatusOrder, StatusStep } from '../ports/statusOrders.ts';
import type { StatusOrders } from './statusOrders.ts';

export interface MassGuardParts {
  readonly orders: Pick<StatusOrders, 'step'>;
  readonly authority: Pick<ProvisioningAuthority, 'massLimit' | 'permitStatusOrder'>;
}

export class MassGuard {
  readonly #parts: MassGuardParts;

  constructor(parts: MassGuardParts) {
    this.#parts = parts;
  }

  /** A step of an order, as `StatusOrders.step`. */
  async step(
    order: StatusOrder,
    after: string | undefined,
    approval: Uint8Array | undefined,
  ): Promise<StatusStep | Refusal<string>> {
    const { orders, authority } = this.#parts;
    if (order.dryRun) return orders.step(order, after);
    const limit = await authority.massLimit();
    const exceeds = limit === undefined ? false : await this.#exceeds(order, limit);
    if (exceeds === false) return orders.step(order, after);
    if (isRefusal(exceeds)) return exceeds;
    const { dryRun: _, ...asked } = order;
    const refusal = await authority.permitStatusOrder(asked, approval, false);
    if (refusal !== undefined) return refusal;
    const step = await orders.step(order, after);
    if (isRefusal(step) || step.next !== undefined) return step;
    return (await authority.permitStatusOrder(asked, approval, true)) ?? step;
  }

  /** Counts until it is clear; what is revoked already counts too, so that a resumed order stays large. */
  async #exceeds(order: StatusOrder, limit: number): Promise<boolean | Refusal<string>> {
    let devices = 0;
    let after: string | undefined;
    do {
      const step = await this.#parts.orders.step({ ...order, dryRun: true }, after);
      if (isRefusal(step)) return step;
      devices += step.devices;
      after = step.next;
    } while (after !== undefined && devices <= limit);
    return devices > limit;
  }
}
