/** What a restored database learns, in statements that both kinds understand. */
import { leastAdmins } from '../../trust/ports/approvalRules.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import {
  encodeRecovery,
  type ForeignLesson,
  type ImportedList,
  type Learnt,
  type Lesson,
  type LostCertificate,
  type RecoveryEnding,
  recoverySetting,
} from '../../trust/ports/recoveryStore.ts';
import { approvalLesson, countAdmins, endRequests, isApprovalLesson } from './relearntApprovals.ts';
import { integer, optionalInteger, text } from './sqlite/rows.ts';
import { first, isChange, putSetting, type Steps, tell } from './statements.ts';

type Counts = { -readonly [name in keyof Learnt]: number };

/** Inside one transaction. Throws an `EnvironmentError` when nobody could decide anything afterwards. */
export function* relearn(lessons: Iterable<Lesson>, ending: RecoveryEnding): Steps<Learnt> {
  const counts = {
    leaves: 0,
    lostCertificates: 0,
    changesOfStatus: 0,
    lostOrders: 0,
    endedOrders: 0,
    voidTickets: 0,
    voidSecrets: 0,
    voidApprovals: 0,
    unknownOnLists: 0,
    unpinnedAnchors: 0,
    lostProfiles: 0,
  };
  const gathered: Gathered = { leaves: [], certificates: [], changes: [] };
  for (const lesson of lessons) {
    yield* take(lesson, gathered, counts);
    if (sizeOf(gathered) >= maximumGathered) yield* learnGathered(gathered, counts);
  }
  yield* learnGathered(gathered, counts);
  yield* endOrders(ending.nowMs, counts);
  yield* voidGrants(ending.nowMs, counts);
  yield* voidApprovals(ending.nowMs, counts);
  yield* renewLists(ending);
  yield { appendLeaves: [ending.closing] };
  yield* putSetting(recoverySetting, encodeRecovery({ phase: 'learnt', report: counts }));
  return counts;
}

/** Beyond any number that a list can have got since the newest leaf that is known. */
const numbersSkipped = 2 ** 20;

/** Lessons of which there are many, and on which no other kind depends but those about lists. */
interface Gathered {
  readonly leaves: Uint8Array[];
  readonly certificates: LostCertificate[];
  readonly changes: Array<Extract<Lesson, { readonly kind: 'status' | 'listed' }>>;
}

/** In one statement. */
const maximumGathered = 2_000;

function* take(lesson: Lesson, gathered: Gathered, counts: Counts): Steps<void> {
  if (isApprovalLesson(lesson)) return yield* approvalLesson(lesson);
  switch (lesson.kind) {
    case 'leaf':
      counts.leaves += 1;
      gathered.leaves.push(lesson.entry);
      return;
    case 'certificate':
      gathered.certificates.push(lesson);
      return;
    case 'status':
    case 'listed':
      gathered.changes.push(lesson);
      return;
    case 'list-number':
      yield* learnGathered(gathered, counts);
      return yield* raiseNumber(lesson);
    case 'imported-list':
      yield* learnGathered(gathered, counts);
      return yield* importList(lesson);
    case 'order':
      counts.lostOrders += (yield { placeOrder: lesson }).changed;
      return;
    case 'case': {
      const { name, openedMs, document } = lesson.record;
      yield* tell(upsertCase, name, openedMs, document);
      return;
    }
    case 'profile': {
      const { name, version, sha256, text: document, addedMs } = lesson.record;
      yield* tell(insertProfile, name, version, sha256, document, addedMs);
      if (document === '') counts.lostProfiles += 1;
      return;
    }
    case 'setting':
      return yield* putSetting(lesson.name, lesson.value);
    case 'foreign-anchor':
    case 'foreign-device':
    case 'foreign-revoked':
      return yield* takeForeign(lesson, counts);
  }
}

