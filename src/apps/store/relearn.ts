/**
 * What the log, the ledger and published lists say of the time after a backup, as lessons for the database
 * that was put back. What a lesson takes that the log knows by its hash alone, people have brought.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { type AuditEntry, encodeAuditEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import { builtInProfiles } from '../../trust/issuance/profiles.ts';
import { profileText } from '../../trust/issuance/profileBook.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Revocation } from '../../trust/ports/issuanceStore.ts';
import { caseActs, type LossCase, parseCase } from '../../trust/ports/lossCase.ts';
import type { ForeignLesson, Lesson } from '../../trust/ports/recoveryStore.ts';
import type { LedgerLine } from '../../trust/ports/ticketLedger.ts';
import { eui64Plus } from '../../wire/bytes/eui64.ts';
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { isReason, type RevocationReason } from '../../wire/crl/reason.ts';
import { approvalLessons } from './relearnApprovals.ts';

export interface Source {
  /** Behind those of the database, in their order. */
  readonly leaves: readonly Uint8Array[];
  /** Names of authorities by the hexadecimal identifier of their key. */
  readonly authorities: ReadonlyMap<string, string>;
  /** Those of them whose key is on another machine. */
  readonly offline: ReadonlySet<string>;
  readonly ledger: readonly LedgerLine[];
  readonly lists: readonly PublishedList[];
  /** Of operators and of anchors of other makers, by their SHA-256 in hexadecimal. */
  readonly certificates: ReadonlyMap<string, Uint8Array>;
  /** Cases of the database, and what becomes of one that went on after it. */
  readonly cases: readonly LossCase[];
  readonly settle: (one: LossCase) => readonly Lesson[];
}

export interface PublishedList {
  readonly authority: string;
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly der: Uint8Array;
  /** Of the key that signed it. */
  readonly issuerKeyId: Uint8Array;
  /** Its numbers come from another machine, and so do its entries. */
  readonly isImported: boolean;
  readonly revoked: readonly Revocation[];
}

/** Throws an `EnvironmentError` for a certificate of an authority that is not known here. */
export function* lessonsOf(source: Source): Generator<Lesson, void, undefined> {
  const cases = new Map(source.cases.map((one) => [one.name, one]));
  const moved = new Set<string>();
  for (const leaf of source.leaves) {
    const entry = readAuditEntry(leaf);
    yield* approvalLessons(entry, source.certificates);
    yield* lessonsOfEntry(entry, leaf, source);
    const one = caseOf(entry);
    if (one !== undefined) {
      cases.set(one.name, one);
      moved.add(one.name);
      const { name, openedMs } = one;
      const document = entry.kind === 'decision' ? entry.detail : '';
      yield { kind: 'case', record: { name, openedMs, document } };
    }
    yield { kind: 'leaf', entry: leaf };
  }
  const logged = loggedLists(source);
  const lists = source.lists.toSorted((left, right) => left.number - right.number);
  for (const list of lists) yield* lessonsOfList(list, logged.get(list.authority) ?? 0);
  for (const line of source.ledger) if (line.kind === 'order') yield line;
  for (const [name, one] of cases) if (moved.has(name)) yield* source.settle(one);
}

/**
 * In place of a ledger: so many addresses, behind the last known one, are an order of nobody. Throws an
 * `EnvironmentError` when there are not so many.
 */
export function skippedAddresses(
  eui64First: Uint8Array,
  quantity: number,
  createdMs: number,
): LedgerLine {
  if (eui64Plus(eui64First, quantity - 1) === undefined) {
    throw refused(`${quantity} addresses behind the last known one leave the address space`);
  }
  const name = `skipped-${createdMs}`;
  const order = {
    order: name,
    product: 'none',
    family: 'none',
    profile: 'idevid',
    hwType: '0.0.0',
    partNumber: '',
    quantity,
    leastProof: 'possession',
    eui64First,
    serverIdentity: new Uint8Array(0),
    createdMs,
  } as const;
  return { kind: 'order', order, batches: [{ batch: name, quantity }] };
}

/** Names of orders that were placed after the backup. */
export function orderedIn(leaves: readonly Uint8Array[]): readonly string[] {
  return leaves.flatMap((leaf) => {
    const entry = readAuditEntry(leaf);
    return entry.kind === 'ordered' ? [entry.order] : [];
  });
}

/** The newest number in the log of each list that was made on another machine. */
export function loggedLists({
  leaves,
  authorities,
  offline,
}: Pick<Source, 'leaves' | 'authorities' | 'offline'>): ReadonlyMap<string, number> {
  const numbers = new Map<string, number>();
  for (const leaf of leaves) {
    const entry = readAuditEntry(leaf);
    if (entry.kind !== 'list-signed') continue;
    const authority = authorities.get(toHex(entry.issuerKeyId)) ?? '';
    if (offline.has(authority)) numbers.set(authority, entry.number);
  }
  return numbers;
}

