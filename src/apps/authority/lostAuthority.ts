/**
 * Which key is lost when a person names an authority, and what has to be done about that one. A line may have
 * several keys that are believed, and to answer for the wrong one leaves the lost one in service and ends a
 * good one: what is named is a key, never a line.
 */
import { existsSync } from 'node:fs';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { LossCase } from '../../trust/ports/lossCase.ts';
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
 * The authority of exactly this name. Throws an `EnvironmentError` that lists the names of its line where it
 * is believed no more, or where that is no key's name.
 */
export function lostAuthority(book: readonly AuthorityRecord[], whose: string): AuthorityRecord {
  const named = book.find(({ name }) => name === whose);
  if (named !== undefined && named.state !== 'removed') return named;
  const line = named === undefined ? whose : lineOf(named);
  const names = book
    .filter((one) => lineOf(one) === line && one.state !== 'removed')
    .map(({ name, state }) => `${name} (${state})`)
    .join(', ');
  if (named !== undefined) {
    throw refused(
      `${whose} is believed no more, so that its key is worth nothing; believed: ${names || 'none'}`,
    );
  }
  throw refused(
    names === '' ? `no authority is called ${whose}` : `say which key is lost: ${names}`,
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

/** What has to be done before a key that issues can be replaced; `undefined` for nothing. */
export function announcedBeside(
  book: readonly AuthorityRecord[],
  lost: AuthorityRecord,
): string | undefined {
  const line = lineOf(lost);
  const announced = book.find((one) => lineOf(one) === line && one.state === 'announced');
  // Its links vouch for the lost key: it cannot take its place.
  return announced && `${announced.name} is announced: birthmark ca rollover switch ${line} first`;
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
  const obstacle = announcedBeside(book, lost);
  if (obstacle !== undefined) throw refused(obstacle);
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
    successor: nextName(book, lineOf(lost)),
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