/** Certificates first: a change of status is one of theirs, or of what the database has. */
function* learnGathered(gathered: Gathered, counts: Counts): Steps<void> {
  if (sizeOf(gathered) === 0) return;
  const { leaves, certificates, changes } = gathered;
  counts.lostCertificates += (yield { recordLost: certificates.splice(0) }).changed;
  const { outcomes } = yield { changeStatus: changes.map(({ change }) => change) };
  for (const [index, { kind, change }] of changes.splice(0).entries()) {
    const outcome = outcomes[index];
    if (kind === 'listed' && outcome === 'never-issued') {
      counts.unknownOnLists += 1;
    } else if (isChange(outcome)) {
      counts.changesOfStatus += 1;
      // Revoked after the newest leaf.
      if (kind === 'listed') leaves.push(change.entry);
    }
  }
  yield { appendLeaves: leaves.splice(0) };
}

function sizeOf({ leaves, certificates, changes }: Gathered): number {
  return leaves.length + certificates.length + changes.length;
}

function* raiseNumber({
  authority,
  shard,
  number,
}: Extract<Lesson, { readonly kind: 'list-number' }>): Steps<void> {
  const raise = 'UPDATE lists SET number = $1 WHERE number < $1 AND authority = $2';
  if (shard === undefined) yield* tell(raise, number, authority);
  else yield* tell(`${raise} AND shard = $3`, number, authority, shard);
}

function* importList(list: ImportedList): Steps<void> {
  const place = yield* first(selectPlace, list.authority);
  if (place === undefined) return;
  const id = integer(place, 'id');
  if ((optionalInteger(place, 'signed') ?? -1) >= list.number) return;
  yield* tell('DELETE FROM signed_lists WHERE list = $1', id);
  const publication = integer((yield* first(selectNextPublication)) ?? {}, 'next');
  const { number, thisUpdateMs, nextUpdateMs, count, der, entry } = list;
  const values = [id, publication, number, thisUpdateMs, nextUpdateMs, count, der];
  yield* tell('INSERT INTO signed_lists VALUES ($1, $2, $3, $4, $5, $6, $7)', ...values);
  yield* tell('UPDATE lists SET due_ms = $1 WHERE id = $2', nextUpdateMs, id);
  if (entry !== undefined) yield { appendLeaves: [entry] };
}

const selectPlace = `
  SELECT lists.id, signed_lists.number AS signed FROM lists
  LEFT JOIN signed_lists ON list = lists.id WHERE authority = $1 AND shard = 0`;

const selectNextPublication = 'SELECT coalesce(max(publication), 0) + 1 AS next FROM signed_lists';

/**
 * Every list is signed anew, under a number that none had; what was signed before the restore is shown no
 * more. The list of a root stays where no newer one is known of.
 */
function* renewLists({ roots, offline }: RecoveryEnding): Steps<void> {
  const { rows } = yield { ask: selectLists, values: [] };
  for (const row of rows) {
    const [id, authority] = [integer(row, 'id'), text(row, 'authority')];
    if (offline.has(authority)) continue;
    const isNewest = row['number'] === row['signed'];
    if (row['signed'] !== null && !(isNewest && roots.has(authority))) {
      yield* tell('DELETE FROM signed_lists WHERE list = $1', id);
    }
    yield* tell(renewList, numbersSkipped, id);
  }
}

const selectLists = `
  SELECT lists.id, authority, lists.number, signed_lists.number AS signed
  FROM lists LEFT JOIN signed_lists ON list = lists.id ORDER BY lists.id`;

const renewList =
  'UPDATE lists SET number = number + $1, revision = revision + 1, due_ms = 0 WHERE id = $2';

/** Of devices that other makers certified: what is bound stays bound, what is revoked stays revoked. */
function* takeForeign(lesson: ForeignLesson, counts: Counts): Steps<void> {
  if (lesson.kind === 'foreign-revoked') {
    yield* tell(revokeForeign, lesson.atMs, lesson.deviceId);
    return;
  }
  if (lesson.kind === 'foreign-anchor') return yield* takeAnchor(lesson, counts);
  const { deviceId, certificateSha256, anchorSha256, atMs } = lesson;
  const anchor = yield* first(selectAnchorOfDevice, anchorSha256);
  if (anchor === undefined) return;
  const id = integer(anchor, 'id');
  const keyIdentifier = certificateSha256.slice(0, 20);
  const values = [deviceId, id, certificateSha256, keyIdentifier, atMs];
  if ((yield* tell(insertForeign, ...values)) > 0) yield* tell(countForeign, id);
}

