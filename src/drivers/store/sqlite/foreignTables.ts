/** Tables of the issuing database for elements of other makers. */
import type { Migration } from './migrations.ts';

export const foreignMigration: Migration = {
  version: 2,
  sql: `
    CREATE TABLE foreign_anchors (
      id INTEGER PRIMARY KEY,
      product TEXT NOT NULL,
      sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
      certificate BLOB NOT NULL,
      count INTEGER NOT NULL CHECK (count > 0),
      -- As with tickets: no transaction can commit one device too many.
      taken INTEGER NOT NULL DEFAULT 0 CHECK (taken BETWEEN 0 AND count),
      pinned_ms INTEGER NOT NULL,
      retired_ms INTEGER,
      UNIQUE (product, sha256)
    ) STRICT;

    CREATE TABLE foreign_devices (
      device_id TEXT PRIMARY KEY CHECK (length(device_id) = 16),
      anchor INTEGER NOT NULL REFERENCES foreign_anchors,
      certificate_sha256 BLOB NOT NULL UNIQUE CHECK (length(certificate_sha256) = 32),
      key_id BLOB NOT NULL UNIQUE CHECK (length(key_id) = 20),
      bound_ms INTEGER NOT NULL,
      revoked_ms INTEGER
    ) STRICT, WITHOUT ROWID;
  `,
};
