/** Changes of status of certificates, inside whatever transaction they belong to: statements are about all. */
import type { Revocation } from '../../../trust/ports/issuanceStore.ts';
import type { Inheritance } from '../../../trust/ports/statusStore.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import { encodeRevokedEntry } from '../../../wire/crl/certificateList.ts';
import { revocationReasons } from '../../../wire/crl/reason.ts';
import { shardOf } from '../../../wire/crl/shard.ts';
import { blob, integer, type Row, text } from '../sqlite/rows.ts';
import { codeOf, follows, issuedBy } from '../sqlite/statusRows.ts';
import { isChange, type StatusOutcome } from '../statements.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';

/** With their leaves. Returns how many changed; throws when nothing of a serial number was signed. */
export async function revokeAll(
  connection: Connection,
  changes: readonly Revocation[],
): Promise<number> {
  const outcomes = await changeStatus(connection, changes);
  const made = changes.filter((_, index) => isChange(outcomes[index]));
  await appendLeaves(
    connection,
    made.map(({ entry }) => entry),
  );
  return made.length;
}

/** Without their leaves. Outcomes are in the order of the changes, each of which follows those before it. */
export async function changeStatus(
  connection: Connection,
  changes: readonly Revocation[],
): Promise<readonly StatusOutcome[]> {
  if (changes.length === 0) return [];
  const rows = await connection.all(
    selectSigned,
    changes.map(({ serialNumber }) => serialNumber),
  );
  const signed = new Map(rows.map((row) => [toHex(blob(row, 'serial')), row]));
  const codes = new Map(rows.map((row) => [row, codeOf(row)]));
  const accepted: Accepted[] = [];
  const outcomes = changes.map((change): StatusOutcome => {
    const row = signed.get(toHex(change.serialNumber));
    if (row === undefined) return 'never-issued';
    if (!follows(codes.get(row), change.code)) return 'unchanged';
    codes.set(row, change.code === 'removeFromCRL' ? undefined : change.code);
    accepted.push({ change, row });
    return 'changed';
  });
  if (accepted.length > 0) await record(connection, accepted);
  return outcomes;
}

interface Accepted {
  readonly change: Revocation;
  /** Of the certificate. */
  readonly row: Row;
}

async function record(connection: Connection, accepted: readonly Accepted[]): Promise<void> {
  const lists = await listsOf(connection, accepted);
  const all = accepted.map((one, index) => ({ ...one, list: lists[index] ?? 0 }));
  // One row a certificate: the last change of each stands.
  const last = new Map(all.map((one) => [one.row, one]));
  const entries = all.filter((one) => last.get(one.row) === one);
  const taken = ({ change }: Accepted): boolean => change.code === 'removeFromCRL';
  await connection.run(
    upsertEntries,
    entries.map(({ list }) => list),
    entries.map(({ row }) => integer(row, 'id')),
    entries.map((one) => (taken(one) ? null : revocationReasons[one.change.code])),
    entries.map(({ change }) => change.atMs),
    entries.map(({ row }) => integer(row, 'not_after_ms')),
    entries.map((one) => (taken(one) ? 0 : 1)),
    entries.map(({ change: { serialNumber, atMs, code } }) =>
      encodeRevokedEntry({ serialNumber, revokedAtMs: atMs, reason: code }),
    ),
  );
  const revoked = entries.filter((one) => !taken(one) && one.change.code !== 'certificateHold');
  if (revoked.length > 0) {
    await connection.run(
      'INSERT INTO revocations SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[])',
      revoked.map(({ row }) => integer(row, 'id')),
      revoked.map(({ change }) => change.reason),
      revoked.map(({ change }) => change.atMs),
    );
  }
  await connection.run(reviseLists, lists);
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

/** Of each. Makes the row of a list when its authority was never given any: one list, complete. */
async function listsOf(
  connection: Connection,
  accepted: readonly Accepted[],
): Promise<readonly number[]> {
  const authorities = accepted.map(({ row }) => text(row, 'issuer'));
  const known = await connection.all(
    'SELECT name, shards FROM authorities WHERE name = ANY ($1::text[])',
    [...new Set(authorities)],
  );
  const shards = new Map(known.map((row) => [text(row, 'name'), integer(row, 'shards')]));
  for (const authority of authorities) {
    if (shards.has(authority)) continue;
    await insertLists(connection, authority, 1, null);
    shards.set(authority, 1);
  }
  const rows = await connection.all(
    selectLists,
    authorities,
    accepted.map(({ change }, index) =>
      shardOf(change.serialNumber, shards.get(authorities[index] ?? '') ?? 1),
    ),
  );
  return rows.map((row) => integer(row, 'id'));
}

const selectSigned = `
  SELECT serial, issuances.id, issuer, issuances.not_after_ms, code
  FROM issuances JOIN signatures USING (id)
  LEFT JOIN list_entries ON certificate = issuances.id
  WHERE serial = ANY ($1::bytea[])`;

const selectLists = `
  SELECT lists.id
  FROM unnest($1::text[], $2::integer[]) WITH ORDINALITY AS one (authority, shard, number)
  LEFT JOIN lists USING (authority, shard) ORDER BY one.number`;

const reviseLists = `
  UPDATE lists SET revision = revision + changes
  FROM (SELECT list, count(*) AS changes FROM unnest($1::bigint[]) AS one (list) GROUP BY list) AS all_of
  WHERE lists.id = list`;

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

const upsertEntries = `
  INSERT INTO list_entries (list, certificate, change, code, at_ms, not_after_ms, listed, entry)
  SELECT list, certificate, (SELECT coalesce(max(change), 0) FROM list_entries) + number,
    code, at_ms, not_after_ms, listed, entry
  FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::bigint[], $5::bigint[], $6::integer[],
    $7::bytea[])
    WITH ORDINALITY AS one (list, certificate, code, at_ms, not_after_ms, listed, entry, number)
  ON CONFLICT (certificate) DO UPDATE SET
    change = excluded.change, code = excluded.code, at_ms = excluded.at_ms,
    listed = excluded.listed, entry = excluded.entry`;
