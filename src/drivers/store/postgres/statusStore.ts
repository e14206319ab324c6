/** Status and lists on PostgreSQL. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import type {
  AuthorityLists,
  CertificateStatus,
  DevicePageOfSelection,
  EntryPage,
  Inheritance,
  ListName,
  ListSummary,
  PendingList,
  SignedList,
  StatusChangeNote,
  StatusStore,
  UnitSelection,
} from '../../../trust/ports/statusStore.ts';
import { concat } from '../../../wire/bytes/bytes.ts';
import { blob, integer, text } from '../sqlite/rows.ts';
import {
  entryOf,
  listsOf,
  pendingOf,
  selectSummary,
  statusOf,
  summaryOf,
} from '../sqlite/statusStore.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';
import { devicesOf, isKnown, selected } from './selection.ts';
import { inherit, insertLists } from './statusRows.ts';

export class PostgresStatusStore implements StatusStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  createLists(lists: AuthorityLists, inheritance?: Inheritance): Promise<AuthorityLists> {
    const { authority, shards, baseUrl } = lists;
    return this.#database.transact(async (connection) => {
      const known = await connection.first('SELECT * FROM authorities WHERE name = $1', authority);
      if (known !== undefined) return listsOf(known);
      await insertLists(connection, authority, shards, baseUrl ?? null);
      if (inheritance !== undefined) await inherit(connection, authority, inheritance);
      return lists;
    });
  }

  authorityLists(): Promise<readonly AuthorityLists[]> {
    return this.#database.read(async (connection) =>
      (await connection.all('SELECT * FROM authorities ORDER BY name')).map(listsOf),
    );
  }

  async pendingLists(
    authorities: readonly string[],
    nowMs: number,
  ): Promise<readonly PendingList[]> {
    await this.#encodeMissing();
    return this.#database.read(async (connection) =>
      (await connection.all(selectPending, authorities, nowMs)).map((row) => pendingOf(row, nowMs)),
    );
  }

  takeNumber(listId: number): Promise<number> {
    const sql = 'UPDATE lists SET number = number + 1 WHERE id = $1 RETURNING number';
    return this.#database.transact(async (connection) =>
      integer((await connection.first(sql, listId)) ?? {}, 'number'),
    );
  }

  lastChange(): Promise<number> {
    const sql = 'SELECT coalesce(max(change), 0) AS change FROM list_entries';
    return this.#database.read(async (connection) =>
      integer((await connection.first(sql)) ?? {}, 'change'),
    );
  }

  entries(listId: number, after: number, limit: number): Promise<EntryPage> {
    return this.#database.read(async (connection) => {
      const row = (await connection.first(selectEntries, listId, after, limit)) ?? {};
      const count = integer(row, 'entries');
      if (count === 0) return { entries: concat(), count, next: undefined };
      const next = count < limit ? undefined : integer(row, 'last');
      return { entries: blob(row, 'joined'), count, next };
    });
  }

  saveList(list: SignedList): Promise<void> {
    return this.#database.transact((connection) => saveList(connection, list));
  }

  list({ authority, shard }: ListName): Promise<(ListSummary & { der: Uint8Array }) | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(selectList, authority, shard);
      return row === undefined ? undefined : { ...summaryOf(row), der: blob(row, 'der') };
    });
  }

  lastPublication(): Promise<number> {
    const sql = 'SELECT coalesce(max(publication), 0) AS publication FROM signed_lists';
    return this.#database.read(async (connection) =>
      integer((await connection.first(sql)) ?? {}, 'publication'),
    );
  }

  listsAfter(publication: number, limit: number): Promise<readonly ListSummary[]> {
    const sql = `${selectSummary} WHERE publication > $1 ORDER BY publication LIMIT $2`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, publication, limit)).map(summaryOf),
    );
  }

  statusOf(serialNumber: Uint8Array): Promise<CertificateStatus | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(selectStatus, serialNumber);
      return row === undefined
        ? undefined
        : { authority: text(row, 'issuer'), holder: text(row, 'holder'), status: statusOf(row) };
    });
  }

  changesAfter(change: number, limit: number): Promise<readonly StatusChangeNote[]> {
    return this.#database.read(async (connection) =>
      (await connection.all(selectChanges, change, limit)).map((row) => ({
        change: integer(row, 'change'),
        holder: text(row, 'holder'),
      })),
    );
  }

  devicesOf(
    selection: UnitSelection,
    after: string | undefined,
    limit: number,
  ): Promise<DevicePageOfSelection> {
    return this.#database.read((connection) => devicesOf(connection, selection, after, limit));
  }

  isKnown(selection: UnitSelection): Promise<boolean> {
    return this.#database.read((connection) => isKnown(connection, selection));
  }

  selected(
    selection: UnitSelection,
    deviceIds: readonly string[],
  ): Promise<ReadonlyMap<string, boolean>> {
    return this.#database.read((connection) => selected(connection, selection, deviceIds));
  }

  /** Entries that were copied from a store that had not encoded them yet. */
  async #encodeMissing(): Promise<void> {
    for (;;) {
      const rows = await this.#database.read((connection) =>
        connection.all(selectUnencoded, missingPage),
      );
      if (rows.length === 0) return;
      await this.#database.transact((connection) =>
        connection.run(
          updateEncoded,
          rows.map((row) => integer(row, 'certificate')),
          rows.map(entryOf),
        ),
      );
    }
  }
}

