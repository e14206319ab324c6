/** Status and lists on SQLite. */
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
import { encodeRevokedEntry } from '../../../wire/crl/certificateList.ts';
import type { CertStatus } from '../../../wire/ocsp/response.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { blob, integer, optionalText, type Row, text } from './rows.ts';
import { devicesOf, isKnown, selected } from './selection.ts';
import { codeOf, inherit, insertLists } from './statusRows.ts';

export class SqliteStatusStore implements StatusStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  createLists(lists: AuthorityLists, inheritance?: Inheritance): Promise<AuthorityLists> {
    return this.#database.transact((connection) => {
      const known = connection
        .prepare('SELECT * FROM authorities WHERE name = ?')
        .get(lists.authority);
      if (known !== undefined) return listsOf(known);
      insertLists(connection, lists.authority, lists.shards, lists.baseUrl ?? null);
      if (inheritance !== undefined) inherit(connection, lists.authority, inheritance);
      return lists;
    });
  }

  authorityLists(): Promise<readonly AuthorityLists[]> {
    return this.#database.read((connection) =>
      connection.prepare('SELECT * FROM authorities ORDER BY name').all().map(listsOf),
    );
  }

  async pendingLists(
    authorities: readonly string[],
    nowMs: number,
  ): Promise<readonly PendingList[]> {
    await this.#encodeMissing();
    return this.#database.read((connection) =>
      connection
        .prepare('SELECT * FROM lists WHERE revision > listed_revision OR due_ms <= ? ORDER BY id')
        .all(nowMs)
        .map((row) => pendingOf(row, nowMs))
        .filter(({ authority }) => authorities.includes(authority)),
    );
  }

  takeNumber(listId: number): Promise<number> {
    return this.#database.transact((connection) => {
      const row = connection
        .prepare('UPDATE lists SET number = number + 1 WHERE id = ? RETURNING number')
        .get(listId);
      return integer(row ?? {}, 'number');
    });
  }

  lastChange(): Promise<number> {
    return this.#database.read((connection) => {
      const row = connection
        .prepare('SELECT coalesce(max(change), 0) AS change FROM list_entries')
        .get();
      return integer(row ?? {}, 'change');
    });
  }

  entries(listId: number, after: number, limit: number): Promise<EntryPage> {
    return this.#database.read((connection) => {
      const row = connection.prepare(selectEntries).get(listId, after, limit) ?? {};
      const count = integer(row, 'entries');
      if (count === 0) return { entries: new Uint8Array(0), count, next: undefined };
      return {
        entries: blob(row, 'joined'),
        count,
        next: count < limit ? undefined : integer(row, 'last'),
      };
    });
  }

  saveList(list: SignedList): Promise<void> {
    return this.#database.transact((connection) => saveList(connection, list));
  }

  list({ authority, shard }: ListName): Promise<(ListSummary & { der: Uint8Array }) | undefined> {
    return this.#database.read((connection) => {
      const row = connection
        .prepare(`SELECT ${summaryColumns}, der ${fromLists} WHERE authority = ? AND shard = ?`)
        .get(authority, shard);
      return row === undefined ? undefined : { ...summaryOf(row), der: blob(row, 'der') };
    });
  }

  lastPublication(): Promise<number> {
    return this.#database.read((connection) => {
      const row = connection
        .prepare('SELECT coalesce(max(publication), 0) AS publication FROM signed_lists')
        .get();
      return integer(row ?? {}, 'publication');
    });
  }

  listsAfter(publication: number, limit: number): Promise<readonly ListSummary[]> {
    const sql = `${selectSummary} WHERE publication > ? ORDER BY publication LIMIT ?`;
    return this.#database.read((connection) =>
      connection.prepare(sql).all(publication, limit).map(summaryOf),
    );
  }

  statusOf(serialNumber: Uint8Array): Promise<CertificateStatus | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare(selectStatus).get(serialNumber);
      return row === undefined
        ? undefined
        : { authority: text(row, 'issuer'), holder: text(row, 'holder'), status: statusOf(row) };
    });
  }

  changesAfter(change: number, limit: number): Promise<readonly StatusChangeNote[]> {
    return this.#database.read((connection) =>
      connection
        .prepare(selectChanges)
        .all(change, limit)
        .map((row) => ({ change: integer(row, 'change'), holder: text(row, 'holder') })),
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

  /** Revocations of before there were lists. */
  async #encodeMissing(): Promise<void> {
    for (;;) {
      const rows = await this.#database.read((connection) =>
        connection.prepare(selectUnencoded).all(missingPage),
      );
      if (rows.length === 0) return;
      await this.#database.transact((connection) => {
        const update = connection.prepare(
          'UPDATE list_entries SET entry = ? WHERE certificate = ?',
        );
        for (const row of rows) update.run(entryOf(row), integer(row, 'certificate'));
      });
    }
  }
}

