/** Tables of the issuing database for one-time secrets, approvals and the policies of enrolment. */
import type { Migration } from './migrations.ts';

export const grantMigration: Migration = {
  version: 4,
  sql: `
    CREATE TABLE enrolment_secrets (
      id INTEGER PRIMARY KEY,
      secret_sha256 BLOB NOT NULL UNIQUE CHECK (length(secret_sha256) = 32),
      device_id TEXT NOT NULL CHECK (length(device_id) = 16),
      product TEXT NOT NULL,
      profile TEXT NOT NULL,
      created_ms INTEGER NOT NULL,
      expires_ms INTEGER NOT NULL,
      key_id BLOB CHECK (length(key_id) = 20),
      -- Set in T1: two certificates on one secret are two rows of one intent.
      issuance INTEGER UNIQUE REFERENCES issuances,
      voided_ms INTEGER
    ) STRICT;

    CREATE TABLE enrolment_approvals (
      id INTEGER PRIMARY KEY,
      device_id TEXT NOT NULL,
      key_id BLOB NOT NULL CHECK (length(key_id) = 20),
      profile TEXT NOT NULL,
      cause TEXT NOT NULL,
      requested_ms INTEGER NOT NULL,
      decision TEXT,
      decided_by TEXT,
      decided_ms INTEGER,
      issuance INTEGER UNIQUE REFERENCES issuances
    ) STRICT;
    CREATE INDEX approvals_of_device ON enrolment_approvals (device_id);
    CREATE INDEX approvals_undecided ON enrolment_approvals (id) WHERE decision IS NULL;

    CREATE TABLE enrolment_policies (
      profile TEXT PRIMARY KEY,
      approval TEXT NOT NULL,
      after_expiry TEXT NOT NULL,
      expiry_days INTEGER
    ) STRICT, WITHOUT ROWID;
  `,
};
