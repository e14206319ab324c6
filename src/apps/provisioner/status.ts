/** The status of certificates at this server: what is kept of it, who follows it, and the door for it. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { Metrics } from '../../servers/http/metrics.ts';
import { openStatusDoor, type StatusDoor } from '../../servers/http/status.ts';
import type { ResourceActs } from '../../servers/http/resources.ts';
import type { Staple } from '../../servers/tls/door.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { isRefusal, refuse } from '../../trust/ports/faults.ts';
import type { AuthorityNotice } from '../../trust/ports/registryStore.ts';
import type { StatusAuthority } from '../../trust/ports/statusAuthority.ts';
import { MassGuard } from '../../trust/revocation/massGuard.ts';
import type { SoleTurns } from '../../trust/revocation/soleTurns.ts';
import { StatusOrders } from '../../trust/revocation/statusOrders.ts';
import { Answers } from '../../trust/status/answers.ts';
import { StatusFollower } from '../../trust/status/follower.ts';
import { PublishedLists } from '../../trust/status/publishedLists.ts';
import { Stapler } from '../../trust/status/stapler.ts';
import type { Chore } from './chores.ts';
import type { Core } from './core.ts';

export interface StatusConfig {
  readonly authority: StatusAuthority;
  /** Of the door, which speaks plain HTTP; none when absent, 0 lets the system choose. */
  readonly port?: number | undefined;
}

export interface Status {
  readonly authority: StatusAuthority;
  readonly answers: Answers;
  readonly lists: PublishedLists;
  readonly follower: StatusFollower;
  readonly stapler: Stapler;
}

export interface StatusPorts {
  readonly clock: Clock;
  readonly metrics: Metrics;
}

export function makeStatus(authority: StatusAuthority, { clock, metrics }: StatusPorts): Status {
  const answers = new Answers({
    authority,
    clock,
    onTrouble: () => metrics.refused('status', 'authority-away'),
  });
  const lists = new PublishedLists(authority);
  metrics.watch('birthmark_status_answers', 'Signed answers kept at the door', () => answers.size);
  return {
    authority,
    answers,
    lists,
    follower: new StatusFollower({ authority, answers, lists }),
    stapler: new Stapler({ answers, authority: 'server', crypto: nodeCrypto }),
  };
}

/** What is revoked elsewhere is known here a second later. */
export function followChore({ follower }: Pick<Status, 'follower'>): Chore {
  return { name: 'follow the status', everyMs: 1_000, work: () => follower.advance() };
}

/** `tell` tells the authority what was revoked here; about what it took it may be asked again from then on. */
export async function settling(
  status: Pick<Status, 'answers'> | undefined,
  tell: () => Promise<readonly AuthorityNotice[]>,
): Promise<void> {
  const before = status?.answers.unsettled() ?? new Set<string>();
  const waiting = await tell();
  // Of a certificate that an old notice names by its hash alone nobody knows here whose it is.
  if (waiting.some(({ act, holder }) => act === 'revoke-certificate' && holder === undefined))
    return;
  const unheard = new Set(waiting.map(({ holder, subject }) => holder ?? subject));
  // Everything else: notices are written before anything is dropped.
  status?.answers.settle(new Set([...before].filter((holder) => !unheard.has(holder))));
}

/** Rejects with the system's error when the port is taken. */
export function openStatus(
  { authority, answers, lists }: Status,
  options: StatusPorts & { readonly host: string; readonly port: number },
): Promise<StatusDoor> {
  const { host, port, clock, metrics } = options;
  return openStatusDoor({
    host,
    port,
    answers,
    lists,
    clock,
    certificate: remembered((name) => authority.certificate(name)),
    onRefusal: (code) => metrics.refused('status', code),
  });
}

export function stapleOf({ status }: Pick<Core, 'status'>): Staple | undefined {
  return status && ((certificate, issuer) => status.stapler.staple(certificate, issuer));
}

/** `told`: resolves when the authority has heard of everything, or cannot be reached. */
export function statusSteps(
  { status, stores, registry, revocation, authority, clock }: Core,
  turns: SoleTurns,
  told: () => Promise<void>,
): ResourceActs['statusStep'] {
  if (status === undefined) {
    const away = refuse(
      'unreachable',
      'this server has no authority to ask for what belongs together',
    );
    return () => Promise.resolve(away);
  }
  const orders = new StatusOrders({
    store: stores.registry,
    registry,
    revocation,
    selection: status.authority,
    authority,
    clock,
  });
  const guard = new MassGuard({ orders, authority, turns });
  return async (order, after, approval) => {
    const step = await guard.step(order, after, approval);
    // Lists and answers follow within seconds of the last step, not of the next round.
    if (!order.dryRun && !isRefusal(step) && step.next === undefined) await told();
    return step;
  };
}

/** What was found once: a name is that of one certificate for ever. */
function remembered(
  find: (name: string) => Promise<Uint8Array | undefined>,
): (name: string) => Promise<Uint8Array | undefined> {
  const known = new Map<string, Uint8Array>();
  return async (name) => {
    const found = known.get(name) ?? (await find(name));
    if (found !== undefined) known.set(name, found);
    return found;
  };
}
