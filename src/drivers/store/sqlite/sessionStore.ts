/** Sessions of devices without IP on SQLite. */
import {
  type Endpoint,
  type HandshakeLimits,
  LeaseLost,
  type LeaseRequest,
  type SessionChange,
  type SessionStore,
  type StoredHandshake,
  type StoredResumption,
  type StoredSession,
  type UndeliveredTelemetry,
} from '../../../trust/ports/sessionStore.ts';
import { InvariantError } from '../../../trust/ports/faults.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { blob, integer, type Row, text } from './rows.ts';
import { type SessionLife, singleLife } from './sessionLife.ts';
import { handshakeOf, resumptionOf, sessionOf, undeliveredOf } from './sessionTables.ts';

export class SqliteSessionStore implements SessionStore {
  readonly #database: SqliteDatabase;
  readonly #life: SessionLife;
  #token = 0;

  /** The database has `sessionMigrations`. */
  constructor(database: SqliteDatabase, life: SessionLife = singleLife) {
    this.#database = database;
    this.#life = life;
  }

  get incarnation(): number {
    return this.#life.incarnation;
  }

  async lease({
    holder,
    nowMs,
    untilMs,
    takeOver,
  }: LeaseRequest): Promise<{ readonly token: number } | { readonly heldUntilMs: number }> {
    const outcome = await this.#database.transact((connection) => {
      const row = connection.prepare('SELECT * FROM session_life').get();
      if (row === undefined) throw new InvariantError('the sessions have no life');
      const token = integer(row, 'lease_token');
      const heldUntilMs = integer(row, 'lease_until_ms');
      const isOurs = token === this.#token && text(row, 'lease_holder') === holder;
      if (!isOurs && !takeOver && heldUntilMs > nowMs) return { heldUntilMs };
      const next = isOurs ? token : token + 1;
      connection
        .prepare('UPDATE session_life SET lease_token = ?, lease_holder = ?, lease_until_ms = ?')
        .run(next, holder, untilMs);
      return { token: next };
    });
    if ('token' in outcome) this.#token = outcome.token;
    return outcome;
  }

  handshakes({ ingress, linkAddress }: Endpoint): Promise<readonly StoredHandshake[]> {
    const sql = `SELECT * FROM handshake WHERE ingress = ? AND link_address = ? ORDER BY sequence`;
    return this.#database.read((connection) =>
      connection.prepare(sql).all(ingress, linkAddress).map(handshakeOf),
    );
  }

  addHandshake(
    handshake: StoredHandshake,
    limits: HandshakeLimits,
  ): Promise<{ readonly evicted: number } | 'taken'> {
    return this.#write((connection) => {
      const { ingress, linkAddress, connectionId } = handshake;
      if (idsAt(connection, handshake).some((id) => sameBytes(id, connectionId))) return 'taken';
      const evicted =
        evictNewest(
          connection,
          'ingress = ? AND link_address = ?',
          [ingress, linkAddress],
          limits.perEndpoint,
        ) + evictNewest(connection, 'ingress = ?', [ingress], limits.perIngress);
      const { id, beganMs, version, keys, state } = handshake;
      connection
        .prepare('INSERT INTO handshake VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)')
        .run(id, ingress, linkAddress, connectionId, beganMs, version, keys, state);
      return { evicted };
    });
  }

  updateHandshake(id: string, version: number, keys: Uint8Array): Promise<boolean> {
    const sql = 'UPDATE handshake SET keys = ?, version = version + 1 WHERE id = ? AND version = ?';
    return this.#write(
      (connection) => connection.prepare(sql).run(keys, id, version).changes === 1,
    );
  }

  async removeHandshake(id: string): Promise<void> {
    await this.#change('DELETE FROM handshake WHERE id = ?', id);
  }

  removeHandshakesBefore(beganMs: number, roamingBeganMs: number): Promise<number> {
    return this.#change(
      'DELETE FROM handshake WHERE began_ms < ? OR (link_address = connection_id AND began_ms < ?)',
      beganMs,
      roamingBeganMs,
    );
  }

  promote(
    handshake: { readonly id: string; readonly version: number },
    session: StoredSession,
    resumption: StoredResumption,
    { maximumPerEndpoint, usedKeyOf }: { maximumPerEndpoint: number; usedKeyOf?: string },
  ): Promise<'promoted' | 'gone' | 'endpoint-full'> {
    return this.#write((connection) => {
      const { ingress, linkAddress, deviceId } = session;
      const others = connection
        .prepare(
          `SELECT count(DISTINCT device_id) AS count FROM session
            WHERE ingress = ? AND link_address = ? AND device_id <> ? AND standing <> 'superseded'`,
        )
        .get(ingress, linkAddress, deviceId);
      if (Number(others?.['count']) >= maximumPerEndpoint) return 'endpoint-full';
      const consumed = connection
        .prepare('DELETE FROM handshake WHERE id = ? AND version = ?')
        .run(handshake.id, handshake.version);
      if (consumed.changes !== 1) return 'gone';
      // What the device derived and never used: nobody has it any more.
      const unused = `SELECT id FROM session WHERE device_id = ? AND standing = 'fresh'`;
      connection.prepare(`DELETE FROM resumption WHERE session_id IN (${unused})`).run(deviceId);
      connection
        .prepare(`DELETE FROM session WHERE device_id = ? AND standing = 'fresh'`)
        .run(deviceId);
      if (usedKeyOf !== undefined) keepResumption(connection, deviceId, usedKeyOf);
      insertSession(connection, session, undefined);
      insertResumption(connection, resumption);
      return 'promoted';
    });
  }

  session(
    { ingress, linkAddress }: Endpoint,
    connectionId: Uint8Array,
  ): Promise<StoredSession | undefined> {
    const sql = `SELECT * FROM session WHERE ingress = ? AND link_address = ? AND connection_id = ?
        AND standing <> 'superseded'`;
    return this.#database.read((connection) => {
      const row = connection.prepare(sql).get(ingress, linkAddress, connectionId);
      return row === undefined ? undefined : sessionOf(row);
    });
  }

  connectionIds(endpoint: Endpoint): Promise<readonly Uint8Array[]> {
    return this.#database.read((connection) => idsAt(connection, endpoint));
  }

  superseded(
    { ingress, linkAddress }: Endpoint,
    connectionId: Uint8Array,
  ): Promise<readonly StoredSession[]> {
    const sql = `SELECT * FROM session WHERE ingress = ? AND link_address = ? AND connection_id = ?
      AND standing = 'superseded' ORDER BY superseded_ms DESC LIMIT ${supersededPerDevice}`;
    return this.#database.read((connection) =>
      connection.prepare(sql).all(ingress, linkAddress, connectionId).map(sessionOf),
    );
  }

  removeSupersededBefore(supersededMs: number): Promise<number> {
    const sql = `DELETE FROM session WHERE standing = 'superseded' AND superseded_ms < ?`;
    return this.#change(sql, supersededMs);
  }

  updateSession(id: string, version: number, change: SessionChange): Promise<boolean> {
    const { state, keys, accepted, confirmedMs, settled, retired } = change;
    return this.#write((connection) => {
      const updated = connection
        .prepare(
          `UPDATE session SET state = ?, keys = coalesce(?, keys), version = version + 1
            WHERE id = ? AND version = ? AND standing <> 'superseded'`,
        )
        .run(state, keys ?? null, id, version);
      if (updated.changes !== 1) return false;
      if (accepted !== undefined) insertUndelivered(connection, accepted);
      if (confirmedMs !== undefined) confirm(connection, id, confirmedMs);
      if (settled === true) keepResumption(connection, deviceOf(connection, id), id);
      if (retired !== undefined) {
        insertSession(connection, retired.session, retired.atMs);
        keepFewSuperseded(connection, retired.session.deviceId);
      }
      return true;
    });
  }

  async removeSession(id: string): Promise<void> {
    await this.#change('DELETE FROM session WHERE id = ?', id);
  }

  removeSessionsOf(deviceIds: readonly string[]): Promise<number> {
    return this.#database.transact((connection) => {
      let count = 0;
      for (const deviceId of deviceIds) {
        connection
          .prepare(`DELETE FROM session WHERE device_id = ? AND standing = 'superseded'`)
          .run(deviceId);
        const removed = connection.prepare('DELETE FROM session WHERE device_id = ?').run(deviceId);
        count += Number(removed.changes);
        connection.prepare('DELETE FROM resumption WHERE device_id = ?').run(deviceId);
        connection.prepare('DELETE FROM undelivered WHERE device_id = ?').run(deviceId);
      }
      return count;
    });
  }

  countSessions(): Promise<number> {
    return this.#database.read((connection) =>
      Number(
        connection.prepare(`SELECT count(*) AS count FROM session WHERE standing = 'live'`).get()?.[
          'count'
        ],
      ),
    );
  }

  resumptions(
    linkAddress: Uint8Array,
    kid: Uint8Array,
    limit: number,
  ): Promise<readonly StoredResumption[]> {
    const sql = `SELECT * FROM resumption WHERE link_address = ? AND kid = ?
      ORDER BY rowid DESC LIMIT ?`;
    return this.#database.read((connection) =>
      connection.prepare(sql).all(linkAddress, kid, limit).map(resumptionOf),
    );
  }

  undelivered(limit: number): Promise<readonly UndeliveredTelemetry[]> {
    const sql = 'SELECT * FROM undelivered ORDER BY sequence LIMIT ?';
    return this.#database.read((connection) =>
      connection.prepare(sql).all(limit).map(undeliveredOf),
    );
  }

  async settle(sessionId: string, sequenceNumber: number): Promise<void> {
    const sql = 'DELETE FROM undelivered WHERE session_id = ? AND sequence_number = ?';
    await this.#change(sql, sessionId, sequenceNumber);
  }

  /** Under the token of this object's lease, in the transaction that checks it. */
  async #write<Result>(work: (connection: Connection) => Result): Promise<Result> {
    const token = this.#token;
    const { result, written } = await this.#database.transact((connection) => {
      const life = connection
        .prepare(
          'UPDATE session_life SET written = written + 1 WHERE lease_token = ? RETURNING written',
        )
        .get(token);
      if (life === undefined) throw new LeaseLost();
      return { result: work(connection), written: integer(life, 'written') };
    });
    this.#life.wrote(written);
    return result;
  }

  #change(sql: string, ...values: ReadonlyArray<string | number>): Promise<number> {
    return this.#database.transact((connection) =>
      Number(connection.prepare(sql).run(...values).changes),
    );
  }
}

