/**
 * Cases of keys that are not the authority's own: a station's, or those of an element family. The registry
 * and the doors refuse them from the first moment; what is done to devices is a status order of the running
 * server, and the case keeps what was ordered until it is done.
 */
import type { Clock } from '../../trust/ports/clock.ts';
import type { StatusScope } from '../../trust/ports/statusOrders.ts';
import { authorityPaths } from './authorityFolder.ts';
import { type Case, isDone, readCases, withStep, writeCase } from './cases.ts';

export interface HolderLoss {
  readonly kind: 'station' | 'family';
  readonly subject: string;
  /** Of a family: only elements that were born with it. */
  readonly firmware?: string;
  /** Of a station: what it personalized falls with it. */
  readonly withDevices?: boolean;
}

export interface HolderOptions {
  readonly dataFolder: string;
  readonly clock: Clock;
  readonly reason: string;
}

/**
 * Writes the case, takes the order (again, where it was cut short: a status order passes over what is done)
 * and writes what it did. `order` resolves with `undefined` while it waits for a second person.
 */
export async function answerLostHolder(
  { dataFolder, clock, reason }: HolderOptions,
  loss: HolderLoss,
  order: (scope: StatusScope) => Promise<string | undefined>,
): Promise<Case> {
  const paths = authorityPaths(dataFolder);
  const name = [loss.kind, loss.subject, loss.firmware ?? []]
    .flat()
    .join('-')
    .replaceAll(/[^A-Za-z0-9.-]/g, '_');
  const open = (await readCases(paths)).find((one) => one.name === name);
  const begun: Case = open ?? {
    name,
    kind: loss.kind,
    subject: loss.subject,
    ...(loss.firmware === undefined ? {} : { firmware: loss.firmware }),
    reason,
    openedMs: clock.nowMs(),
    steps: [{ name: 'revoked' }],
  };
  if (open === undefined) await writeCase(paths, begun);
  const detail = await order(scopeOf(loss));
  if (detail === undefined) return begun;
  if (isDone(begun, 'revoked')) return begun;
  const done = withStep(begun, { name: 'revoked', doneMs: clock.nowMs(), detail });
  await writeCase(paths, done);
  return done;
}

function scopeOf({ kind, subject, firmware, withDevices = false }: HolderLoss): StatusScope {
  return kind === 'station'
    ? { by: 'station', name: subject, withDevices }
    : { by: 'family', name: subject, firmware };
}
