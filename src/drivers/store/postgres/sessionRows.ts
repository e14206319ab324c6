/** Rows of sessions inside whatever transaction they belong to. */
import type {
  HandshakeLimits,
  SessionChange,
  StoredHandshake,
  StoredResumption,
  StoredSession,
} from '../../../trust/ports/sessionStore.ts';
import { integer, text } from '../sqlite/rows.ts';
import type { Connection, Parameter } from './connection.ts';

/** Enough to recognize a clone, and few enough to be tried with every message that does not verify. */
export const supersededPerDevice = 2;

/**
 * The step from one version to the next, in one round trip with the telemetry that it accepted: this happens
 * with every message. Gives the session's device; `undefined` when the version is not the present one.
 */
export async function advanceSession(
  connection: Connection,
  id: string,
  version: number,
  {
    state,
    keys = null,
    accepted,
  }: Pick<SessionChange, 'state' | 'accepted'> & {
    readonly keys?: Uint8Array | null;
  },
): Promise<string | undefined> {
  const values: Parameter[] = [state, keys, id, version];
  if (accepted !== undefined) {
    const { sessionId, sequenceNumber, deviceId, ingress, linkAddress, receivedMs } = accepted;
    values.push(sessionId, sequenceNumber, deviceId, ingress, linkAddress, receivedMs);
    values.push(accepted.payload);
  }
  const row = await connection.first(
    accepted === undefined ? advance : advanceAndAccept,
    ...values,
  );
  return row === undefined ? undefined : text(row, 'device_id');
}

/** Supersedes the live session before the fresh one takes its place. */
export async function confirm(
  connection: Connection,
  id: string,
  deviceId: string,
  confirmedMs: number,
): Promise<void> {
  await connection.run(
    `UPDATE session SET standing = 'superseded', superseded_ms = $1
     WHERE device_id = $2 AND id <> $3 AND standing <> 'superseded'`,
    confirmedMs,
    deviceId,
    id,
  );
  await connection.run(`UPDATE session SET standing = 'live' WHERE id = $1`, id);
  await keepFewSuperseded(connection, deviceId);
}

export async function keepFewSuperseded(connection: Connection, deviceId: string): Promise<void> {
  await connection.run(
    `DELETE FROM session WHERE device_id = $1 AND standing = 'superseded' AND id NOT IN (
       SELECT id FROM session WHERE device_id = $1 AND standing = 'superseded'
       ORDER BY superseded_ms DESC, sequence DESC LIMIT ${supersededPerDevice}
     )`,
    deviceId,
  );
}

export async function keepResumption(
  connection: Connection,
  deviceId: string,
  sessionId: string,
): Promise<void> {
  const sql = 'DELETE FROM resumption WHERE device_id = $1 AND session_id <> $2';
  await connection.run(sql, deviceId, sessionId);
}

export async function insertSession(
  connection: Connection,
  session: StoredSession,
  supersededMs: number | undefined,
): Promise<void> {
  const { id, ingress, linkAddress, connectionId, deviceId, beganMs, version } = session;
  const { keys, state, standing } = session;
  const place = [id, ingress, linkAddress, connectionId, deviceId, beganMs, version];
  await connection.run(
    `INSERT INTO session (id, ingress, link_address, connection_id, device_id, began_ms, version, keys,
       state, standing, superseded_ms)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
    ...place,
    keys,
    state,
    standing,
    supersededMs ?? null,
  );
}

export async function insertResumption(
  connection: Connection,
  { sessionId, deviceId, linkAddress, kid, authenticatedMs, key }: StoredResumption,
): Promise<void> {
  await connection.run(
    `INSERT INTO resumption (session_id, device_id, link_address, kid, authenticated_ms, key)
     VALUES ($1, $2, $3, $4, $5, $6)`,
    sessionId,
    deviceId,
    linkAddress,
    kid,
    authenticatedMs,
    key,
  );
}

/** Leaves room for one more below the limits. Returns how many had to go. */
export async function evictNewest(
  connection: Connection,
  { ingress, linkAddress }: StoredHandshake,
  { perEndpoint, perIngress }: HandshakeLimits,
): Promise<number> {
  return (
    (await connection.run(evictAtEndpoint, ingress, linkAddress, perEndpoint)) +
    (await connection.run(evictAtIngress, ingress, perIngress))
  );
}

/** Returns how many fresh or live sessions there were. */
export async function forget(
  connection: Connection,
  deviceIds: readonly string[],
): Promise<number> {
  const row = await connection.first(deleteSessions, deviceIds);
  return integer(row ?? {}, 'sessions');
}

const advance = `
  UPDATE session SET state = $1, keys = coalesce($2, keys), version = version + 1
  WHERE id = $3 AND version = $4 AND standing <> 'superseded' RETURNING device_id`;

const advanceAndAccept = `
  WITH advanced AS (${advance}), accepted AS (
    INSERT INTO undelivered
      (session_id, sequence_number, device_id, ingress, link_address, received_ms, payload)
    SELECT $5::text, $6::bigint, $7::text, $8::text, $9::bytea, $10::bigint, $11::bytea FROM advanced
  )
  SELECT device_id FROM advanced`;

// All but the oldest limit - 1.
const evictAtEndpoint = `
  DELETE FROM handshake WHERE sequence IN (
    SELECT sequence FROM handshake WHERE ingress = $1 AND link_address = $2
    ORDER BY sequence OFFSET greatest($3::bigint - 1, 0)
  )`;

const evictAtIngress = `
  DELETE FROM handshake WHERE sequence IN (
    SELECT sequence FROM handshake WHERE ingress = $1
    ORDER BY sequence OFFSET greatest($2::bigint - 1, 0)
  )`;

const deleteSessions = `
  WITH sessions AS (
    DELETE FROM session WHERE device_id = ANY ($1::text[]) RETURNING standing
  ), resumptions AS (
    DELETE FROM resumption WHERE device_id = ANY ($1::text[])
  ), messages AS (
    DELETE FROM undelivered WHERE device_id = ANY ($1::text[])
  )
  SELECT count(*) FILTER (WHERE standing <> 'superseded') AS sessions FROM sessions`;
