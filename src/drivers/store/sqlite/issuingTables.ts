/**
 * Tables of the issuing database. Rows are only ever added or marked, never deleted. Everything that has
 * to be unique over all batches is a unique index, so that no path of the program can break it.
 */
import { approvalMigration } from './approvalTables.ts';
import { caseMigration } from './caseStore.ts';
import { foreignMigration } from './foreignTables.ts';
import { grantMigration } from './grantTables.ts';
import type { Migration } from './migrations.ts';
import { statusMigration } from './statusTables.ts';

export const issuingMigrations: readonly Migration[] = [
  {
    version: 1,
    sql: `
      CREATE TABLE orders (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        product TEXT NOT NULL,
        family TEXT NOT NULL,
        profile TEXT NOT NULL,
        hw_type TEXT NOT NULL,
        part_number TEXT NOT NULL,
        quantity INTEGER NOT NULL CHECK (quantity > 0),
        least_proof INTEGER NOT NULL,
        eui64_first BLOB NOT NULL UNIQUE CHECK (length(eui64_first) = 8),
        eui64_last BLOB NOT NULL CHECK (length(eui64_last) = 8),
        eui64_taken INTEGER NOT NULL DEFAULT 0 CHECK (eui64_taken <= quantity),
        server_identity BLOB NOT NULL,
        created_ms INTEGER NOT NULL
      ) STRICT;

      CREATE TABLE batches (
        id INTEGER PRIMARY KEY,
        order_id INTEGER NOT NULL REFERENCES orders,
        name TEXT NOT NULL UNIQUE,
        quantity INTEGER NOT NULL CHECK (quantity > 0),
        closed_ms INTEGER,
        -- Counts closed batches from 1, so that whoever imports manifests knows which ones are new.
        closed_sequence INTEGER UNIQUE
      ) STRICT;
      CREATE INDEX batches_of_order ON batches (order_id);

      CREATE TABLE tickets (
        id INTEGER PRIMARY KEY,
        ticket_id BLOB NOT NULL UNIQUE CHECK (length(ticket_id) = 16),
        batch_id INTEGER NOT NULL REFERENCES batches,
        station_spki BLOB NOT NULL,
        count INTEGER NOT NULL CHECK (count > 0),
        -- The belt to the braces of T1: no transaction can commit one identity too many.
        taken INTEGER NOT NULL DEFAULT 0 CHECK (taken BETWEEN 0 AND count),
        least_proof INTEGER NOT NULL,
        not_before_ms INTEGER NOT NULL,
        not_after_ms INTEGER NOT NULL,
        signed BLOB NOT NULL,
        sealed_agree_key BLOB,
        agree_key BLOB,
        closed_ms INTEGER
      ) STRICT;
      CREATE INDEX tickets_of_batch ON tickets (batch_id);

      -- T1. What is signed is exactly tbs, once or again after a crash.
      CREATE TABLE issuances (
        id INTEGER PRIMARY KEY,
        serial BLOB NOT NULL UNIQUE CHECK (length(serial) = 16),
        issuer TEXT NOT NULL,
        profile TEXT NOT NULL,
        -- NULL for birth certificates: their holder is units.device_id.
        holder TEXT,
        key_id BLOB NOT NULL CHECK (length(key_id) = 20),
        prepared_ms INTEGER NOT NULL,
        not_after_ms INTEGER NOT NULL,
        tbs BLOB NOT NULL
      ) STRICT;
      CREATE INDEX issuances_of_holder ON issuances (holder) WHERE holder IS NOT NULL;
      CREATE INDEX issuances_of_key ON issuances (key_id) WHERE holder IS NOT NULL;

      -- T2.
      CREATE TABLE signatures (
        id INTEGER PRIMARY KEY REFERENCES issuances,
        signature BLOB NOT NULL
      ) STRICT;

      CREATE TABLE units (
        id INTEGER PRIMARY KEY REFERENCES issuances,
        ticket INTEGER NOT NULL REFERENCES tickets,
        family TEXT NOT NULL,
        uid BLOB NOT NULL,
        model TEXT NOT NULL,
        firmware TEXT NOT NULL,
        proof INTEGER NOT NULL,
        device_id TEXT NOT NULL UNIQUE CHECK (length(device_id) = 16),
        eui64 BLOB NOT NULL UNIQUE CHECK (length(eui64) = 8),
        agree_key BLOB,
        state INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',
        reported_ms INTEGER,
        UNIQUE (uid, family)
      ) STRICT;
      CREATE INDEX units_of_ticket ON units (ticket);

      -- Sign keys and agree keys of all units together: a key lives in one slot of one element.
      CREATE TABLE unit_keys (
        key_id BLOB PRIMARY KEY CHECK (length(key_id) = 20),
        unit INTEGER NOT NULL REFERENCES units
      ) STRICT, WITHOUT ROWID;

      CREATE TABLE revocations (
        id INTEGER PRIMARY KEY REFERENCES issuances,
        reason TEXT NOT NULL,
        at_ms INTEGER NOT NULL
      ) STRICT;

      -- Leaves of the audit log in the order of their commit; leaf n of the log has id n + 1.
      CREATE TABLE audit_leaves (
        id INTEGER PRIMARY KEY,
        entry BLOB NOT NULL
      ) STRICT;

      CREATE TABLE audit_heads (
        tree_size INTEGER PRIMARY KEY,
        root BLOB NOT NULL CHECK (length(root) = 32),
        subtrees BLOB NOT NULL,
        at_ms INTEGER NOT NULL
      ) STRICT;

      CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value BLOB NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  foreignMigration,
  statusMigration,
  grantMigration,
  approvalMigration,
  {
    version: 6,
    sql: `
      -- After a restore: no identity is made under it any more, nor a ticket; what was made is accounted for.
      ALTER TABLE orders ADD COLUMN ended_ms INTEGER
    `,
  },
  {
    version: 7,
    sql: `
      -- Every version that certificates were, or could be, issued from.
      CREATE TABLE profiles (
        name TEXT NOT NULL,
        version INTEGER NOT NULL CHECK (version > 0),
        sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
        document TEXT NOT NULL,
        added_ms INTEGER NOT NULL,
        PRIMARY KEY (name, version)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  caseMigration,
];
