/** One certificate's change of status, inside whatever transaction it belongs to. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import type { Revocation } from '../../../trust/ports/issuanceStore.ts';
import { encodeRevokedEntry } from '../../../wire/crl/certificateList.ts';
import { reasonOf, type RevocationReason, revocationReasons } from '../../../wire/crl/reason.ts';
import { shardOf } from '../../../wire/crl/shard.ts';
import type { Connection } from './database.ts';
import { integer, optionalInteger, type Row, text } from './rows.ts';

/**
 * False when it changes nothing: what is revoked stays revoked, what is held can only be revoked or taken
 * back. Throws when nothing of that serial number was signed.
 */
export function changeStatus(connection: Connection, change: Revocation): boolean {
  const { serialNumber, code, reason, atMs } = change;
  const signed = connection.prepare(selectSigned).get(serialNumber);
  if (signed === undefined) throw new InvariantError('a new status for what was never issued');
  const id = integer(signed, 'id');
  if (!follows(codeOf(signed), code)) return false;
  const list = listOf(connection, text(signed, 'issuer'), serialNumber);
  const taken = code === 'removeFromCRL';
  connection
    .prepare(upsertEntry)
    .run(
      list,
      id,
      taken ? null : revocationReasons[code],
      atMs,
      integer(signed, 'not_after_ms'),
      taken ? 0 : 1,
      encodeRevokedEntry({ serialNumber, revokedAtMs: atMs, reason: code }),
    );
  if (!taken && code !== 'certificateHold') {
    connection.prepare('INSERT INTO revocations VALUES (?, ?, ?)').run(id, reason, atMs);
  }
  connection.prepare('UPDATE lists SET revision = revision + 1 WHERE id = ?').run(list);
  return true;
}

/** CRLReason of a row with that column; `undefined` for a certificate that is good. */
export function codeOf(row: Row): RevocationReason | undefined {
  const code = optionalInteger(row, 'code');
  if (code === undefined) return undefined;
  return reasonOf(code) ?? unknownCode(code);
}

/** Makes the row of a list when its authority was never given any: one list, complete. */
function listOf(connection: Connection, authority: string, serialNumber: Uint8Array): number {
  const select = connection.prepare('SELECT shards FROM authorities WHERE name = ?');
  const known = select.get(authority);
  if (known === undefined) insertLists(connection, authority, 1, null);
  const shards = known === undefined ? 1 : integer(known, 'shards');
  const list = connection
    .prepare('SELECT id FROM lists WHERE authority = ? AND shard = ?')
    .get(authority, shardOf(serialNumber, shards));
  return integer(list ?? {}, 'id');
}

export function insertLists(
  connection: Connection,
  authority: string,
  shards: number,
  baseUrl: string | null,
): void {
  connection.prepare('INSERT INTO authorities VALUES (?, ?, ?)').run(authority, shards, baseUrl);
  const insert = connection.prepare('INSERT INTO lists (authority, shard) VALUES (?, ?)');
  for (let shard = 0; shard < shards; shard++) insert.run(authority, shard);
}

export function follows(present: RevocationReason | undefined, next: RevocationReason): boolean {
  if (next === 'removeFromCRL') return present === 'certificateHold';
  if (next === 'certificateHold') return present === undefined;
  return present === undefined || present === 'certificateHold';
}

function unknownCode(code: number): never {
  throw new InvariantError(`${code} is no reason of a revocation`);
}

const selectSigned = `
  SELECT issuances.id, issuer, issuances.not_after_ms, code
  FROM issuances JOIN signatures USING (id)
  LEFT JOIN list_entries ON certificate = issuances.id
  WHERE serial = ?`;

const upsertEntry = `
  INSERT INTO list_entries (list, certificate, change, code, at_ms, not_after_ms, listed, entry)
  VALUES (?, ?, (SELECT coalesce(max(change), 0) + 1 FROM list_entries), ?, ?, ?, ?, ?)
  ON CONFLICT (certificate) DO UPDATE SET
    change = excluded.change, code = excluded.code, at_ms = excluded.at_ms,
    listed = excluded.listed, entry = excluded.entry`;