function* takeAnchor(
  lesson: Extract<ForeignLesson, { readonly kind: 'foreign-anchor' }>,
  counts: Counts,
): Steps<void> {
  const { product, sha256, count, certificate, atMs } = lesson;
  if (count === 0) {
    yield* tell(retireAnchor, atMs, product, sha256);
    return;
  }
  const known = yield* first(selectAnchor, product, sha256);
  const isThere = known !== undefined && integer(known, 'size') > 0;
  if (known !== undefined) yield* tell(recountAnchor, count, product, sha256);
  else yield* tell(insertAnchor, product, sha256, certificate, count, atMs);
  if (isThere || certificate.length > 0) return;
  yield* tell(retireAnchor, atMs, product, sha256);
  if (known === undefined) counts.unpinnedAnchors += 1;
}

const ofAnchor = 'WHERE product = $2 AND sha256 = $3';
const retireAnchor = `UPDATE foreign_anchors SET retired_ms = $1 ${ofAnchor}`;
const recountAnchor = `
  UPDATE foreign_anchors SET count = CASE WHEN taken > $1 THEN taken ELSE $1 END, retired_ms = NULL
  ${ofAnchor}`;
const selectAnchor = `
  SELECT length(certificate) AS size FROM foreign_anchors WHERE product = $1 AND sha256 = $2`;
const insertAnchor = `
  INSERT INTO foreign_anchors (product, sha256, certificate, count, pinned_ms)
  VALUES ($1, $2, $3, $4, $5)`;
const selectAnchorOfDevice = 'SELECT id FROM foreign_anchors WHERE sha256 = $1 ORDER BY id LIMIT 1';
const insertForeign =
  'INSERT INTO foreign_devices VALUES ($1, $2, $3, $4, $5, NULL) ON CONFLICT DO NOTHING';
const countForeign = 'UPDATE foreign_anchors SET taken = taken + 1 WHERE id = $1 AND taken < count';
const revokeForeign =
  'UPDATE foreign_devices SET revoked_ms = coalesce(revoked_ms, $1) WHERE device_id = $2';

/** No ticket of before gives anything again: orders of before are over, known or not. */
function* endOrders(nowMs: number, counts: Counts): Steps<void> {
  const open = yield* first('SELECT count(*) AS n FROM tickets WHERE closed_ms IS NULL');
  counts.voidTickets = integer(open ?? {}, 'n');
  counts.endedOrders = yield* tell('UPDATE orders SET ended_ms = $1 WHERE ended_ms IS NULL', nowMs);
}

function* voidGrants(nowMs: number, counts: Counts): Steps<void> {
  yield* tell(denyApprovals, nowMs);
  counts.voidSecrets = yield* tell(voidSecrets, nowMs);
}

const denyApprovals = `
  UPDATE enrolment_approvals SET decision = 'denied', decided_by = 'recovery', decided_ms = $1
  WHERE issuance IS NULL`;
const voidSecrets =
  'UPDATE enrolment_secrets SET voided_ms = $1 WHERE issuance IS NULL AND voided_ms IS NULL';

function* voidApprovals(nowMs: number, counts: Counts): Steps<void> {
  const row = (yield* first(countAdmins)) ?? {};
  if (integer(row, 'modes') > 0 && integer(row, 'admins') < leastAdmins) {
    throw new EnvironmentError(
      'the admins of after the backup are not known: give their certificates with --operator',
      { retryable: false },
    );
  }
  counts.voidApprovals = yield* tell(endRequests, nowMs);
}

const upsertCase = `
  INSERT INTO loss_cases VALUES ($1, $2, $3)
  ON CONFLICT (name) DO UPDATE SET opened_ms = excluded.opened_ms, document = excluded.document`;

const insertProfile = 'INSERT INTO profiles VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING';
