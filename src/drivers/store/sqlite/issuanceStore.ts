/** T1 and T2 of issuing on SQLite. This is the hot path: few statements, each prepared once. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import type {
  Completion,
  Intent,
  IntentConflict,
  IntentOutcome,
  IssuanceStore,
  IssuedCertificate,
  Promises,
  Replacement,
  Revocation,
  UnfinishedIntent,
  UnitIntent,
} from '../../../trust/ports/issuanceStore.ts';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import { isChange } from '../statements.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { isUniqueViolation } from './faults.ts';
import { FinishedMark, finishedSetting } from './finishedMark.ts';
import { isGrantFree, spendGrant } from './grantRows.ts';
import { Quotas } from './quotas.ts';
import { blob, integer, optionalBlob, optionalInteger, type Row, text } from './rows.ts';
import { changeStatus, codeOf } from './statusRows.ts';

export class SqliteIssuanceStore implements IssuanceStore {
  readonly #database: SqliteDatabase;
  #finished: FinishedMark | undefined;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  async begin(intents: readonly Intent[]): Promise<readonly IntentOutcome[]> {
    try {
      return await this.#database.transact((connection) => beginAll(connection, intents));
    } catch (error) {
      // A value is there already: which, and of whose intent, is found out one by one.
      if (!isUniqueViolation(error)) throw error;
      return this.#database.transact((connection) => beginEach(connection, intents));
    }
  }

  complete(completions: readonly Completion[]): Promise<ReadonlyMap<number, Uint8Array>> {
    return this.#database.transact((connection) => {
      const sign = connection.prepare('INSERT OR IGNORE INTO signatures VALUES (?, ?)');
      const log = connection.prepare(appendLeaf);
      const earlier = new Map<number, Uint8Array>();
      for (const { id, signature, entry } of completions) {
        if (sign.run(id, signature).changes === 1) log.run(entry);
        else earlier.set(id, blob(connection.prepare(selectSignature).get(id) ?? {}, 'signature'));
      }
      return earlier;
    });
  }

  async unfinished(afterId: number, limit: number): Promise<readonly UnfinishedIntent[]> {
    const { rows, worthStoring } = await this.#database.read((connection) => {
      const mark = (this.#finished ??= new FinishedMark(storedMark(connection)));
      const lastId = integer(connection.prepare(selectLastId).get() ?? {}, 'id');
      const from = mark.from(afterId);
      const found = connection.prepare(selectUnfinished).all(from, limit).map(unfinishedOf);
      return { rows: found, worthStoring: mark.found(from, found[0]?.id, lastId) };
    });
    if (worthStoring !== undefined) await this.#storeMark(worthStoring);
    return rows;
  }

  certificatesOf(holder: string): Promise<readonly IssuedCertificate[]> {
    return this.#database.read((connection) =>
      connection.prepare(selectOfHolder).all(holder, holder).map(issuedOf),
    );
  }

  promisesTo(holder: string): Promise<Promises> {
    return this.#database.read((connection) =>
      promisesOf(connection.prepare(selectPromised).all(holder, holder)),
    );
  }

  stoppedOf(holder: string): Promise<readonly IssuedCertificate[]> {
    return this.#database.read((connection) =>
      connection.prepare(selectStopped).all(holder, holder).map(issuedOf),
    );
  }

  certificateBySerial(serialNumber: Uint8Array): Promise<IssuedCertificate | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare(`${selectIssued} WHERE serial = ?`).get(serialNumber);
      return row === undefined ? undefined : issuedOf(row);
    });
  }

  holderOfKey(keyIdentifier: Uint8Array): Promise<string | undefined> {
    return this.#database.read((connection) => {
      const row =
        connection
          .prepare(
            'SELECT device_id AS holder FROM unit_keys JOIN units ON units.id = unit WHERE key_id = ?',
          )
          .get(keyIdentifier) ??
        connection
          .prepare(
            `SELECT holder FROM issuances WHERE key_id = ? AND holder IS NOT NULL
             ORDER BY id LIMIT 1`,
          )
          .get(keyIdentifier);
      return row === undefined ? undefined : text(row, 'holder');
    });
  }

  revoke(revocations: readonly Revocation[]): Promise<number> {
    return this.#database.transact((connection) => {
      let changed = 0;
      for (const revocation of revocations) if (revokeOne(connection, revocation)) changed += 1;
      return changed;
    });
  }

  countCertificates(): Promise<{ readonly issued: number; readonly revoked: number }> {
    return this.#database.read((connection) => {
      const row = connection
        .prepare(
          `SELECT (SELECT count(*) FROM signatures) AS issued,
                  (SELECT count(*) FROM revocations) AS revoked`,
        )
        .get();
      return { issued: integer(row ?? {}, 'issued'), revoked: integer(row ?? {}, 'revoked') };
    });
  }

  /** What cannot be written is found out again. */
  async #storeMark(value: Uint8Array): Promise<void> {
    const save = 'INSERT OR REPLACE INTO settings VALUES (?, ?)';
    await this.#database
      .transact((connection) => void connection.prepare(save).run(finishedSetting, value))
      .catch((error: unknown) => {
        if (!(error instanceof EnvironmentError)) throw error;
      });
  }
}

