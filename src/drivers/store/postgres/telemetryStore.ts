/** The latest messages of each device on PostgreSQL; messages that arrive together are written together. */
import type { TelemetryMessage, TelemetryStore } from '../../../trust/ports/telemetryStore.ts';
import { integer, text } from '../sqlite/rows.ts';
import { messageOf } from '../sqlite/telemetryStore.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';
import { Gathering } from './gathering.ts';

interface Arrival {
  readonly deviceId: string;
  readonly message: Omit<TelemetryMessage, 'sequence'>;
}

export class PostgresTelemetryStore implements TelemetryStore {
  readonly #database: PostgresDatabase;
  readonly #append: Gathering<Arrival, TelemetryMessage>;

  /** `window` is the number of messages kept of each device. */
  constructor(database: PostgresDatabase, window: number) {
    this.#database = database;
    this.#append = new Gathering(database, (connection, arrivals) =>
      append(connection, arrivals, window),
    );
  }

  append(deviceId: string, message: Omit<TelemetryMessage, 'sequence'>): Promise<TelemetryMessage> {
    return this.#append.one({ deviceId, message });
  }

  latest(deviceId: string, limit: number, before?: number): Promise<readonly TelemetryMessage[]> {
    const sql = `SELECT * FROM telemetry WHERE device_id = $1 AND sequence < $2
      ORDER BY sequence DESC LIMIT $3`;
    const below = before ?? Number.MAX_SAFE_INTEGER;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, deviceId, below, limit)).map(messageOf),
    );
  }
}

async function append(
  connection: Connection,
  arrivals: readonly Arrival[],
  window: number,
): Promise<readonly TelemetryMessage[]> {
  const devices = [...new Set(arrivals.map(({ deviceId }) => deviceId))];
  const rows = await connection.all(selectLast, devices);
  const last = new Map(rows.map((row) => [text(row, 'device_id'), integer(row, 'last')]));
  const messages = arrivals.map(({ deviceId, message }) => {
    const sequence = (last.get(deviceId) ?? 0) + 1;
    last.set(deviceId, sequence);
    return { sequence, ...message };
  });
  await connection.run(
    `INSERT INTO telemetry
     SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[])`,
    arrivals.map(({ deviceId }) => deviceId),
    messages.map(({ sequence }) => sequence),
    messages.map(({ receivedMs }) => receivedMs),
    messages.map(({ path }) => path),
    messages.map(({ payload }) => payload),
  );
  await connection.run(
    deleteOld,
    devices,
    devices.map((deviceId) => (last.get(deviceId) ?? 0) - window),
  );
  return messages;
}

const selectLast = `
  SELECT device_id, max(sequence) AS last FROM telemetry
  WHERE device_id = ANY ($1::text[]) GROUP BY device_id`;

const deleteOld = `
  DELETE FROM telemetry USING unnest($1::text[], $2::bigint[]) AS old (device_id, sequence)
  WHERE telemetry.device_id = old.device_id AND telemetry.sequence <= old.sequence`;
