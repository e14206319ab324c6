/**
 * What a restored database learns again: the leaves of the log that it lacks, what published lists say, and
 * the orders of the ledger. All of it is one transaction of SQLite: a restore is made of files, and goes
 * back to a server from there.
 */
import type { Connection } from '../../drivers/store/sqlite/database.ts';
import { blob, integer, text } from '../../drivers/store/sqlite/rows.ts';
import { insertOrder, refusedOrder } from '../../drivers/store/sqlite/orderStore.ts';
import { changeStatus } from '../../drivers/store/sqlite/statusRows.ts';
import { type AuditEntry, type IssuedEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import {
  generationsAfterRestore,
  generationsSetting,
} from '../../trust/issuance/serverGenerations.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { lostPrefix, type Revocation } from '../../trust/ports/issuanceStore.ts';
import type { LedgerLine } from '../../trust/ports/ticketLedger.ts';
import { eui64Plus } from '../../wire/bytes/eui64.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { isReason, type RevocationReason } from '../../wire/crl/reason.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { ApprovalReplay } from './replayApprovals.ts';

export interface Learnt {
  readonly nowMs: number;
  /** Behind those of the database, in their order. */
  readonly leaves: readonly Uint8Array[];
  /** Names of authorities by the hexadecimal identifier of their key. */
  readonly authorities: ReadonlyMap<string, string>;
  /** Those of them whose key is elsewhere: their lists are not signed at the next start. */
  readonly roots: ReadonlySet<string>;
  readonly ledger: readonly LedgerLine[];
  /** Where there is no ledger: so many addresses behind the last known one are left out. */
  readonly skippedAddresses: number;
  /** The first address of the installation, for a backup of before its first order. */
  readonly eui64Base: Uint8Array;
  readonly lists: readonly PublishedList[];
  /** Of operators, by their SHA-256 in hexadecimal. */
  readonly operators: ReadonlyMap<string, Uint8Array>;
  /** The leaf with which the log goes on. */
  readonly closing: Uint8Array;
}

export interface PublishedList {
  readonly authority: string;
  readonly number: number;
  readonly revoked: readonly Revocation[];
}

export interface Replayed {
  readonly leaves: number;
  /** Certificates of which the log alone knows. */
  readonly lostCertificates: number;
  readonly changesOfStatus: number;
  readonly lostOrders: number;
  readonly endedOrders: number;
  readonly voidTickets: number;
  readonly voidSecrets: number;
  readonly voidApprovals: number;
  /** On published lists, of certificates that nobody knows; they are on no list of ours. */
  readonly unknownOnLists: number;
}

/** Beyond any number that a list can have got since the newest leaf that is known. */
const numbersSkipped = 2 ** 20;

/** Inside a transaction. Throws an `EnvironmentError` when the ledger lacks what the log speaks of. */
export function replay(connection: Connection, learnt: Learnt): Replayed {
  const counts = { leaves: 0, lostCertificates: 0, changesOfStatus: 0 };
  const orders = new Set(
    learnt.ledger.map((line) => (line.kind === 'order' ? line.order.order : '')),
  );
  const appendLeaf = connection.prepare(
    'INSERT INTO audit_leaves VALUES ((SELECT coalesce(max(id), 0) + 1 FROM audit_leaves), ?)',
  );
  const approvals = new ApprovalReplay(connection, learnt.operators);
  for (const leaf of learnt.leaves) {
    const entry = readAuditEntry(leaf);
    approvals.apply(entry);
    if (entry.kind === 'issued' && recordLost(connection, entry, leaf, learnt)) {
      counts.lostCertificates += 1;
    }
    if (entry.kind === 'ordered') requireKnown(connection, entry.order, orders, learnt);
    if (applyStatus(connection, entry, leaf)) counts.changesOfStatus += 1;
    applyForeign(connection, entry);
    if (entry.kind === 'list-signed') raiseNumber(connection, entry, learnt);
    appendLeaf.run(leaf);
    counts.leaves += 1;
  }
  const { fromLists, unknownOnLists } = applyLists(connection, learnt, appendLeaf);
  counts.changesOfStatus += fromLists;
  const ended = endOrders(connection, learnt);
  const voidSecrets = voidGrants(connection, learnt.nowMs);
  const voidApprovals = approvals.finish(learnt.nowMs);
  renewLists(connection, learnt.roots);
  skipGenerations(connection);
  appendLeaf.run(learnt.closing);
  return { ...counts, ...ended, voidSecrets, voidApprovals, unknownOnLists };
}

/** False for what the database has already, signature included. */
function recordLost(
  connection: Connection,
  entry: IssuedEntry,
  leaf: Uint8Array,
  { authorities }: Learnt,
): boolean {
  const { serialNumber, profile, holder, atMs, issuerKeyId, certificateSha256 } = entry;
  const known = connection
    .prepare(
      `SELECT issuances.id, signatures.id AS signed FROM issuances LEFT JOIN signatures USING (id)
       WHERE serial = ?`,
    )
    .get(serialNumber);
  if (known !== undefined && known['signed'] !== null) return false;
  const issuer = authorities.get(toHex(issuerKeyId));
  if (issuer === undefined) {
    throw refused(
      `the log speaks of an authority with key ${toHex(issuerKeyId)}, which is not here`,
    );
  }
  if (known !== undefined) {
    // Signed after the backup: a second signature over the same bytes would make another certificate of it.
    const id = integer(known, 'id');
    const mark = 'UPDATE issuances SET profile = ?, tbs = ? WHERE id = ?';
    connection.prepare(mark).run(`${lostPrefix}${profile}`, leaf, id);
    connection.prepare('INSERT INTO signatures VALUES (?, ?)').run(id, new Uint8Array(0));
    return true;
  }
  const { lastInsertRowid } = connection
    .prepare(
      `INSERT INTO issuances (id, serial, issuer, profile, holder, key_id, prepared_ms, not_after_ms, tbs)
       VALUES ((SELECT coalesce(max(id), 0) + 1 FROM issuances), ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    // Its key and its end are not known: a name that no key has, and as long as anything lives.
    .run(
      serialNumber,
      issuer,
      `${lostPrefix}${profile}`,
      holder,
      certificateSha256.slice(0, 20),
      atMs,
      noExpirationMs,
      leaf,
    );
  connection
    .prepare('INSERT INTO signatures VALUES (?, ?)')
    .run(lastInsertRowid, new Uint8Array(0));
  return true;
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

function applyStatus(connection: Connection, entry: AuditEntry, leaf: Uint8Array): boolean {
  const change = statusChangeOf(entry, leaf);
  return change !== undefined && changeStatus(connection, change);
}

/** Of devices that other makers certified: what is bound stays bound, what is revoked stays revoked. */
function applyForeign(connection: Connection, entry: AuditEntry): void {
  if (entry.kind === 'foreign-anchor') {
    // Of one that was pinned after the backup the log has no certificate: a person pins it again.
    const { product, certificateSha256, count, atMs } = entry;
    const change =
      count === 0
        ? connection.prepare(`UPDATE foreign_anchors SET retired_ms = ? ${ofAnchor}`)
        : connection.prepare(
            `UPDATE foreign_anchors SET count = max(?, taken), retired_ms = NULL ${ofAnchor}`,
          );
    change.run(count === 0 ? atMs : count, product, certificateSha256);
  }
  if (entry.kind === 'foreign-device') {
    const { deviceId, certificateSha256, anchorSha256, atMs } = entry;
    const { changes } = connection
      .prepare(
        `INSERT OR IGNORE INTO foreign_devices
         SELECT ?, id, ?, ?, ?, NULL FROM foreign_anchors WHERE sha256 = ? ORDER BY id LIMIT 1`,
      )
      .run(deviceId, certificateSha256, certificateSha256.slice(0, 20), atMs, anchorSha256);
    if (changes === 0) return;
    connection
      .prepare(
        `UPDATE foreign_anchors SET taken = min(taken + 1, count)
         WHERE id = (SELECT anchor FROM foreign_devices WHERE device_id = ?)`,
      )
      .run(deviceId);
  }
  if (entry.kind === 'foreign-revoked') {
    connection
      .prepare(
        'UPDATE foreign_devices SET revoked_ms = coalesce(revoked_ms, ?) WHERE device_id = ?',
      )
      .run(entry.atMs, entry.deviceId);
  }
}

const ofAnchor = 'WHERE product = ? AND sha256 = ?';

function raiseNumber(
  connection: Connection,
  { issuerKeyId, shard, number }: Extract<AuditEntry, { readonly kind: 'list-signed' }>,
  { authorities }: Learnt,
): void {
  connection
    .prepare('UPDATE lists SET number = max(number, ?) WHERE authority = ? AND shard = ?')
    .run(number, authorities.get(toHex(issuerKeyId)) ?? '', shard);
}

/** What is on a list and was in no leaf: revoked after the newest of them. */
function applyLists(
  connection: Connection,
  { lists }: Learnt,
  appendLeaf: ReturnType<Connection['prepare']>,
): { readonly fromLists: number; readonly unknownOnLists: number } {
  const isSigned = connection.prepare(
    'SELECT 1 FROM issuances JOIN signatures USING (id) WHERE serial = ?',
  );
  let fromLists = 0;
  let unknownOnLists = 0;
  for (const { authority, number, revoked } of lists) {
    connection
      .prepare('UPDATE lists SET number = max(number, ?) WHERE authority = ?')
      .run(number, authority);
    for (const revocation of revoked) {
      if (isSigned.get(revocation.serialNumber) === undefined) unknownOnLists += 1;
      else if (changeStatus(connection, revocation)) {
        appendLeaf.run(revocation.entry);
        fromLists += 1;
      }
    }
  }
  return { fromLists, unknownOnLists };
}

/**
 * Every list is signed anew, under a number that none had; what was signed before the restore is shown no
 * more. The list of a root stays where no newer one is known of.
 */
function renewLists(connection: Connection, roots: ReadonlySet<string>): void {
  const all = connection.prepare(
    `SELECT lists.id, authority, lists.number, signed_lists.number AS signed
     FROM lists JOIN signed_lists ON list = lists.id`,
  );
  const forget = connection.prepare('DELETE FROM signed_lists WHERE list = ?');
  for (const row of all.all()) {
    const isNewest = row['number'] === row['signed'];
    if (!isNewest || !roots.has(text(row, 'authority'))) forget.run(integer(row, 'id'));
  }
  connection
    .prepare('UPDATE lists SET number = number + ?, revision = revision + 1, due_ms = 0')
    .run(numbersSkipped);
}

/** Devices may know a floor that this database has not heard of. */
function skipGenerations(connection: Connection): void {
  const row = connection
    .prepare('SELECT value FROM settings WHERE name = ?')
    .get(generationsSetting);
  const restored = generationsAfterRestore(row && blob(row, 'value'));
  connection
    .prepare('INSERT OR REPLACE INTO settings VALUES (?, ?)')
    .run(generationsSetting, restored);
}

function requireKnown(
  connection: Connection,
  name: string,
  ledger: ReadonlySet<string>,
  { skippedAddresses }: Learnt,
): void {
  if (ledger.has(name) || skippedAddresses > 0) return;
  if (connection.prepare('SELECT 1 FROM orders WHERE name = ?').get(name) !== undefined) return;
  throw refused(
    `the ledger lacks the order ${name}, of which the log speaks: bring the newest one`,
  );
}

/** No address and no ticket of before is given again: orders of before are over, known or not. */
function endOrders(
  connection: Connection,
  { ledger, nowMs, skippedAddresses, eui64Base }: Learnt,
): Pick<Replayed, 'lostOrders' | 'endedOrders' | 'voidTickets'> {
  let lostOrders = 0;
  for (const line of ledger) {
    if (line.kind === 'order' && insertLostOrder(connection, line)) lostOrders += 1;
  }
  if (skippedAddresses > 0) skipAddresses(connection, skippedAddresses, eui64Base, nowMs);
  const open = connection
    .prepare('SELECT count(*) AS n FROM tickets WHERE closed_ms IS NULL')
    .get();
  const { changes } = connection
    .prepare('UPDATE orders SET ended_ms = ? WHERE ended_ms IS NULL')
    .run(nowMs);
  return {
    lostOrders,
    endedOrders: Number(changes),
    voidTickets: integer(open ?? {}, 'n'),
  };
}

type OrderLine = Extract<LedgerLine, { readonly kind: 'order' }>;

/** False for one that is known, or that was refused when it was asked for. */
function insertLostOrder(connection: Connection, { order, batches }: OrderLine): boolean {
  if (refusedOrder(connection, order, batches) !== undefined) return false;
  insertOrder(connection, order, batches);
  return true;
}

function skipAddresses(
  connection: Connection,
  quantity: number,
  base: Uint8Array,
  createdMs: number,
): void {
  const last = connection.prepare('SELECT max(eui64_last) AS last FROM orders').get()?.['last'];
  const first = last instanceof Uint8Array ? eui64Plus(last, 1) : base;
  if (first === undefined || eui64Plus(first, quantity - 1) === undefined) {
    throw refused(`${quantity} addresses behind the last known one leave the address space`);
  }
  const name = `skipped-${createdMs}`;
  insertLostOrder(connection, {
    kind: 'order',
    order: {
      order: name,
      product: 'none',
      family: 'none',
      profile: 'idevid',
      hwType: '0.0.0',
      partNumber: '',
      quantity,
      leastProof: 'possession',
      eui64First: first,
      serverIdentity: new Uint8Array(0),
      createdMs,
    },
    batches: [{ batch: name, quantity }],
  });
}

function voidGrants(connection: Connection, nowMs: number): number {
  connection
    .prepare(
      `UPDATE enrolment_approvals SET decision = 'denied', decided_by = 'recovery', decided_ms = ?
       WHERE issuance IS NULL`,
    )
    .run(nowMs);
  const { changes } = connection
    .prepare(
      'UPDATE enrolment_secrets SET voided_ms = ? WHERE issuance IS NULL AND voided_ms IS NULL',
    )
    .run(nowMs);
  return Number(changes);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
