/** The latest messages of each device on SQLite. */
import {
  type TelemetryMessage,
  telemetryPaths,
  type TelemetryStore,
} from '../../../trust/ports/telemetryStore.ts';
import type { SqliteDatabase } from './database.ts';
import { blob, integer, type Row, word } from './rows.ts';

export class SqliteTelemetryStore implements TelemetryStore {
  readonly #database: SqliteDatabase;
  readonly #window: number;

  /** `window` is the number of messages kept of each device. */
  constructor(database: SqliteDatabase, window: number) {
    this.#database = database;
    this.#window = window;
  }

  append(deviceId: string, message: Omit<TelemetryMessage, 'sequence'>): Promise<TelemetryMessage> {
    return this.#database.transact((connection) => {
      const { receivedMs, path, payload } = message;
      const last = connection
        .prepare('SELECT max(sequence) AS last FROM telemetry WHERE device_id = ?')
        .get(deviceId)?.['last'];
      const sequence = (typeof last === 'number' ? last : 0) + 1;
      connection
        .prepare('INSERT INTO telemetry VALUES (?, ?, ?, ?, ?)')
        .run(deviceId, sequence, receivedMs, path, payload);
      connection
        .prepare('DELETE FROM telemetry WHERE device_id = ? AND sequence <= ?')
        .run(deviceId, sequence - this.#window);
      return { sequence, ...message };
    });
  }

  latest(deviceId: string, limit: number, before?: number): Promise<readonly TelemetryMessage[]> {
    const sql = `SELECT * FROM telemetry WHERE device_id = ? AND sequence < ?
      ORDER BY sequence DESC LIMIT ?`;
    return this.#database.read((connection) =>
      connection
        .prepare(sql)
        .all(deviceId, before ?? Number.MAX_SAFE_INTEGER, limit)
        .map(messageOf),
    );
  }
}

export function messageOf(row: Row): TelemetryMessage {
  return {
    sequence: integer(row, 'sequence'),
    receivedMs: integer(row, 'received_ms'),
    path: word(row, 'path', telemetryPaths),
    payload: blob(row, 'payload'),
  };
}
