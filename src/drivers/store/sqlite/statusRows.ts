/** One certificate's change of status, inside whatever transaction it belongs to. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import type { Revocation } from '../../../trust/ports/issuanceStore.ts';
import type { Inheritance } from '../../../trust/ports/statusStore.ts';
import { concat } from '../../../wire/bytes/bytes.ts';
import { encodeRevokedEntry } from '../../../wire/crl/certificateList.ts';
import { reasonOf, type RevocationReason, revocationReasons } from '../../../wire/crl/reason.ts';
import { shardOf } from '../../../wire/crl/shard.ts';
import type { StatusOutcome } from '../statements.ts';
import type { Connection } from './database.ts';
import { integer, optionalInteger, type Row, text } from './rows.ts';

/** Without its leaf. */
export function changeStatus(connection: Connection, change: Revocation): StatusOutcome {
  const { serialNumber, code, reason, atMs } = change;
  const signed = connection.prepare(selectSigned).get(serialNumber);
  if (signed === undefined) return 'never-issued';
  const id = integer(signed, 'id');
  if (!follows(codeOf(signed), code)) return 'unchanged';
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
  return 'changed';
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

/** Gives the authority what its key has issued under the name of another one. */
export function inherit(connection: Connection, authority: string, inheritance: Inheritance): void {
  const { from, keyIdentifier } = inheritance;
  // Nothing is older than the certificate of the key itself: a new one inherits nothing.
  const certified = connection.prepare(selectFirst).get(keyIdentifier);
  if (certified === undefined) return;
  const [inDer, inCbor] = issuedBy(inheritance);
  connection.prepare(takeIssuances).run(authority, from, integer(certified, 'id'), inDer, inCbor);
  connection.prepare(moveEntries).run(authority, from, authority);
  connection.prepare(takeNumbers).run(from, authority);
  connection
    .prepare('UPDATE lists SET revision = revision + 1 WHERE authority IN (?, ?)')
    .run(authority, from);
}

/**
 * What the signed part of a certificate has in it that this key issued, as X.509 and as C509: the key
 * identifier behind the header that it has in authorityKeyIdentifier alone. The subject's own, as in a
 * link between two keys, has another in DER; what is native is a device's.
 */
export function issuedBy({ keyIdentifier }: Inheritance): readonly [Uint8Array, Uint8Array] {
  const size = keyIdentifier.length;
  return [
    concat(Uint8Array.of(0x80, size), keyIdentifier),
    concat(Uint8Array.of(0x40 | size), keyIdentifier),
  ];
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

const selectFirst =
  'SELECT id FROM issuances WHERE key_id = ? AND holder IS NOT NULL ORDER BY id LIMIT 1';

const takeIssuances = `
  UPDATE issuances SET issuer = ?
  WHERE issuer = ? AND id > ? AND (instr(tbs, ?) > 0 OR instr(tbs, ?) > 0)`;

const moveEntries = `
  UPDATE list_entries SET list = (
    SELECT own.id FROM lists JOIN lists AS own USING (shard)
    WHERE lists.id = list_entries.list AND own.authority = ?)
  WHERE list IN (SELECT id FROM lists WHERE authority = ?)
    AND certificate IN (SELECT id FROM issuances WHERE issuer = ?)`;

// RFC 5280 §5.2.3: its key has signed the lists of the other one, whose numbers go on.
const takeNumbers = `
  UPDATE lists SET number = (
    SELECT other.number FROM lists AS other WHERE other.authority = ? AND other.shard = lists.shard)
  WHERE authority = ?`;

const upsertEntry = `
  INSERT INTO list_entries (list, certificate, change, code, at_ms, not_after_ms, listed, entry)
  VALUES (?, ?, (SELECT coalesce(max(change), 0) + 1 FROM list_entries), ?, ?, ?, ?, ?)
  ON CONFLICT (certificate) DO UPDATE SET
    change = excluded.change, code = excluded.code, at_ms = excluded.at_ms,
    listed = excluded.listed, entry = excluded.entry`;