export const appendLeaf = 'INSERT INTO audit_leaves (entry) VALUES (?)';

/** Whether anything changed. Throws when nothing of that serial number was signed. */
export function revokeOne(connection: Connection, revocation: Revocation): boolean {
  if (!isChange(changeStatus(connection, revocation))) return false;
  connection.prepare(appendLeaf).run(revocation.entry);
  return true;
}

/** The usual case: throws when a value that has to be unique is there already. */
function beginAll(connection: Connection, intents: readonly Intent[]): readonly IntentOutcome[] {
  const quotas = new Quotas(connection);
  const outcomes = intents.map((intent) => insertOne(connection, quotas, intent));
  quotas.save();
  return outcomes;
}

/** When a value is there already, undoes the inserts of that intent alone and says which value it is. */
function beginEach(connection: Connection, intents: readonly Intent[]): readonly IntentOutcome[] {
  const quotas = new Quotas(connection);
  const outcomes = intents.map((intent): IntentOutcome => {
    connection.prepare('SAVEPOINT intent').run();
    try {
      const outcome = insertOne(connection, quotas, intent);
      connection.prepare('RELEASE intent').run();
      return outcome;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      connection.prepare('ROLLBACK TO intent').run();
      connection.prepare('RELEASE intent').run();
      return { conflict: conflictOf(error) };
    }
  });
  quotas.save();
  return outcomes;
}

function insertOne(connection: Connection, quotas: Quotas, intent: Intent): IntentOutcome {
  const { unit, grants = [], replaces } = intent;
  if (unit === undefined) {
    if (!grants.every((grant) => isGrantFree(connection, grant))) return { refused: 'grant-spent' };
    if (isOvertaken(connection, intent.holder, replaces)) return { refused: 'overtaken' };
    const taken = insertIssuance(connection, intent, intent.holder);
    for (const grant of grants) spendGrant(connection, grant, taken);
    for (const revocation of replaces?.superseded ?? []) revokeOne(connection, revocation);
    return { taken, eui64: undefined };
  }
  const offer = quotas.next(unit.ticketId);
  if ('refused' in offer) return offer;
  const id = insertIssuance(connection, intent, null);
  insertUnit(connection, id, offer.ticket, intent, unit, offer.eui64);
  quotas.take(unit.ticketId);
  return { taken: id, eui64: offer.eui64 };
}

function isOvertaken(
  connection: Connection,
  holder: string,
  replaces: Replacement | undefined,
): boolean {
  if (replaces === undefined) return false;
  const row = connection.prepare(selectLatest).get(holder);
  return integer(row ?? {}, 'latest') !== replaces.latest;
}

function insertIssuance(connection: Connection, intent: Intent, holder: string | null): number {
  const { lastInsertRowid } = connection
    .prepare(
      `INSERT INTO issuances (serial, issuer, profile, holder, key_id, prepared_ms, not_after_ms, tbs)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      intent.serialNumber,
      intent.issuer,
      intent.profile,
      holder,
      intent.keyIdentifier,
      intent.preparedMs,
      intent.notAfterMs,
      intent.tbs,
    );
  return Number(lastInsertRowid);
}

function insertUnit(
  connection: Connection,
  id: number,
  ticket: number,
  { holder, keyIdentifier }: Intent,
  unit: UnitIntent,
  eui64: Uint8Array,
): void {
  connection
    .prepare(
      `INSERT INTO units
         (id, ticket, family, uid, model, firmware, proof, device_id, eui64, agree_key)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      id,
      ticket,
      unit.family,
      unit.uid,
      unit.model,
      unit.firmware,
      proofLevels.indexOf(unit.proofLevel),
      holder,
      eui64,
      unit.agreeKey?.point ?? null,
    );
  const insertKey = connection.prepare('INSERT INTO unit_keys VALUES (?, ?)');
  insertKey.run(keyIdentifier, id);
  if (unit.agreeKey !== undefined) insertKey.run(unit.agreeKey.keyIdentifier, id);
}

