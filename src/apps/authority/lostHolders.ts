/**
 * Cases of keys that are not the authority's own: a station's, or those of an element family. The registry
 * and the doors refuse them from the first moment; what is done to devices is a status order of the running
 * server, and the case keeps what was ordered until it is done.
 */
import type { Clock } from '../../trust/ports/clock.ts';
import { isRefusal } from '../../trust/ports/faults.ts';
import { type CaseDesk, isDone, type LossCase } from '../../trust/ports/lossCase.ts';
import type { StatusScope } from '../../trust/ports/statusOrders.ts';

export interface HolderLoss {
  readonly kind: 'station' | 'family';
  readonly subject: string;
  /** Of a family: only elements that were born with it. */
  readonly firmware?: string;
  /** Of a station: what it personalized falls with it. */
  readonly withDevices?: boolean;
}

export interface HolderOptions {
  readonly clock: Clock;
  readonly reason: string;
}

/**
 * Writes the case, takes the order (again, where it was cut short: a status order passes over what is done)
 * and writes what it did. `order` resolves with `undefined` while it waits for a second person.
 */
export async function answerLostHolder(
  desk: Pick<CaseDesk, 'finishStep' | 'openCase'>,
  { clock, reason }: HolderOptions,
  loss: HolderLoss,
  order: (scope: StatusScope) => Promise<string | undefined>,
): Promise<LossCase> {
  const { kind, subject, firmware } = loss;
  const name = [kind, subject, firmware ?? []]
    .flat()
    .join('-')
    .replaceAll(/[^A-Za-z0-9.-]/g, '_');
  const begun = await desk.openCase({
    name,
    kind,
    subject,
    ...(firmware === undefined ? {} : { firmware }),
    reason,
    openedMs: clock.nowMs(),
    steps: [{ name: 'revoked' }],
  });
  const detail = await order(scopeOf(loss));
  if (detail === undefined || isDone(begun, 'revoked')) return begun;
  const done = await desk.finishStep(name, { name: 'revoked', doneMs: clock.nowMs(), detail });
  // Another command has closed it meanwhile, and opened another one.
  return isRefusal(done) ? begun : done;
}

/** What the order of such a loss is about. */
export function scopeOf({ kind, subject, firmware, withDevices = false }: HolderLoss): StatusScope {
  return kind === 'station'
    ? { by: 'station', name: subject, withDevices }
    : { by: 'family', name: subject, firmware };
}