const missingPage = 1_000;

const selectUnencoded = `
  SELECT certificate, serial, code, at_ms
  FROM list_entries JOIN issuances ON issuances.id = certificate
  WHERE entry IS NULL ORDER BY certificate LIMIT $1`;

const updateEncoded = `
  UPDATE list_entries SET entry = encoded.entry
  FROM unnest($1::bigint[], $2::bytea[]) AS encoded (certificate, entry)
  WHERE list_entries.certificate = encoded.certificate`;

const selectPending = `
  SELECT * FROM lists
  WHERE authority = ANY ($1::text[]) AND (revision > listed_revision OR due_ms <= $2) ORDER BY id`;

// Joined by the server: to hand over a million small arrays would take many times as long.
const selectEntries = `
  SELECT count(*) AS entries, max(certificate) AS last, string_agg(entry, '' ORDER BY certificate) AS joined
  FROM (
    SELECT certificate, entry FROM list_entries
    WHERE list = $1 AND listed = 1 AND certificate > $2 ORDER BY certificate LIMIT $3
  ) AS page`;

const selectList = `
  SELECT authority, shard, signed_lists.number, this_update_ms, next_update_ms, entries, publication,
         der
  FROM signed_lists JOIN lists ON lists.id = list WHERE authority = $1 AND shard = $2`;

const selectStatus = `
  SELECT issuer, coalesce(holder, device_id) AS holder, code, list_entries.at_ms
  FROM issuances
  JOIN signatures USING (id)
  LEFT JOIN units USING (id)
  LEFT JOIN list_entries ON certificate = issuances.id
  WHERE serial = $1`;

const selectChanges = `
  SELECT change, coalesce(holder, device_id) AS holder
  FROM list_entries
  JOIN issuances ON issuances.id = certificate
  LEFT JOIN units ON units.id = certificate
  WHERE change > $1 ORDER BY change LIMIT $2`;

const replaceList = `
  INSERT INTO signed_lists
  VALUES ($1, (SELECT coalesce(max(publication), 0) + 1 FROM signed_lists), $2, $3, $4, $5, $6)
  ON CONFLICT (list) DO UPDATE SET
    publication = excluded.publication, number = excluded.number,
    this_update_ms = excluded.this_update_ms, next_update_ms = excluded.next_update_ms,
    entries = excluded.entries, der = excluded.der`;

async function saveList(connection: Connection, list: SignedList): Promise<void> {
  const { id, number, thisUpdateMs, nextUpdateMs, nextRegularMs, count, der } = list;
  const stored = await connection.first('SELECT number FROM signed_lists WHERE list = $1', id);
  if (stored !== undefined && integer(stored, 'number') >= number) {
    throw new InvariantError('a list with a number that is not above the last one');
  }
  await connection.run(replaceList, id, number, thisUpdateMs, nextUpdateMs, count, der);
  await connection.run(
    'UPDATE lists SET listed_revision = $1, due_ms = coalesce($2, due_ms) WHERE id = $3',
    list.revision,
    nextRegularMs ?? null,
    id,
  );
  if (nextRegularMs !== undefined) {
    await connection.run(
      `UPDATE list_entries SET listed = 0
       WHERE list = $1 AND listed = 1 AND not_after_ms < $2 AND change <= $3`,
      id,
      thisUpdateMs,
      list.lastChange,
    );
  }
  await appendLeaves(connection, [list.entry]);
}
