/** The journal of a station in SQLite: one row a unit, replaced whole, group-committed. */
import { DatabaseSync, type SQLInputValue } from 'node:sqlite';
import type {
  JournalCounts,
  LockedUnit,
  LockingUnit,
  Page,
  ReportState,
  RequestedUnit,
  ScrappedUnit,
  StationJournal,
  TakenValue,
  UnitKeys,
  UnitRecord,
  UnitStage,
} from '../../../trust/ports/stationJournal.ts';
import { type Connection, SqliteDatabase } from './database.ts';
import { environmentFault } from './faults.ts';
import type { Migration } from './migrations.ts';
import { blob, integer, optionalBlob, optionalText, type Row, text, word } from './rows.ts';

export interface OpenedJournal {
  readonly journal: StationJournal;
  readonly close: () => void;
}

/** Throws an `EnvironmentError`, also when another station has the file open. */
export function openStationJournal(path: string): OpenedJournal {
  const database = new SqliteDatabase({ path, migrations, cacheMebibytes: 16 });
  return {
    journal: {
      find: (family, uid) => database.read((connection) => find(connection, family, uid)),
      put: (record) => database.transact((connection) => put(connection, record)),
      counts: (ticketId) => database.read((connection) => counts(connection, ticketId)),
      reportsDue: (ticketId, page) =>
        database.read((connection) => reportsDue(connection, ticketId, page)),
      unfinished: (ticketId, page) =>
        database.read((connection) => unfinished(connection, ticketId, page)),
    },
    close: () => database.close(),
  };
}

/** A ticket that the journal has units of. */
export interface JournalTicket {
  readonly ticketId: Uint8Array;
  readonly counts: JournalCounts;
}

/**
 * What a journal says at the moment, also while its station is running. Throws an `EnvironmentError` when
 * there is none or it cannot be read.
 */
export function readStationJournal(path: string): readonly JournalTicket[] {
  const connection = openReadOnly(path);
  try {
    return connection
      .prepare('SELECT DISTINCT ticket_id FROM unit ORDER BY ticket_id')
      .all()
      .map((row) => {
        const ticketId = blob(row, 'ticket_id');
        return { ticketId, counts: counts(connection, ticketId) };
      });
  } finally {
    connection.close();
  }
}

function openReadOnly(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { readOnly: true, timeout: 5_000 });
  } catch (error) {
    throw environmentFault(error, `cannot open ${path}`);
  }
}

const migrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE unit (
        family TEXT NOT NULL,
        uid BLOB NOT NULL,
        ticket_id BLOB NOT NULL,
        stage TEXT NOT NULL,
        sign_key BLOB UNIQUE,
        agree_key BLOB UNIQUE,
        device_id TEXT UNIQUE,
        eui64 BLOB UNIQUE,
        note TEXT,
        report TEXT,
        PRIMARY KEY (family, uid)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX unit_of_ticket ON unit (ticket_id, stage, uid);
      CREATE INDEX unit_to_report ON unit (ticket_id, uid) WHERE report = 'due';
    `,
  },
];

const stages: readonly UnitStage[] = ['met', 'requested', 'locking', 'locked', 'scrapped'];
const reportStates: readonly ReportState[] = ['due', 'accepted', 'not-issued'];

const columns =
  'family, uid, ticket_id, stage, sign_key, agree_key, device_id, eui64, note, report';

function find(connection: Connection, family: string, uid: Uint8Array): UnitRecord | undefined {
  const row = connection
    .prepare(`SELECT ${columns} FROM unit WHERE family = ? AND uid = ?`)
    .get(family, uid);
  return row === undefined ? undefined : recordOf(row);
}

function put(connection: Connection, record: UnitRecord): TakenValue | undefined {
  const values = valuesOf(record);
  const { family, uid, sign_key, agree_key, device_id, eui64 } = values;
  const unique: ReadonlyArray<readonly [TakenValue, string, SQLInputValue]> = [
    ['sign-key', 'sign_key', sign_key],
    ['agree-key', 'agree_key', agree_key],
    ['device-id', 'device_id', device_id],
    ['eui64', 'eui64', eui64],
  ];
  for (const [name, column, value] of unique) {
    if (value === null) continue;
    const other = connection
      .prepare(`SELECT 1 FROM unit WHERE ${column} = ? AND NOT (family = ? AND uid = ?)`)
      .get(value, family, uid);
    if (other !== undefined) return name;
  }
  connection
    .prepare(
      `INSERT INTO unit (${columns})
       VALUES (:family, :uid, :ticket_id, :stage, :sign_key, :agree_key, :device_id, :eui64, :note, :report)
       ON CONFLICT (family, uid) DO UPDATE SET
         ticket_id = :ticket_id, stage = :stage, sign_key = :sign_key, agree_key = :agree_key,
         device_id = :device_id, eui64 = :eui64, note = :note, report = :report`,
    )
    .run(values);
  return undefined;
}

function counts(connection: Connection, ticketId: Uint8Array): JournalCounts {
  const found: Record<UnitStage, number> = {
    met: 0,
    requested: 0,
    locking: 0,
    locked: 0,
    scrapped: 0,
  };
  const rows = connection
    .prepare('SELECT stage, count(*) AS units FROM unit WHERE ticket_id = ? GROUP BY stage')
    .all(ticketId);
  for (const row of rows) found[word(row, 'stage', stages)] = integer(row, 'units');
  const count = (condition: string): number => {
    const sql = `SELECT count(*) AS units FROM unit WHERE ticket_id = ? AND ${condition}`;
    return integer(connection.prepare(sql).get(ticketId) ?? {}, 'units');
  };
  return {
    stages: found,
    refused: count("stage = 'requested' AND note IS NOT NULL"),
    reportsDue: count("report = 'due'"),
    scrappedIdentities: count("stage = 'scrapped' AND report = 'accepted'"),
    scrappedBlank: count("stage = 'scrapped' AND report = 'not-issued'"),
  };
}

function reportsDue(
  connection: Connection,
  ticketId: Uint8Array,
  page: Page,
): ReadonlyArray<LockedUnit | ScrappedUnit> {
  const rows = pageOf(connection, "report = 'due'", ticketId, page);
  return rows.flatMap((record) =>
    record.stage === 'locked' || record.stage === 'scrapped' ? [record] : [],
  );
}

function unfinished(
  connection: Connection,
  ticketId: Uint8Array,
  page: Page,
): ReadonlyArray<RequestedUnit | LockingUnit> {
  const rows = pageOf(connection, "stage IN ('requested', 'locking')", ticketId, page);
  return rows.flatMap((record) =>
    record.stage === 'requested' || record.stage === 'locking' ? [record] : [],
  );
}

function pageOf(
  connection: Connection,
  condition: string,
  ticketId: Uint8Array,
  { after, limit }: Page,
): readonly UnitRecord[] {
  return connection
    .prepare(
      `SELECT ${columns} FROM unit WHERE ticket_id = ? AND ${condition} AND uid > ? ORDER BY uid LIMIT ?`,
    )
    .all(ticketId, after ?? new Uint8Array(0), limit)
    .map(recordOf);
}

type Values = Record<
  | 'family'
  | 'uid'
  | 'ticket_id'
  | 'stage'
  | 'sign_key'
  | 'agree_key'
  | 'device_id'
  | 'eui64'
  | 'note'
  | 'report',
  SQLInputValue
>;

function valuesOf(record: UnitRecord): Values {
  const keys = 'keys' in record ? record.keys : undefined;
  const identity = 'identity' in record ? record.identity : undefined;
  return {
    family: record.family,
    uid: record.uid,
    ticket_id: record.ticketId,
    stage: record.stage,
    sign_key: keys?.sign ?? null,
    agree_key: keys?.agree ?? null,
    device_id: identity?.deviceId ?? null,
    eui64: identity?.eui64 ?? null,
    note: noteOf(record),
    report: 'report' in record ? record.report : null,
  };
}

function noteOf(record: UnitRecord): string | null {
  if (record.stage === 'scrapped') return record.reason;
  return record.stage === 'requested' ? (record.refusal ?? null) : null;
}

function recordOf(row: Row): UnitRecord {
  const unit = {
    family: text(row, 'family'),
    uid: blob(row, 'uid'),
    ticketId: blob(row, 'ticket_id'),
  };
  const stage = word(row, 'stage', stages);
  switch (stage) {
    case 'met':
      return { ...unit, stage };
    case 'requested':
      return { ...unit, stage, keys: keysOf(row), refusal: optionalText(row, 'note') };
    case 'locking':
      return { ...unit, stage, keys: keysOf(row), identity: identityOf(row) };
    case 'locked': {
      const report = word(row, 'report', reportStates);
      return { ...unit, stage, keys: keysOf(row), identity: identityOf(row), report };
    }
    case 'scrapped': {
      const keys = row['sign_key'] === null ? undefined : keysOf(row);
      const report = word(row, 'report', reportStates);
      return { ...unit, stage, keys, reason: text(row, 'note'), report };
    }
  }
}

function keysOf(row: Row): UnitKeys {
  return { sign: blob(row, 'sign_key'), agree: optionalBlob(row, 'agree_key') };
}

function identityOf(row: Row): LockedUnit['identity'] {
  return { deviceId: text(row, 'device_id'), eui64: optionalBlob(row, 'eui64') };
}