/** Of handshakes and sessions alike: a frame names its state by endpoint and this identifier alone. */
function idsAt(connection: Connection, { ingress, linkAddress }: Endpoint): Uint8Array[] {
  const rows = connection
    .prepare(
      `SELECT connection_id FROM handshake WHERE ingress = ? AND link_address = ?
        UNION ALL SELECT connection_id FROM session WHERE ingress = ? AND link_address = ?`,
    )
    .all(ingress, linkAddress, ingress, linkAddress);
  return rows.map((row: Row) => blob(row, 'connection_id'));
}

/** Leaves room for one more below the limit. */
function evictNewest(
  connection: Connection,
  where: string,
  values: ReadonlyArray<string | Uint8Array>,
  limit: number,
): number {
  const counted = connection
    .prepare(`SELECT count(*) AS count FROM handshake WHERE ${where}`)
    .get(...values);
  const excess = Number(counted?.['count']) - limit + 1;
  if (excess <= 0) return 0;
  const removed = connection
    .prepare(
      `DELETE FROM handshake WHERE sequence IN
        (SELECT sequence FROM handshake WHERE ${where} ORDER BY sequence DESC LIMIT ?)`,
    )
    .run(...values, excess);
  return Number(removed.changes);
}

function insertSession(
  connection: Connection,
  session: StoredSession,
  supersededMs: number | undefined,
): void {
  const { id, ingress, linkAddress, connectionId, deviceId, beganMs, version, keys, state } =
    session;
  connection
    .prepare('INSERT INTO session VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    .run(
      id,
      ingress,
      linkAddress,
      connectionId,
      deviceId,
      beganMs,
      version,
      keys,
      state,
      session.standing,
      supersededMs ?? null,
    );
}