/** SQLite names the columns of the index that was hit. */
function conflictOf(error: unknown): IntentConflict {
  const message = error instanceof Error ? error.message : '';
  if (message.includes('units.uid')) return 'uid';
  if (message.includes('unit_keys.key_id')) return 'key';
  if (message.includes('units.device_id')) return 'device-id';
  if (message.includes('issuances.serial')) return 'serial';
  throw new InvariantError(`an address was given out twice: ${message}`);
}

function storedMark(connection: Connection): Uint8Array | undefined {
  const row = connection.prepare('SELECT value FROM settings WHERE name = ?').get(finishedSetting);
  return row === undefined ? undefined : blob(row, 'value');
}

const selectLastId = 'SELECT coalesce(max(id), 0) AS id FROM issuances';

const selectLatest = 'SELECT coalesce(max(id), 0) AS latest FROM issuances WHERE holder = ?';

const selectSignature = 'SELECT signature FROM signatures WHERE id = ?';

const selectUnfinished = `
  SELECT issuances.id, issuer, profile, serial, coalesce(holder, device_id) AS holder,
         prepared_ms, tbs, ticket_id
  FROM issuances
  LEFT JOIN signatures USING (id)
  LEFT JOIN units USING (id)
  LEFT JOIN tickets ON tickets.id = units.ticket
  WHERE signatures.id IS NULL AND issuances.id > ?
  ORDER BY issuances.id LIMIT ?`;

const selectIssued = `
  SELECT issuer, profile, serial, coalesce(holder, device_id) AS holder, tbs, signature,
         issuances.not_after_ms, revocations.at_ms AS revoked_ms, code
  FROM issuances
  JOIN signatures USING (id)
  LEFT JOIN units USING (id)
  LEFT JOIN revocations USING (id)
  LEFT JOIN list_entries ON certificate = issuances.id`;

const idsOfHolder =
  'SELECT id FROM issuances WHERE holder = ? UNION ALL SELECT id FROM units WHERE device_id = ?';

const selectOfHolder = `${selectIssued} WHERE issuances.id IN (${idsOfHolder}) ORDER BY issuances.id`;

// The others are found by their ids alone, without a look at what they say.
const selectStopped = `${selectIssued} WHERE issuances.id IN (
    SELECT own.id FROM (${idsOfHolder}) AS own
    WHERE EXISTS (SELECT 1 FROM revocations WHERE revocations.id = own.id)
      OR EXISTS (SELECT 1 FROM list_entries WHERE certificate = own.id AND code IS NOT NULL)
  )
  ORDER BY issuances.id`;

// One row at least: the last intent of a holder may be one that counts no more.
const selectPromised = `
  SELECT latest.id AS latest, issuances.id, issuer, profile, serial, holder, tbs, signature,
         issuances.not_after_ms, NULL AS revoked_ms, code
  FROM (SELECT coalesce(max(id), 0) AS id FROM issuances WHERE holder = ?) AS latest
  LEFT JOIN issuances ON holder = ?
    AND NOT EXISTS (SELECT 1 FROM revocations WHERE revocations.id = issuances.id)
  LEFT JOIN signatures ON signatures.id = issuances.id
  LEFT JOIN list_entries ON certificate = issuances.id
  ORDER BY issuances.id`;

/** Rows of `selectPromised`. */
export function promisesOf(rows: readonly Row[]): Promises {
  const promised = rows.filter((row) => optionalInteger(row, 'id') !== undefined);
  const isSigned = (row: Row): boolean => optionalBlob(row, 'signature') !== undefined;
  return {
    latest: integer(rows[0] ?? {}, 'latest'),
    unsigned: promised.filter((row) => !isSigned(row)).map((row) => blob(row, 'serial')),
    certificates: promised.filter(isSigned).map(issuedOf),
  };
}

export function unfinishedOf(row: Row): UnfinishedIntent {
  return {
    id: integer(row, 'id'),
    issuer: text(row, 'issuer'),
    profile: text(row, 'profile'),
    serialNumber: blob(row, 'serial'),
    holder: text(row, 'holder'),
    preparedMs: integer(row, 'prepared_ms'),
    tbs: blob(row, 'tbs'),
    ticketId: optionalBlob(row, 'ticket_id'),
  };
}

export function issuedOf(row: Row): IssuedCertificate {
  return {
    issuer: text(row, 'issuer'),
    profile: text(row, 'profile'),
    serialNumber: blob(row, 'serial'),
    holder: text(row, 'holder'),
    notAfterMs: integer(row, 'not_after_ms'),
    tbs: blob(row, 'tbs'),
    signature: blob(row, 'signature'),
    revokedMs: optionalInteger(row, 'revoked_ms'),
    held: codeOf(row) === 'certificateHold',
  };
}