const missingPage = 1_000;

const selectUnencoded = `
  SELECT certificate, serial, code, at_ms
  FROM list_entries JOIN issuances ON issuances.id = certificate
  WHERE entry IS NULL ORDER BY certificate LIMIT ?`;

// Joined by SQLite: to hand over a million small arrays would take six times as long. It joins text, and
// text is whatever bytes it was given; that nothing happened to them is seen before they are signed.
const selectEntries = `
  SELECT count(*) AS entries, max(certificate) AS last,
    CAST(group_concat(entry, '') AS BLOB) AS joined
  FROM (
    SELECT certificate, entry FROM list_entries
    WHERE list = ? AND listed = 1 AND certificate > ? ORDER BY certificate LIMIT ?
  )`;

const summaryColumns = `
  authority, shard, signed_lists.number, this_update_ms, next_update_ms, entries, publication`;
const fromLists = 'FROM signed_lists JOIN lists ON lists.id = list';
export const selectSummary: string = `SELECT ${summaryColumns} ${fromLists}`;

const selectStatus = `
  SELECT issuer, code, list_entries.at_ms,
    coalesce(holder, (SELECT device_id FROM units WHERE units.id = issuances.id)) AS holder
  FROM issuances
  JOIN signatures USING (id)
  LEFT JOIN list_entries ON certificate = issuances.id
  WHERE serial = ?`;

const selectChanges = `
  SELECT change, coalesce(holder, device_id) AS holder
  FROM list_entries
  JOIN issuances ON issuances.id = certificate
  LEFT JOIN units ON units.id = certificate
  WHERE change > ? ORDER BY change LIMIT ?`;

function saveList(connection: Connection, list: SignedList): void {
  const { id, number, thisUpdateMs, nextUpdateMs, nextRegularMs, count, der } = list;
  const stored = connection.prepare('SELECT number FROM signed_lists WHERE list = ?').get(id);
  if (stored !== undefined && integer(stored, 'number') >= number) {
    throw new InvariantError('a list with a number that is not above the last one');
  }
  connection
    .prepare(
      `INSERT OR REPLACE INTO signed_lists
       VALUES (?, (SELECT coalesce(max(publication), 0) + 1 FROM signed_lists), ?, ?, ?, ?, ?)`,
    )
    .run(id, number, thisUpdateMs, nextUpdateMs, count, der);
  connection
    .prepare('UPDATE lists SET listed_revision = ?, due_ms = coalesce(?, due_ms) WHERE id = ?')
    .run(list.revision, nextRegularMs ?? null, id);
  if (nextRegularMs !== undefined) {
    connection
      .prepare(
        `UPDATE list_entries SET listed = 0
         WHERE list = ? AND listed = 1 AND not_after_ms < ? AND change <= ?`,
      )
      .run(id, thisUpdateMs, list.lastChange);
  }
  connection.prepare(appendLeaf).run(list.entry);
}

export function listsOf(row: Row): AuthorityLists {
  return {
    authority: text(row, 'name'),
    shards: integer(row, 'shards'),
    baseUrl: optionalText(row, 'base_url'),
  };
}

export function pendingOf(row: Row, nowMs: number): PendingList {
  return {
    id: integer(row, 'id'),
    authority: text(row, 'authority'),
    shard: integer(row, 'shard'),
    revision: integer(row, 'revision'),
    regular: integer(row, 'due_ms') <= nowMs,
  };
}

export function summaryOf(row: Row): ListSummary {
  return {
    authority: text(row, 'authority'),
    shard: integer(row, 'shard'),
    number: integer(row, 'number'),
    thisUpdateMs: integer(row, 'this_update_ms'),
    nextUpdateMs: integer(row, 'next_update_ms'),
    count: integer(row, 'entries'),
    publication: integer(row, 'publication'),
  };
}

export function statusOf(row: Row): CertStatus {
  const reason = codeOf(row);
  if (reason === undefined) return { kind: 'good' };
  return { kind: 'revoked', revokedAtMs: integer(row, 'at_ms'), reason };
}

export function entryOf(row: Row): Uint8Array {
  const serialNumber = blob(row, 'serial');
  return encodeRevokedEntry({
    serialNumber,
    revokedAtMs: integer(row, 'at_ms'),
    reason: codeOf(row),
  });
}
