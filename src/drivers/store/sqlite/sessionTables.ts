/** Tables of sessions with devices that have no IP, in the provisioner's database, and their rows. */
import type {
  StoredHandshake,
  StoredSession,
  UndeliveredTelemetry,
} from '../../../trust/ports/sessionStore.ts';
import type { Migration } from './migrations.ts';
import { blob, integer, type Row, text } from './rows.ts';

export const sessionMigration: Migration = {
  version: 2,
  sql: `
    -- AUTOINCREMENT: which of two handshakes is the newer one must never be in doubt.
    CREATE TABLE handshake (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      id TEXT NOT NULL UNIQUE,
      ingress TEXT NOT NULL,
      link_address BLOB NOT NULL,
      connection_id BLOB NOT NULL,
      began_ms INTEGER NOT NULL,
      version INTEGER NOT NULL,
      keys BLOB NOT NULL,
      state BLOB NOT NULL,
      UNIQUE (ingress, link_address, connection_id)
    ) STRICT;
    CREATE INDEX handshake_by_age ON handshake (began_ms);
    CREATE INDEX handshake_by_ingress ON handshake (ingress, sequence);

    CREATE TABLE session (
      id TEXT PRIMARY KEY,
      ingress TEXT NOT NULL,
      link_address BLOB NOT NULL,
      connection_id BLOB NOT NULL,
      device_id TEXT NOT NULL UNIQUE,
      began_ms INTEGER NOT NULL,
      version INTEGER NOT NULL,
      keys BLOB NOT NULL,
      state BLOB NOT NULL,
      UNIQUE (ingress, link_address, connection_id)
    ) STRICT;

    CREATE TABLE undelivered (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      session_id TEXT NOT NULL,
      sequence_number INTEGER NOT NULL,
      device_id TEXT NOT NULL,
      ingress TEXT NOT NULL,
      link_address BLOB NOT NULL,
      received_ms INTEGER NOT NULL,
      payload BLOB NOT NULL,
      UNIQUE (session_id, sequence_number)
    ) STRICT;
    CREATE INDEX undelivered_by_device ON undelivered (device_id)
  `,
};

export function handshakeOf(row: Row): StoredHandshake {
  return {
    id: text(row, 'id'),
    ingress: text(row, 'ingress'),
    linkAddress: blob(row, 'link_address'),
    connectionId: blob(row, 'connection_id'),
    beganMs: integer(row, 'began_ms'),
    version: integer(row, 'version'),
    keys: blob(row, 'keys'),
    state: blob(row, 'state'),
  };
}

export function sessionOf(row: Row): StoredSession {
  return { ...handshakeOf(row), deviceId: text(row, 'device_id') };
}

export function undeliveredOf(row: Row): UndeliveredTelemetry {
  return {
    sessionId: text(row, 'session_id'),
    sequenceNumber: integer(row, 'sequence_number'),
    deviceId: text(row, 'device_id'),
    ingress: text(row, 'ingress'),
    linkAddress: blob(row, 'link_address'),
    receivedMs: integer(row, 'received_ms'),
    payload: blob(row, 'payload'),
  };
}
