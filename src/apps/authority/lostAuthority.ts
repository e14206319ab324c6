/**
 * Which key is lost when a person names an authority, and what has to be done about that one. A line may have
 * several keys that are believed: a name that could mean another key of it is refused, since to answer for
 * the wrong one leaves the lost one in service and ends a good one.
 */
import { existsSync } from 'node:fs';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { isOpen, type LossCase } from '../../trust/ports/lossCase.ts';
import { type AuthorityPaths, certificatePath } from './authorityFolder.ts';
import { active, type AuthorityRecord, lineOf, nextName, offlineKey } from './book.ts';

export interface CaseOptions {
  readonly clock: Clock;
  /** Why somebody thinks so, for the log. */
  readonly reason: string;
  /** Devices that may enrol anew in a second; 20 unless told. */
  readonly perSecond?: number;
}

const usualPerSecond = 20;

/**
 * The authority of exactly this name, or the one of this line where a single one is believed. Throws an
 * `EnvironmentError` that lists the names where that is not one.
 */
export function lostAuthority(book: readonly AuthorityRecord[], whose: string): AuthorityRecord {
  const exact = book.find(({ name }) => name === whose);
  if (exact !== undefined && exact.state !== 'removed') return exact;
  const line = exact === undefined ? whose : lineOf(exact);
  const believed = book.filter((one) => lineOf(one) === line && one.state !== 'removed');
  const [only, ...more] = believed;
  if (exact === undefined) {
    if (only === undefined) throw refused(`no authority is called ${whose}`);
    if (more.length === 0) return only;
  }
  const names = believed.map(({ name, state }) => `${name} (${state})`).join(', ');
  throw refused(
    exact === undefined
      ? `${whose} may mean any of ${names}: say which key is lost`
      : `${whose} is believed no more, so that its key is worth nothing; believed are ${names}`,
  );
}

/** The open case that the same words go on with. */
export function openCaseOf(
  cases: readonly LossCase[],
  book: readonly AuthorityRecord[],
  whose: string,
): LossCase | undefined {
  const isName = book.some(({ name }) => name === whose);
  const named = book.filter((one) => (isName ? one.name : lineOf(one)) === whose);
  return cases.find(
    (one) =>
      one.kind === 'authority' && isOpen(one) && named.some(({ name }) => name === one.subject),
  );
}

/** Another key takes the place of one that issues; of one that does not, the place is taken or was never its own. */
export function caseOfAuthority(
  options: CaseOptions,
  paths: AuthorityPaths,
  book: readonly AuthorityRecord[],
  lost: AuthorityRecord,
): LossCase {
  if (!existsSync(certificatePath(paths, lost.name))) {
    throw refused(`${lost.name} has no certificate yet: nobody believes its key`);
  }
  return isReplaced(book, lost)
    ? caseOfReplaced(options, book, lost)
    : caseOfEnded(options, book, lost);
}

/** Whether a key that is lost has to have a successor. Of several roots that issue the first one alone does. */
export function isReplaced(book: readonly AuthorityRecord[], lost: AuthorityRecord): boolean {
  return lost.state === 'active' && active(book, lineOf(lost)).name === lost.name;
}

export function newCase(
  { reason, clock }: CaseOptions,
  name: string,
  kind: LossCase['kind'],
  subject: string,
  steps: readonly string[],
): LossCase {
  const openedMs = clock.nowMs();
  return { name, kind, subject, reason, openedMs, steps: steps.map((step) => ({ name: step })) };
}

function caseOfReplaced(
  options: CaseOptions,
  book: readonly AuthorityRecord[],
  lost: AuthorityRecord,
): LossCase {
  const line = lineOf(lost);
  const announced = book.find((one) => lineOf(one) === line && one.state === 'announced');
  if (announced !== undefined) {
    // Its links vouch for the lost key: it cannot take its place.
    throw refused(`${announced.name} is announced: birthmark ca rollover switch ${line} first`);
  }
  if (lost.role === 'root' && lost.key === offlineKey) {
    throw refused(
      'the root is on another machine: birthmark ca compromise root --dry-run says what people do there',
    );
  }
  // Nobody is above a root to list it, and what it certified is certified anew.
  const further = lost.role === 'root' ? [] : ['revoked', 'listed'];
  const names = ['successor', 'replaced', ...further];
  return {
    ...newCase(options, lost.name, 'authority', lost.name, names),
    successor: nextName(book, line),
    ...paceOf(options, lost),
  };
}

function caseOfEnded(
  options: CaseOptions,
  book: readonly AuthorityRecord[],
  lost: AuthorityRecord,
): LossCase {
  // Devices pin the authority of servers, and are told of the next one by the links from this one.
  const first = lost.role === 'server' && lost.state === 'retired' ? [] : ['removed'];
  const further = lost.role === 'root' ? [] : ['revoked', 'listed'];
  return {
    ...newCase(options, lost.name, 'authority', lost.name, [...first, ...further]),
    ...(lost.state === 'retired'
      ? { successor: active(book, lineOf(lost)).name, ...paceOf(options, lost) }
      : {}),
  };
}

function paceOf(
  { perSecond = usualPerSecond }: CaseOptions,
  { role }: AuthorityRecord,
): Pick<LossCase, 'perSecond'> {
  return role === 'operational' ? { perSecond } : {};
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
