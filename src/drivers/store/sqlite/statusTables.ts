/** Tables of the issuing database for the status of certificates and the lists that tell it. */
import type { Migration } from './migrations.ts';

export const statusMigration: Migration = {
  version: 3,
  sql: `
    CREATE TABLE authorities (
      name TEXT PRIMARY KEY,
      shards INTEGER NOT NULL CHECK (shards BETWEEN 1 AND 4096),
      base_url TEXT
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE lists (
      id INTEGER PRIMARY KEY,
      authority TEXT NOT NULL REFERENCES authorities,
      shard INTEGER NOT NULL,
      -- Grows with every change of its certificates; the stored list shows listed_revision.
      revision INTEGER NOT NULL DEFAULT 0,
      listed_revision INTEGER NOT NULL DEFAULT -1,
      number INTEGER NOT NULL DEFAULT 0,
      due_ms INTEGER NOT NULL DEFAULT 0,
      UNIQUE (authority, shard)
    ) STRICT;

    -- Apart from lists: a revocation must not copy a megabyte because it stands in the same row.
    CREATE TABLE signed_lists (
      list INTEGER PRIMARY KEY REFERENCES lists,
      publication INTEGER NOT NULL UNIQUE,
      number INTEGER NOT NULL,
      this_update_ms INTEGER NOT NULL,
      next_update_ms INTEGER NOT NULL,
      entries INTEGER NOT NULL,
      der BLOB NOT NULL
    ) STRICT;

    -- One row a certificate, kept by list, so that a list is read in one walk.
    CREATE TABLE list_entries (
      list INTEGER NOT NULL REFERENCES lists,
      certificate INTEGER NOT NULL UNIQUE REFERENCES issuances,
      change INTEGER NOT NULL UNIQUE,
      -- CRLReason (RFC 5280 §5.3.1); NULL after a hold was taken back.
      code INTEGER,
      at_ms INTEGER NOT NULL,
      not_after_ms INTEGER NOT NULL,
      -- 0: taken back, or expired and shown on a regular list since.
      listed INTEGER NOT NULL CHECK (listed IN (0, 1)),
      -- As it stands on the list. NULL for revocations of before this table, until the next start.
      entry BLOB,
      PRIMARY KEY (list, certificate)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX list_entries_unencoded ON list_entries (certificate) WHERE entry IS NULL;

    -- Authorities of before this table name no lists in their certificates: one list each, complete.
    INSERT INTO authorities SELECT DISTINCT issuer, 1, NULL FROM issuances;
    INSERT INTO lists (authority, shard) SELECT name, 0 FROM authorities;
    INSERT INTO list_entries
      SELECT lists.id, issuances.id, row_number() OVER (ORDER BY issuances.id), 0, at_ms, not_after_ms,
             1, NULL
      FROM revocations JOIN issuances USING (id) JOIN lists ON authority = issuer;
  `,
};
