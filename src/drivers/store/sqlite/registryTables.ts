/** Tables of the provisioner's registry, outbox and telemetry, and their rows as records. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import {
  type AuthorityNotice,
  certificateKinds,
  type CertificateRecord,
  certificateStates,
  type DeviceRecord,
  deviceStates,
  type ForeignAuthority,
} from '../../../trust/ports/registryStore.ts';
import { isReason, type RevocationReason } from '../../../wire/crl/reason.ts';
import { proofLevels } from '../../../wire/line/ticket.ts';
import type { Migration } from './migrations.ts';
import {
  blob,
  integer,
  optionalBlob,
  optionalInteger,
  optionalText,
  type Row,
  text,
  word,
} from './rows.ts';

export const registryMigration: Migration = {
  version: 1,
  sql: `
    CREATE TABLE product (
      name TEXT PRIMARY KEY,
      role TEXT NOT NULL CHECK (role IN ('sensor', 'gateway'))
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE device (
      device_id TEXT PRIMARY KEY,
      family TEXT NOT NULL,
      uid BLOB NOT NULL,
      eui64 BLOB UNIQUE,
      product TEXT NOT NULL,
      owner TEXT NOT NULL,
      sign_key BLOB NOT NULL UNIQUE,
      agree_key BLOB UNIQUE,
      kid BLOB,
      proof_level TEXT NOT NULL,
      role TEXT NOT NULL,
      state TEXT NOT NULL CHECK (state IN ('expected', 'released', 'enrolled', 'revoked')),
      imported_ms INTEGER NOT NULL,
      enrolled_ms INTEGER,
      revoked_ms INTEGER,
      revocation_reason TEXT,
      UNIQUE (family, uid),
      CHECK ((state = 'revoked') = (revoked_ms IS NOT NULL))
    ) STRICT;
    CREATE INDEX device_by_kid ON device (kid, device_id);
    CREATE INDEX device_by_state ON device (state, device_id);
    CREATE INDEX device_by_product ON device (product);

    CREATE TABLE certificate (
      sequence INTEGER PRIMARY KEY,
      sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
      kind TEXT NOT NULL,
      holder TEXT NOT NULL,
      not_after_ms INTEGER,
      state TEXT NOT NULL CHECK (state IN ('active', 'held', 'superseded', 'revoked')),
      added_ms INTEGER NOT NULL,
      revoked_ms INTEGER,
      revocation_reason TEXT
    ) STRICT;
    CREATE INDEX certificate_by_holder ON certificate (holder, sequence);

    CREATE TABLE foreign_authority (
      sequence INTEGER PRIMARY KEY,
      role TEXT NOT NULL CHECK (role IN ('anchor', 'intermediate')),
      certificate BLOB NOT NULL UNIQUE,
      added_ms INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE manifest_import (
      only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
      sequence INTEGER NOT NULL
    ) STRICT;
    INSERT INTO manifest_import VALUES (1, 0);

    CREATE TABLE notice (
      sequence INTEGER PRIMARY KEY AUTOINCREMENT,
      act TEXT NOT NULL CHECK (act IN ('revoke-device', 'revoke-certificate')),
      subject TEXT NOT NULL,
      reason TEXT NOT NULL,
      at_ms INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE telemetry (
      device_id TEXT NOT NULL,
      sequence INTEGER NOT NULL,
      received_ms INTEGER NOT NULL,
      path TEXT NOT NULL CHECK (path IN ('mqtt', 'https', 'oscore')),
      payload BLOB NOT NULL,
      PRIMARY KEY (device_id, sequence)
    ) STRICT, WITHOUT ROWID;
  `,
};

export function deviceOf(row: Row): DeviceRecord {
  return {
    deviceId: text(row, 'device_id'),
    family: text(row, 'family'),
    uid: blob(row, 'uid'),
    eui64: optionalBlob(row, 'eui64'),
    product: text(row, 'product'),
    owner: text(row, 'owner'),
    signKeySpki: blob(row, 'sign_key'),
    agreeKey: optionalBlob(row, 'agree_key'),
    kid: optionalBlob(row, 'kid'),
    proofLevel: word(row, 'proof_level', proofLevels),
    role: word(row, 'role', ['sensor', 'gateway']),
    state: word(row, 'state', deviceStates),
    importedMs: integer(row, 'imported_ms'),
    enrolledMs: optionalInteger(row, 'enrolled_ms'),
    revokedMs: optionalInteger(row, 'revoked_ms'),
    revocationReason: optionalText(row, 'revocation_reason'),
    heldMs: optionalInteger(row, 'held_ms'),
  };
}

export function certificateOf(row: Row): CertificateRecord {
  return {
    sha256: blob(row, 'sha256'),
    kind: word(row, 'kind', certificateKinds),
    holder: text(row, 'holder'),
    notAfterMs: optionalInteger(row, 'not_after_ms'),
    state: word(row, 'state', certificateStates),
    addedMs: integer(row, 'added_ms'),
    revokedMs: optionalInteger(row, 'revoked_ms'),
    revocationReason: optionalText(row, 'revocation_reason'),
  };
}

export function foreignAuthorityOf(row: Row): ForeignAuthority {
  return {
    role: word(row, 'role', ['anchor', 'intermediate']),
    certificate: blob(row, 'certificate'),
  };
}

export function noticeOf(row: Row): AuthorityNotice {
  return {
    sequence: integer(row, 'sequence'),
    act: word(row, 'act', ['revoke-device', 'revoke-certificate']),
    subject: text(row, 'subject'),
    holder: optionalText(row, 'holder'),
    code: reasonIn(row),
    reason: text(row, 'reason'),
    atMs: integer(row, 'at_ms'),
  };
}

function reasonIn(row: Row): RevocationReason {
  const name = text(row, 'code');
  if (isReason(name)) return name;
  throw new InvariantError(`${name} is no reason of a revocation`);
}