/** A change of status that a leaf speaks of; `undefined` for other leaves. */
export function statusChangeOf(entry: AuditEntry, leaf: Uint8Array): Revocation | undefined {
  if (entry.kind !== 'revoked' && entry.kind !== 'held' && entry.kind !== 'reinstated') {
    return undefined;
  }
  const { serialNumber, atMs } = entry;
  if (entry.kind !== 'revoked') {
    const code = entry.kind === 'held' ? 'certificateHold' : 'removeFromCRL';
    return { serialNumber, code, reason: entry.reason, atMs, entry: leaf };
  }
  const [, word = '', said = ''] = /^([a-zA-Z]+): (.*)$/s.exec(entry.reason) ?? [];
  const code: RevocationReason = isReason(word) ? word : 'unspecified';
  const reason = isReason(word) ? said : entry.reason;
  return { serialNumber, code, reason, atMs, entry: leaf };
}

function* lessonsOfEntry(
  entry: AuditEntry,
  leaf: Uint8Array,
  { authorities, certificates, offline }: Source,
): Generator<Lesson, void, undefined> {
  const change = statusChangeOf(entry, leaf);
  if (change !== undefined) yield { kind: 'status', change };
  if (entry.kind === 'issued') {
    const { serialNumber, profile, holder, atMs, issuerKeyId, certificateSha256 } = entry;
    const issuer = authorities.get(toHex(issuerKeyId));
    if (issuer === undefined) throw unknownAuthority(issuerKeyId);
    const keyIdentifier = certificateSha256.slice(0, 20);
    const lost = { serialNumber, issuer, profile, holder, keyIdentifier, atMs, entry: leaf };
    yield { kind: 'certificate', ...lost };
  } else if (entry.kind === 'list-signed') {
    const authority = authorities.get(toHex(entry.issuerKeyId)) ?? '';
    const { shard, number } = entry;
    // The number of a list that was made on another machine is not one that was taken here.
    if (!offline.has(authority)) yield { kind: 'list-number', authority, shard, number };
  } else if (entry.kind === 'foreign-anchor') {
    yield anchorLesson(entry, certificates);
  } else if (entry.kind === 'foreign-device' || entry.kind === 'foreign-revoked') {
    yield entry;
  } else if (entry.kind === 'decision') {
    yield* profileLesson(entry);
  }
}

function anchorLesson(
  entry: Extract<AuditEntry, { readonly kind: 'foreign-anchor' }>,
  certificates: Source['certificates'],
): ForeignLesson {
  const { kind, product, certificateSha256: sha256, count, atMs } = entry;
  const certificate = certificates.get(toHex(sha256)) ?? new Uint8Array(0);
  return { kind, product, sha256, count, certificate, atMs };
}

/** Its number stays taken, whether or not anybody knows the text: no other text may stand for it. */
function* profileLesson({
  act,
  subject,
  detail,
  atMs,
}: Extract<AuditEntry, { readonly kind: 'decision' }>): Generator<Lesson, void, undefined> {
  const [, name = '', version = ''] = /^(.+)@(\d+)$/.exec(subject) ?? [];
  const sha256 = parseHex(detail);
  if (act !== 'profile' || name === '' || sha256 === undefined) return;
  const builtIn = builtInProfiles.get(name);
  const known = builtIn === undefined ? '' : profileText(builtIn);
  const isKnown = toHex(nodeCrypto.hash('SHA-256', utf8(known))) === detail;
  const text = isKnown ? known : '';
  yield {
    kind: 'profile',
    record: { name, version: Number(version), sha256, text, addedMs: atMs },
  };
}

function caseOf(entry: AuditEntry): LossCase | undefined {
  if (entry.kind !== 'decision' || !caseActs.some((act) => act === entry.act)) return undefined;
  return parseCase(entry.detail);
}

function* lessonsOfList(list: PublishedList, logged: number): Generator<Lesson, void, undefined> {
  const { authority, number, revoked } = list;
  if (list.isImported) {
    yield importedList(list, list.number > logged);
    return;
  }
  yield { kind: 'list-number', authority, number };
  for (const change of revoked) yield { kind: 'listed', change };
}

/** `isNews`: the log has no leaf of it. */
function importedList(list: PublishedList, isNews: boolean): Lesson {
  const { authority, number, thisUpdateMs, nextUpdateMs, revoked, der, issuerKeyId } = list;
  const listSha256 = nodeCrypto.hash('SHA-256', der);
  const entry = encodeAuditEntry({
    kind: 'list-signed',
    atMs: thisUpdateMs,
    issuerKeyId,
    shard: 0,
    number,
    listSha256,
  });
  const said = { authority, number, thisUpdateMs, nextUpdateMs, count: revoked.length, der };
  return { kind: 'imported-list', ...said, entry: isNews ? entry : undefined };
}

function unknownAuthority(keyIdentifier: Uint8Array): EnvironmentError {
  return refused(
    `the log speaks of an authority with key ${toHex(keyIdentifier)}, which is not here: give its certificate with --authority`,
  );
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
