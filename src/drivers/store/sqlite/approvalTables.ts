/** Tables of the issuing database for operators, their roles, and approvals of dangerous acts. */
import type { Migration } from './migrations.ts';

export const approvalMigration: Migration = {
  version: 5,
  sql: `
    -- No row: one person is enough. The row, once there, stays.
    CREATE TABLE two_person (
      only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
      installation BLOB NOT NULL CHECK (length(installation) = 16),
      since_ms INTEGER NOT NULL,
      mass_limit INTEGER NOT NULL CHECK (mass_limit >= 0)
    ) STRICT;

    CREATE TABLE operators (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL UNIQUE,
      certificate BLOB NOT NULL,
      key_id BLOB NOT NULL UNIQUE CHECK (length(key_id) = 20),
      added_ms INTEGER NOT NULL,
      revoked_ms INTEGER
    ) STRICT;

    CREATE TABLE operator_roles (
      id INTEGER PRIMARY KEY,
      operator INTEGER NOT NULL REFERENCES operators,
      role TEXT NOT NULL,
      granted_ms INTEGER NOT NULL,
      withdrawn_ms INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX operator_roles_held ON operator_roles (operator, role)
      WHERE withdrawn_ms IS NULL;

    CREATE TABLE approvals (
      id INTEGER PRIMARY KEY,
      sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
      act TEXT NOT NULL,
      requester INTEGER NOT NULL REFERENCES operators,
      signed BLOB NOT NULL,
      taken_ms INTEGER NOT NULL,
      expires_ms INTEGER NOT NULL,
      decision TEXT,
      -- The belt to the braces of the program: nobody approves a request of their own.
      decided_by INTEGER REFERENCES operators CHECK (decision <> 'approved' OR decided_by <> requester),
      decision_signed BLOB,
      decided_ms INTEGER,
      spent_ms INTEGER,
      done_ms INTEGER CHECK (done_ms IS NULL OR spent_ms IS NOT NULL)
    ) STRICT;
    CREATE INDEX approvals_waiting ON approvals (requester) WHERE decision IS NULL AND spent_ms IS NULL;
  `,
};
