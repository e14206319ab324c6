/** Tables of sessions with devices that have no IP, in the provisioner's database, and their rows. */
import type {
  SessionStanding,
  StoredHandshake,
  StoredResumption,
  StoredSession,
  UndeliveredTelemetry,
} from '../../../trust/ports/sessionStore.ts';
import type { Migration } from './migrations.ts';
import { blob, integer, type Row, text, word } from './rows.ts';

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

/** Renewal: a device has a live session, a fresh one beside it, and superseded ones for a while. */
export const renewalMigration: Migration = {
  version: 3,
  sql: `
    -- Sessions of the earlier form end here; their devices make new ones on their own.
    DROP TABLE session;
    CREATE TABLE session (
      id TEXT PRIMARY KEY,
      ingress TEXT NOT NULL,
      link_address BLOB NOT NULL,
      connection_id BLOB NOT NULL,
      device_id TEXT NOT NULL,
      began_ms INTEGER NOT NULL,
      version INTEGER NOT NULL,
      keys BLOB NOT NULL,
      state BLOB NOT NULL,
      standing TEXT NOT NULL CHECK (standing IN ('fresh', 'live', 'superseded')),
      superseded_ms INTEGER CHECK ((superseded_ms IS NOT NULL) = (standing = 'superseded'))
    ) STRICT;
    CREATE INDEX session_by_connection ON session (ingress, link_address, connection_id);
    CREATE UNIQUE INDEX session_connection_once ON session (ingress, link_address, connection_id)
      WHERE standing <> 'superseded';
    CREATE INDEX session_by_device ON session (device_id);
    CREATE UNIQUE INDEX session_standing_once ON session (device_id, standing)
      WHERE standing <> 'superseded';
    CREATE INDEX superseded_by_age ON session (superseded_ms) WHERE standing = 'superseded';

    CREATE TABLE resumption (
      session_id TEXT PRIMARY KEY,
      device_id TEXT NOT NULL,
      link_address BLOB NOT NULL,
      kid BLOB NOT NULL,
      authenticated_ms INTEGER NOT NULL,
      key BLOB NOT NULL
    ) STRICT;
    CREATE INDEX resumption_by_kid ON resumption (link_address, kid);
    CREATE INDEX resumption_by_device ON resumption (device_id);

    -- written counts every change of sessions, for comparison with a mark outside of this database.
    CREATE TABLE session_life (
      only INTEGER PRIMARY KEY CHECK (only = 1),
      store_id BLOB NOT NULL,
      incarnation INTEGER NOT NULL,
      written INTEGER NOT NULL,
      lease_token INTEGER NOT NULL,
      lease_holder TEXT NOT NULL,
      lease_until_ms INTEGER NOT NULL
    ) STRICT;
    INSERT INTO session_life VALUES (1, randomblob(16), 0, 0, 0, '', 0)
  `,
};

/** In their order, without a gap; more follow elsewhere only after these. */
export const sessionMigrations: readonly Migration[] = [sessionMigration, renewalMigration];

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
  return {
    ...handshakeOf(row),
    deviceId: text(row, 'device_id'),
    standing: word(row, 'standing', standings),
  };
}

export function resumptionOf(row: Row): StoredResumption {
  return {
    sessionId: text(row, 'session_id'),
    deviceId: text(row, 'device_id'),
    linkAddress: blob(row, 'link_address'),
    kid: blob(row, 'kid'),
    authenticatedMs: integer(row, 'authenticated_ms'),
    key: blob(row, 'key'),
  };
}

const standings: readonly SessionStanding[] = ['fresh', 'live', 'superseded'];

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
