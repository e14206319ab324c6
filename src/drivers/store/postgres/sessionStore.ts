/** Sessions of devices without IP on PostgreSQL. */
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
import { equal } from '../../../wire/bytes/bytes.ts';
import { blob, integer, text } from '../sqlite/rows.ts';
import { type SessionLife, singleLife } from '../sqlite/sessionLife.ts';
import { handshakeOf, resumptionOf, sessionOf, undeliveredOf } from '../sqlite/sessionTables.ts';
import type { Connection, Parameter } from './connection.ts';
import type { PostgresDatabase } from './database.ts';
import { Gathering } from './gathering.ts';
import {
  advanceSession,
  confirm,
  evictNewest,
  forget,
  insertResumption,
  insertSession,
  keepFewSuperseded,
  keepResumption,
  supersededPerDevice,
} from './sessionRows.ts';

interface Delivery {
  readonly sessionId: string;
  readonly sequenceNumber: number;
}

export class PostgresSessionStore implements SessionStore {
  readonly #database: PostgresDatabase;
  readonly #settle: Gathering<Delivery, void>;
  readonly #life: SessionLife;
  #token = 0;

  /** The database has to hold the tables of `provisionerMigrations`. */
  constructor(database: PostgresDatabase, life: SessionLife = singleLife) {
    this.#database = database;
    this.#life = life;
    this.#settle = new Gathering(database, settle);
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
    const outcome = await this.#database.transact(async (connection) => {
      const row = (await connection.first('SELECT * FROM session_life')) ?? {};
      const token = integer(row, 'lease_token');
      const heldUntilMs = integer(row, 'lease_until_ms');
      const isOurs = token === this.#token && text(row, 'lease_holder') === holder;
      if (!isOurs && !takeOver && heldUntilMs > nowMs) return { heldUntilMs };
      const next = isOurs ? token : token + 1;
      await connection.run(
        'UPDATE session_life SET lease_token = $1, lease_holder = $2, lease_until_ms = $3',
        next,
        holder,
        untilMs,
      );
      return { token: next };
    });
    if ('token' in outcome) this.#token = outcome.token;
    return outcome;
  }

  handshakes({ ingress, linkAddress }: Endpoint): Promise<readonly StoredHandshake[]> {
    const sql =
      'SELECT * FROM handshake WHERE ingress = $1 AND link_address = $2 ORDER BY sequence';
    return this.#database.read(async (connection) =>
      (await connection.all(sql, ingress, linkAddress)).map(handshakeOf),
    );
  }

  addHandshake(
    handshake: StoredHandshake,
    limits: HandshakeLimits,
  ): Promise<{ readonly evicted: number } | 'taken'> {
    const { id, ingress, linkAddress, connectionId, beganMs, version, keys, state } = handshake;
    return this.#write(async (connection) => {
      const ids = await idsAt(connection, handshake);
      if (ids.some((taken) => equal(taken, connectionId))) return 'taken';
      const evicted = await evictNewest(connection, handshake, limits);
      await connection.run(
        `INSERT INTO handshake
           (id, ingress, link_address, connection_id, began_ms, version, keys, state)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
        id,
        ingress,
        linkAddress,
        connectionId,
        beganMs,
        version,
        keys,
        state,
      );
      return { evicted };
    });
  }

  updateHandshake(id: string, version: number, keys: Uint8Array): Promise<boolean> {
    const sql =
      'UPDATE handshake SET keys = $1, version = version + 1 WHERE id = $2 AND version = $3';
    return this.#write(async (connection) => (await connection.run(sql, keys, id, version)) === 1);
  }

  async removeHandshake(id: string): Promise<void> {
    await this.#change('DELETE FROM handshake WHERE id = $1', id);
  }

  removeHandshakesBefore(beganMs: number, roamingBeganMs: number): Promise<number> {
    return this.#change(
      'DELETE FROM handshake WHERE began_ms < $1 OR (link_address = connection_id AND began_ms < $2)',
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
    const { ingress, linkAddress, deviceId } = session;
    return this.#write(async (connection) => {
      const others = await connection.first(countOthers, ingress, linkAddress, deviceId);
      if (integer(others ?? {}, 'devices') >= maximumPerEndpoint) return 'endpoint-full';
      const consume = 'DELETE FROM handshake WHERE id = $1 AND version = $2';
      if ((await connection.run(consume, handshake.id, handshake.version)) !== 1) return 'gone';
      // What the device derived and never used: nobody has it any more.
      await connection.run(deleteFresh, deviceId);
      if (usedKeyOf !== undefined) await keepResumption(connection, deviceId, usedKeyOf);
      await insertSession(connection, session, undefined);
      await insertResumption(connection, resumption);
      return 'promoted';
    });
  }

  session(
    { ingress, linkAddress }: Endpoint,
    connectionId: Uint8Array,
  ): Promise<StoredSession | undefined> {
    const sql = `${selectAt} AND standing <> 'superseded'`;
    return this.#database.read(async (connection) => {
      const row = await connection.first(sql, ingress, linkAddress, connectionId);
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
    const sql = `${selectAt} AND standing = 'superseded'
      ORDER BY superseded_ms DESC, sequence DESC LIMIT ${supersededPerDevice}`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, ingress, linkAddress, connectionId)).map(sessionOf),
    );
  }

  removeSupersededBefore(supersededMs: number): Promise<number> {
    return this.#change(
      `DELETE FROM session WHERE standing = 'superseded' AND superseded_ms < $1`,
      supersededMs,
    );
  }

  updateSession(id: string, version: number, change: SessionChange): Promise<boolean> {
    const { confirmedMs, settled, retired } = change;
    return this.#write(async (connection) => {
      const deviceId = await advanceSession(connection, id, version, change);
      if (deviceId === undefined) return false;
      if (confirmedMs !== undefined) await confirm(connection, id, deviceId, confirmedMs);
      if (settled === true) await keepResumption(connection, deviceId, id);
      if (retired !== undefined) {
        await insertSession(connection, retired.session, retired.atMs);
        await keepFewSuperseded(connection, retired.session.deviceId);
      }
      return true;
    });
  }

  async removeSession(id: string): Promise<void> {
    await this.#change('DELETE FROM session WHERE id = $1', id);
  }

  removeSessionsOf(deviceIds: readonly string[]): Promise<number> {
    return this.#database.transact((connection) => forget(connection, deviceIds));
  }

  countSessions(): Promise<number> {
    const sql = `SELECT count(*) AS sessions FROM session WHERE standing = 'live'`;
    return this.#database.read(async (connection) =>
      integer((await connection.first(sql)) ?? {}, 'sessions'),
    );
  }

  resumptions(
    linkAddress: Uint8Array,
    kid: Uint8Array,
    limit: number,
  ): Promise<readonly StoredResumption[]> {
    const sql = `SELECT * FROM resumption WHERE link_address = $1 AND kid = $2
      ORDER BY sequence DESC LIMIT $3`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, linkAddress, kid, limit)).map(resumptionOf),
    );
  }

  undelivered(limit: number): Promise<readonly UndeliveredTelemetry[]> {
    const sql = 'SELECT * FROM undelivered ORDER BY sequence LIMIT $1';
    return this.#database.read(async (connection) =>
      (await connection.all(sql, limit)).map(undeliveredOf),
    );
  }

  async settle(sessionId: string, sequenceNumber: number): Promise<void> {
    await this.#settle.call([{ sessionId, sequenceNumber }]);
  }

  /** Under the token of this object's lease, in the transaction that checks it. */
  async #write<Result>(work: (connection: Connection) => Promise<Result>): Promise<Result> {
    const token = this.#token;
    const { result, written } = await this.#database.transact(async (connection) => {
      const life = await connection.first(countWrite, token);
      if (life === undefined) throw new LeaseLost();
      return { result: await work(connection), written: integer(life, 'written') };
    });
    this.#life.wrote(written);
    return result;
  }

  #change(sql: string, ...values: readonly Parameter[]): Promise<number> {
    return this.#database.transact((connection) => connection.run(sql, ...values));
  }
}

const countWrite =
  'UPDATE session_life SET written = written + 1 WHERE lease_token = $1 RETURNING written';

const selectAt =
  'SELECT * FROM session WHERE ingress = $1 AND link_address = $2 AND connection_id = $3';

const countOthers = `
  SELECT count(DISTINCT device_id) AS devices FROM session
  WHERE ingress = $1 AND link_address = $2 AND device_id <> $3 AND standing <> 'superseded'`;

const deleteFresh = `
  WITH unused AS (
    DELETE FROM session WHERE device_id = $1 AND standing = 'fresh' RETURNING id
  )
  DELETE FROM resumption USING unused WHERE session_id = unused.id`;

/** Of handshakes and sessions alike: a frame names its state by endpoint and this identifier alone. */
async function idsAt(
  connection: Connection,
  { ingress, linkAddress }: Endpoint,
): Promise<readonly Uint8Array[]> {
  const rows = await connection.all(
    `SELECT connection_id FROM handshake WHERE ingress = $1 AND link_address = $2
     UNION ALL SELECT connection_id FROM session WHERE ingress = $1 AND link_address = $2`,
    ingress,
    linkAddress,
  );
  return rows.map((row) => blob(row, 'connection_id'));
}

async function settle(
  connection: Connection,
  deliveries: readonly Delivery[],
): Promise<readonly void[]> {
  await connection.run(
    `DELETE FROM undelivered USING unnest($1::text[], $2::bigint[]) AS done (id, number)
     WHERE session_id = done.id AND sequence_number = done.number`,
    deliveries.map(({ sessionId }) => sessionId),
    deliveries.map(({ sequenceNumber }) => sequenceNumber),
  );
  return deliveries.map(() => undefined);
}
