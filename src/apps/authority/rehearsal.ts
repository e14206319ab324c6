/**
 * What adding an authority, or a step of a rollover, would refuse: found without a key and without a lock,
 * while the authority may be running. For dry runs.
 */
import { SnapshotIssuingReader } from '../../drivers/store/issuingReader.ts';
import type { ActRequests } from '../../trust/approvals/acts.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { authorityPaths, type AuthorityPaths, requireInstallation } from './authorityFolder.ts';
import { requireFit } from './authorityNames.ts';
import { type AuthorityRecord, lineNamed, readBook } from './book.ts';
import { plannedRoot } from './moreRoots.ts';
import { currentProfiles } from './profileDocument.ts';
import { announcedIn, plannedAddition, plannedSuccessor, retiredIn } from './rollover.ts';
import { openAuthoritySnapshot } from './stores.ts';

export interface RehearsalOptions {
  readonly dataFolder: string;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
}

/** Each rejects with the `EnvironmentError` with which the act would; `certificate`: of a root's elsewhere. */
export async function rehearseAddition(
  options: RehearsalOptions,
  request: ActRequests['authority.announce'],
  certificate?: Uint8Array,
): Promise<AuthorityRecord> {
  const place = await placeOf(options);
  const { record } =
    request.adds === 'root'
      ? await plannedRoot(place, request, certificate)
      : plannedAddition(place.book, request);
  await requireFitIn(place.paths, options, record);
  return record;
}

/** Returns the one that would be announced, or was and would be gone on with. */
export async function rehearseAnnouncement(
  options: RehearsalOptions,
  request: ActRequests['authority.announce'],
): Promise<AuthorityRecord> {
  const { paths, book } = await placeOf(options);
  const { next, isBegun } = plannedSuccessor(book, request);
  if (!isBegun) await requireFitIn(paths, options, next);
  return next;
}

/** Returns the one that would issue. */
export async function rehearseSwitch(
  options: RehearsalOptions,
  { role }: ActRequests['authority.switch'],
): Promise<AuthorityRecord> {
  const place = await placeOf(options);
  return announcedIn(place, lineNamed(place.book, role));
}

/** Returns the one that would be believed no more. */
export async function rehearseRemoval(
  options: RehearsalOptions,
  { role }: ActRequests['authority.remove'],
): Promise<AuthorityRecord> {
  const { book } = await placeOf(options);
  return retiredIn(book, lineNamed(book, role));
}

async function placeOf({ dataFolder }: RehearsalOptions): Promise<{
  readonly paths: AuthorityPaths;
  readonly book: readonly AuthorityRecord[];
  readonly organization: string;
}> {
  const paths = authorityPaths(dataFolder);
  const { organization } = await requireInstallation(paths);
  return { paths, book: await readBook(paths), organization };
}

async function requireFitIn(
  paths: AuthorityPaths,
  { store }: RehearsalOptions,
  record: AuthorityRecord,
): Promise<void> {
  const snapshot = await openAuthoritySnapshot(paths, store);
  try {
    requireFit(record, currentProfiles(await new SnapshotIssuingReader(snapshot).profiles()));
  } finally {
    await snapshot.close();
  }
}
