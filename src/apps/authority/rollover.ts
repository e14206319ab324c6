/**
 * One authority takes over from another of its role, in steps that a person takes and can see:
 *
 *     announced   the new one has key and certificate, and both have certified each other
 *     active      the new one issues; the old one is retired, and still believed
 *     removed     the old one is believed no more
 *
 * RFC 4210 §4.4: the new key certified by the old one (new-with-old) takes along whoever believes the old
 * one only; the old key certified by the new one (old-with-new) whoever believes the new one only. A root may
 * take another name, and follow from what the present one has committed to (RFC 8649). Each step
 * is idempotent: cut short, it is taken again. The authority's process must not run meanwhile.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ActRequests } from '../../trust/approvals/acts.ts';
import type { Begun } from '../../trust/approvals/permissions.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { authorityPaths, authorityRoles, readCertificateFile } from './authorityFolder.ts';
import {
  active,
  authorityAlgorithms,
  type AuthorityRecord,
  faultOfBook,
  lineNamed,
  lineOf,
  nextName,
  offlineKey,
  parseBook,
  readBook,
  successorOf,
  withSuccessor,
  writeBook,
} from './book.ts';
import { Office, type OfficeOptions } from './office.ts';
import { missingOf } from './offlineRoots.ts';

export type RolloverOptions = OfficeOptions;

export interface Announced extends AuthorityRecord {
  /** The request that a root on another machine has to certify first; then the same call goes on. */
  readonly pending?: string;
}

/**
 * Makes the next authority of a line (a role, or an authority that is for some births alone), under the same
 * name unless told. Returns its record.
 */
export async function announce(
  options: RolloverOptions,
  { request }: Begun<'authority.announce'>,
): Promise<Announced> {
  const office = await Office.open(options);
  try {
    const { present, next, isBegun } = plannedSuccessor(office.book, request);
    await office.requireGood(present);
    if (!isBegun) office.requireFit(next);
    // Written first: a crash behind this line is mended by the same command.
    if (!isBegun) await writeBook(office.paths, withSuccessor(office.book, present, next));
    // A next root made here would be one whose key was never off line.
    const pending =
      present.key === offlineKey
        ? missingOf(office.paths, office.book, next)[0]
        : await office.certify(present, next);
    return pending === undefined ? next : { ...next, pending };
  } finally {
    await office.close();
  }
}

/** Of which authority another one is to be the next. Throws an `EnvironmentError` where there is none. */
export function plannedSuccessor(
  book: readonly AuthorityRecord[],
  { role, algorithm, key, newName, profile }: ActRequests['authority.announce'],
): {
  readonly present: AuthorityRecord;
  readonly next: AuthorityRecord;
  /** It was announced before: the step goes on. */
  readonly isBegun: boolean;
} {
  const wanted = algorithmNamed(algorithm);
  const line = lineNamed(book, role);
  const present = active(book, line);
  const isOffline = present.key === offlineKey;
  if (isOffline && key !== undefined) throw refused('its key is made where the present one is');
  const begun = book.find((one) => lineOf(one) === line && one.state === 'announced');
  const next =
    begun ??
    successorOf(present, nextName(book, line), {
      algorithm: wanted,
      key: isOffline ? offlineKey : key,
      newName,
      profile,
    });
  return { present, next, isBegun: begun !== undefined };
}

/**
 * One more authority, or the first of its role: it issues from the next start on, or from the one after its
 * certificate came from a root on another machine. Rejects with an `EnvironmentError` that says which authority
 * is for the same births already.
 */
export async function addAuthority(
  options: RolloverOptions,
  { request }: Begun<'authority.announce'>,
): Promise<Announced> {
  const office = await Office.open(options);
  try {
    const { record, known } = plannedAddition(office.book, request);
    if (known?.state === 'active') return known;
    office.requireFit(record);
    if (known === undefined) await writeBook(office.paths, [...office.book, record]);
    return await beginIssuing(office, record);
  } finally {
    await office.close();
  }
}

/** Held against the book as it will be. Throws an `EnvironmentError` that says what is in its way. */
export function plannedAddition(
  book: readonly AuthorityRecord[],
  { role: name, adds, serves, profile, key, algorithm }: ActRequests['authority.announce'],
): { readonly record: AuthorityRecord; readonly known: AuthorityRecord | undefined } {
  const role = authorityRoles.find((one) => one === adds);
  if (role === undefined || role === 'root') throw refused(`${adds} is no role of authorities`);
  const record: AuthorityRecord = {
    name,
    role,
    algorithm: algorithmNamed(algorithm) ?? 'ecdsa-with-SHA256',
    ...(profile === undefined ? {} : { profile }),
    ...(key === undefined ? {} : { key }),
    ...(serves === undefined ? {} : { serves }),
    state: 'announced',
  };
  const known = book.find((one) => one.name === name);
  if (known !== undefined && !isDeepStrictEqual({ ...known, state: 'announced' }, record)) {
    throw refused(`${name} is there already, and another one`);
  }
  // An announced one is in nobody's way.
  const fault = known ? undefined : faultOfBook([...book, { ...record, state: 'active' }]);
  if (fault !== undefined) throw refused(fault);
  return { record, known };
}

