/**
 * Orders about more devices than one person may still change today. The authority says whether they are
 * allowed, step by step: an order that is taken up again after a crash goes on under the same approval.
 */
import type { ProvisioningAuthority } from '../ports/authority.ts';
import { isRefusal, type Refusal } from '../ports/faults.ts';
import { holdersOf, type StatusOrder, type StatusStep } from '../ports/statusOrders.ts';
import type { SoleTurns } from './soleTurns.ts';
import type { StatusOrders } from './statusOrders.ts';

export interface MassGuardParts {
  readonly orders: Pick<StatusOrders, 'step'>;
  readonly turns: Pick<SoleTurns, 'take'>;
  readonly authority: Pick<ProvisioningAuthority, 'soleChangesLeft' | 'permitStatusOrder'>;
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
    const { orders, authority, turns } = this.#parts;
    if (order.dryRun) return orders.step(order, after);
    if (approval !== undefined && (await authority.soleChangesLeft()) !== undefined) {
      return this.#permitted(order, after, approval);
    }
    return turns.take(async (left) => {
      if (left === undefined) return orders.step(order, after);
      const exceeds = await this.#exceeds(order, after, left);
      if (exceeds === false) return orders.step(order, after);
      return isRefusal(exceeds) ? exceeds : this.#permitted(order, after, undefined);
    });
  }

  async #permitted(
    order: StatusOrder,
    after: string | undefined,
    approval: Uint8Array | undefined,
  ): Promise<StatusStep | Refusal<string>> {
    const { orders, authority } = this.#parts;
    const { dryRun: _, ...asked } = order;
    const refusal = await authority.permitStatusOrder(asked, approval, false);
    if (refusal !== undefined) return refusal;
    const step = await orders.step(order, after, approval);
    if (isRefusal(step) || step.next !== undefined) return step;
    return (await authority.permitStatusOrder(asked, approval, true)) ?? step;
  }

  /** Counts what is left of the order until it is clear. */
  async #exceeds(
    order: StatusOrder,
    from: string | undefined,
    left: number,
  ): Promise<boolean | Refusal<string>> {
    const { scope } = order;
    // The station itself came with the first step.
    const holders = (): number =>
      scope.by === 'station' && from !== undefined ? devices : holdersOf(scope, devices);
    let devices = 0;
    let after = from;
    do {
      const step = await this.#parts.orders.step({ ...order, dryRun: true }, after);
      if (isRefusal(step)) return step;
      devices += step.devices;
      after = step.next;
    } while (after !== undefined && holders() <= left);
    return holders() > left;
  }
}
