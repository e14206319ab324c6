/** One certificate's change of status, inside whatever transaction it belongs to. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import type { Revocation } from '../../../trust/ports/issuanceStore.ts';
import type { Inheritance } from '../../../trust/ports/statusStore.ts';
import { encodeRevokedEntry } from '../../../wire/crl/certificateList.ts';
import { revocationReasons } from '../../../wire/crl/reason.ts';
import { shardOf } from '../../../wire/crl/shard.ts';
import { integer, text } from '../sqlite/rows.ts';
import { codeOf, follows, issuedBy } from '../sqlite/statusRows.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';

/** Whether anything changed, with its leaf. Throws when nothing of that serial number was signed. */
export async function revokeOne(connection: Connection, change: Revocation): Promise<boolean> {
  if (!(await changeStatus(connection, change))) return false;
  await appendLeaves(connection, [change.entry]);
  return true;
}

/** Without its leaf. */
export async function changeStatus(connection: Connection, change: Revocation): Promise<boolean> {
  const { serialNumber, code, reason, atMs } = change;
  const signed = await connection.first(selectSigned, serialNumber);
  if (signed === undefined) throw new InvariantError('a new status for what was never issued');
  if (!follows(codeOf(signed), code)) return false;
  const id = integer(signed, 'id');
  const list = await listOf(connection, text(signed, 'issuer'), serialNumber);
  const taken = code === 'removeFromCRL';
  await connection.run(
    upsertEntry,
    list,
    id,
    taken ? null : revocationReasons[code],
    atMs,
    integer(signed, 'not_after_ms'),
    taken ? 0 : 1,
    encodeRevokedEntry({ serialNumber, revokedAtMs: atMs, reason: code }),
  );
  if (!taken && code !== 'certificateHold') {
    await connection.run('INSERT INTO revocations VALUES ($1, $2, $3)', id, reason, atMs);
  }
  await connection.run('UPDATE lists SET revision = revision + 1 WHERE id = $1', list);
  return true;
}

export async function insertLists(
  connection: Connection,
  authority: string,
  shards: number,
  baseUrl: string | null,
): Promise<void> {
  await connection.run('INSERT INTO authorities VALUES ($1, $2, $3)', authority, shards, baseUrl);
  await connection.run(
    `INSERT INTO lists (authority, shard)
     SELECT $1, shard FROM generate_series(0, $2::integer - 1) AS shard`,
    authority,
    shards,
  );
}

/** Gives the authority what its key has issued under the name of another one. */
export async function inherit(
  connection: Connection,
  authority: string,
  inheritance: Inheritance,
): Promise<void> {
  const { from, keyIdentifier } = inheritance;
  // Nothing is older than the certificate of the key itself: a new one inherits nothing.
  const certified = await connection.first(selectFirst, keyIdentifier);
  if (certified === undefined) return;
  const [inDer, inCbor] = issuedBy(inheritance);
  await connection.run(takeIssuances, authority, from, integer(certified, 'id'), inDer, inCbor);
  await connection.run(moveEntries, authority, from);
  await connection.run(takeNumbers, authority, from);
  await connection.run(
    'UPDATE lists SET revision = revision + 1 WHERE authority IN ($1, $2)',
    authority,
    from,
  );
}

/** Makes the row of a list when its authority was never given any: one list, complete. */
async function listOf(
  connection: Connection,
  authority: string,
  serialNumber: Uint8Array,
): Promise<number> {
  const known = await connection.first('SELECT shards FROM authorities WHERE name = $1', authority);
  if (known === undefined) await insertLists(connection, authority, 1, null);
  const shards = known === undefined ? 1 : integer(known, 'shards');
  const list = await connection.first(
    'SELECT id FROM lists WHERE authority = $1 AND shard = $2',
    authority,
    shardOf(serialNumber, shards),
  );
  return integer(list ?? {}, 'id');
}

const selectSigned = `
  SELECT issuances.id, issuer, issuances.not_after_ms, code
  FROM issuances JOIN signatures USING (id)
  LEFT JOIN list_entries ON certificate = issuances.id
  WHERE serial = $1`;

const selectFirst =
  'SELECT id FROM issuances WHERE key_id = $1 AND holder IS NOT NULL ORDER BY id LIMIT 1';

const takeIssuances = `
  UPDATE issuances SET issuer = $1
  WHERE issuer = $2 AND id > $3
    AND (position($4::bytea IN tbs) > 0 OR position($5::bytea IN tbs) > 0)`;

const moveEntries = `
  UPDATE list_entries SET list = own.id
  FROM lists, lists AS own, issuances
  WHERE lists.id = list AND lists.authority = $2 AND own.authority = $1 AND own.shard = lists.shard
    AND issuances.id = certificate AND issuer = $1`;

// RFC 5280 §5.2.3: its key has signed the lists of the other one, whose numbers go on.
const takeNumbers = `
  UPDATE lists SET number = other.number
  FROM lists AS other
  WHERE lists.authority = $1 AND other.authority = $2 AND other.shard = lists.shard`;

const upsertEntry = `
  INSERT INTO list_entries (list, certificate, change, code, at_ms, not_after_ms, listed, entry)
  VALUES ($1, $2, (SELECT coalesce(max(change), 0) + 1 FROM list_entries), $3, $4, $5, $6, $7)
  ON CONFLICT (certificate) DO UPDATE SET
    change = excluded.change, code = excluded.code, at_ms = excluded.at_ms,
    listed = excluded.listed, entry = excluded.entry`;