/** Nothing is there that it would have to be linked with. */
async function beginIssuing(office: Office, record: AuthorityRecord): Promise<Announced> {
  const pending = await office.certifyAlone(record);
  if (pending !== undefined) return { ...record, pending };
  const issuing: AuthorityRecord = { ...record, state: 'active' };
  const others = office.book.filter(({ name }) => name !== record.name);
  await writeBook(office.paths, parseBook([...others, issuing]));
  return issuing;
}

/** Goes on with what was announced before, and waited for a root on another machine. */
export async function completeAnnouncement(
  options: RolloverOptions,
  line: string,
): Promise<Announced> {
  const office = await Office.open(options);
  try {
    const next = the(office.book, line, 'announced');
    if (!has(office.book, line, 'active')) return await beginIssuing(office, next);
    const pending = await office.certify(active(office.book, line), next);
    return pending === undefined ? next : { ...next, pending };
  } finally {
    await office.close();
  }
}

/** The announced authority issues from the next start on. Rejects with an `EnvironmentError` where there is none. */
export async function switchOver(
  options: RolloverOptions,
  { request, resumed }: Begun<'authority.switch'>,
): Promise<{ readonly from: AuthorityRecord; readonly to: AuthorityRecord }> {
  const office = await Office.open(options);
  try {
    const line = lineNamed(office.book, request.role);
    const from = active(office.book, line);
    // Cut short behind the writing of the book: all of it is done.
    if (resumed && !has(office.book, line, 'announced')) {
      return { from: the(office.book, line, 'retired'), to: from };
    }
    const to = await announcedIn(office, line);
    // What the old one has promised it has to sign itself, before another one takes its place.
    await office.settled();
    if (to.role === 'server') await office.certifyManifests(to);
    await writeBook(
      office.paths,
      changed(
        office.book,
        new Map([
          [from, 'retired'],
          [to, 'active'],
        ]),
      ),
    );
    return { from, to };
  } finally {
    await office.close();
  }
}

/** The one that may take over now. Rejects with an `EnvironmentError` where there is none. */
export async function announcedIn(
  { paths, book }: Pick<Office, 'paths' | 'book'>,
  line: string,
): Promise<AuthorityRecord> {
  const to = the(book, line, 'announced');
  // One that waits for a root on another machine has no certificate to issue under.
  await readCertificateFile(paths, to.name);
  const missing = to.key === offlineKey ? missingOf(paths, book, to) : [];
  if (missing.length === 0) return to;
  throw refused(`birthmark ca import has not taken in ${missing.join(', ')}`);
}

/** The retired authority of the role is believed no more; what it has issued is worth nothing from then on. */
export async function remove(
  options: Pick<RolloverOptions, 'dataFolder'>,
  { request, resumed }: Begun<'authority.remove'>,
): Promise<AuthorityRecord> {
  const paths = authorityPaths(options.dataFolder);
  const book = await readBook(paths);
  const line = lineNamed(book, request.role);
  if (resumed && !has(book, line, 'retired')) return the(book, line, 'removed');
  const retired = retiredIn(book, line);
  await writeBook(paths, changed(book, new Map([[retired, 'removed']])));
  return retired;
}

/** Throws an `EnvironmentError` where nothing is retired. */
export function retiredIn(book: readonly AuthorityRecord[], line: string): AuthorityRecord {
  return the(book, line, 'retired');
}

function has(
  book: readonly AuthorityRecord[],
  line: string,
  state: AuthorityRecord['state'],
): boolean {
  return book.some((record) => lineOf(record) === line && record.state === state);
}

function algorithmNamed(text: string | undefined): AuthorityRecord['algorithm'] | undefined {
  const known = authorityAlgorithms.find((one) => one === text);
  if (known !== undefined || text === undefined) return known;
  throw refused(`${text} is no algorithm of authorities`);
}

function the(
  book: readonly AuthorityRecord[],
  line: string,
  state: AuthorityRecord['state'],
): AuthorityRecord {
  const found = book.find((record) => lineOf(record) === line && record.state === state);
  if (found !== undefined) return found;
  throw refused(`no ${line} authority is ${state}`);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}

function changed(
  book: readonly AuthorityRecord[],
  states: ReadonlyMap<AuthorityRecord, AuthorityRecord['state']>,
): readonly AuthorityRecord[] {
  return book.map((record) => ({ ...record, state: states.get(record) ?? record.state }));
}