function insertResumption(connection: Connection, resumption: StoredResumption): void {
  const { sessionId, deviceId, linkAddress, kid, authenticatedMs, key } = resumption;
  connection
    .prepare('INSERT INTO resumption VALUES (?, ?, ?, ?, ?, ?)')
    .run(sessionId, deviceId, linkAddress, kid, authenticatedMs, key);
}

/** Supersedes the live session before the fresh one takes its place. */
function confirm(connection: Connection, id: string, confirmedMs: number): void {
  const deviceId = deviceOf(connection, id);
  connection
    .prepare(
      `UPDATE session SET standing = 'superseded', superseded_ms = ?
        WHERE device_id = ? AND id <> ? AND standing <> 'superseded'`,
    )
    .run(confirmedMs, deviceId, id);
  connection.prepare(`UPDATE session SET standing = 'live' WHERE id = ?`).run(id);
  keepFewSuperseded(connection, deviceId);
}

function deviceOf(connection: Connection, id: string): string {
  const row = connection.prepare('SELECT device_id FROM session WHERE id = ?').get(id);
  if (row === undefined) throw new InvariantError('a session without a row');
  return text(row, 'device_id');
}

function keepResumption(connection: Connection, deviceId: string, sessionId: string): void {
  connection
    .prepare('DELETE FROM resumption WHERE device_id = ? AND session_id <> ?')
    .run(deviceId, sessionId);
}

/** Enough to recognize a clone, and few enough to be tried with every message that does not verify. */
const supersededPerDevice = 2;

function keepFewSuperseded(connection: Connection, deviceId: string): void {
  connection
    .prepare(
      `DELETE FROM session WHERE device_id = ? AND standing = 'superseded' AND id NOT IN
        (SELECT id FROM session WHERE device_id = ? AND standing = 'superseded'
          ORDER BY superseded_ms DESC, rowid DESC LIMIT ${supersededPerDevice})`,
    )
    .run(deviceId, deviceId);
}

function insertUndelivered(connection: Connection, telemetry: UndeliveredTelemetry): void {
  const { sessionId, sequenceNumber, deviceId, ingress, linkAddress, receivedMs, payload } =
    telemetry;
  connection
    .prepare('INSERT INTO undelivered VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)')
    .run(sessionId, sequenceNumber, deviceId, ingress, linkAddress, receivedMs, payload);
}

function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return Buffer.compare(left, right) === 0;
}
