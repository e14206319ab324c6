/** What sessions leave beside themselves on SQLite: evidence of clones, and certificate chains that were shown. */
import {
  type ChainStore,
  maximumShownChains,
  type ShownChain,
  type ThumbprintKind,
} from '../../../trust/ports/chainStore.ts';
import {
  cloneReasons,
  type CloneRecord,
  type CloneStore,
  maximumCloneRecords,
} from '../../../trust/ports/cloneStore.ts';
import { CborReader } from '../../../wire/cbor/reader.ts';
import * as cbor from '../../../wire/cbor/writer.ts';
import type { SqliteDatabase } from './database.ts';
import type { Migration } from './migrations.ts';
import { blob, integer, type Row, text, word } from './rows.ts';

export const sessionWitnessMigration: Migration = {
  version: 6,
  sql: `
    CREATE TABLE clone_evidence (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      device_id TEXT NOT NULL,
      session_id TEXT NOT NULL,
      sequence_number INTEGER NOT NULL,
      reason TEXT NOT NULL,
      seen_ms INTEGER NOT NULL,
      message_hash BLOB NOT NULL UNIQUE CHECK (length(message_hash) = 32),
      ingress TEXT NOT NULL,
      link_address BLOB NOT NULL
    ) STRICT;
    CREATE INDEX clone_evidence_by_device ON clone_evidence (device_id, sequence);

    CREATE TABLE shown_chain (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      kind TEXT NOT NULL CHECK (kind IN ('x5t', 'c5t')),
      hash BLOB NOT NULL CHECK (length(hash) = 8),
      device_id TEXT NOT NULL,
      chain BLOB NOT NULL,
      UNIQUE (kind, hash)
    ) STRICT;
    CREATE INDEX shown_chain_by_device ON shown_chain (device_id, sequence)
  `,
};

export class SqliteCloneStore implements CloneStore {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  record(evidence: CloneRecord): Promise<boolean> {
    const { deviceId, sessionId, sequenceNumber, reason, seenMs, messageHash } = evidence;
    const { ingress, linkAddress } = evidence;
    return this.#database.transact((connection) => {
      const added = connection
        .prepare(
          'INSERT INTO clone_evidence VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING',
        )
        .run(
          deviceId,
          sessionId,
          sequenceNumber,
          reason,
          seenMs,
          messageHash,
          ingress,
          linkAddress,
        );
      if (added.changes !== 1) return false;
      connection
        .prepare(
          `DELETE FROM clone_evidence WHERE sequence IN (
             SELECT sequence FROM clone_evidence WHERE device_id = ?
             ORDER BY sequence DESC LIMIT -1 OFFSET ${maximumCloneRecords}
           )`,
        )
        .run(deviceId);
      return true;
    });
  }

  evidenceOf(deviceId: string): Promise<readonly CloneRecord[]> {
    const sql = 'SELECT * FROM clone_evidence WHERE device_id = ? ORDER BY sequence DESC';
    return this.#database.read((connection) =>
      connection.prepare(sql).all(deviceId).map(cloneRecordOf),
    );
  }
}

export class SqliteChainStore implements ChainStore {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  chain(kind: ThumbprintKind, hash: Uint8Array): Promise<readonly Uint8Array[] | undefined> {
    const sql = 'SELECT chain FROM shown_chain WHERE kind = ? AND hash = ?';
    return this.#database.read((connection) => {
      const row = connection.prepare(sql).get(kind, hash);
      return row === undefined ? undefined : chainOf(row);
    });
  }

  remember({ kind, hash, deviceId, certificates }: ShownChain): Promise<void> {
    return this.#database.transact((connection) => {
      connection.prepare('DELETE FROM shown_chain WHERE kind = ? AND hash = ?').run(kind, hash);
      connection
        .prepare('INSERT INTO shown_chain VALUES (NULL, ?, ?, ?, ?)')
        .run(kind, hash, deviceId, encodeChain(certificates));
      connection
        .prepare(
          `DELETE FROM shown_chain WHERE sequence IN (
             SELECT sequence FROM shown_chain WHERE device_id = ?
             ORDER BY sequence DESC LIMIT -1 OFFSET ${maximumShownChains}
           )`,
        )
        .run(deviceId);
    });
  }
}

export function cloneRecordOf(row: Row): CloneRecord {
  return {
    deviceId: text(row, 'device_id'),
    sessionId: text(row, 'session_id'),
    sequenceNumber: integer(row, 'sequence_number'),
    reason: word(row, 'reason', cloneReasons),
    seenMs: integer(row, 'seen_ms'),
    messageHash: blob(row, 'message_hash'),
    ingress: text(row, 'ingress'),
    linkAddress: blob(row, 'link_address'),
  };
}

/** Both databases hold the chain as one CBOR array of byte strings. */
export function encodeChain(certificates: readonly Uint8Array[]): Uint8Array {
  return cbor.array(...certificates.map((one) => cbor.bytes(one)));
}

export function chainOf(row: Row): readonly Uint8Array[] {
  const reader = new CborReader(blob(row, 'chain'));
  const certificates = Array.from({ length: reader.array() }, () => reader.bytes().slice());
  reader.end();
  return certificates;
}
