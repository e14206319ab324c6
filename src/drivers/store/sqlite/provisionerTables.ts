/** Everything that the provisioner's database consists of, in the order in which it grew. */
import { answerMigration } from './answerStore.ts';
import type { Migration } from './migrations.ts';
import { registryMigration } from './registryTables.ts';
import { sessionMigrations } from './sessionTables.ts';
import { sessionWitnessMigration } from './sessionWitnesses.ts';
import { tokenMigration } from './tokenStore.ts';

/** A hold can be taken back, and the authority is told whose certificate and why in its own words. */
const holdMigration: Migration = {
  version: 4,
  sql: `
    ALTER TABLE device ADD COLUMN held_ms INTEGER;
    ALTER TABLE notice ADD COLUMN code TEXT NOT NULL DEFAULT 'unspecified';
    ALTER TABLE notice ADD COLUMN holder TEXT;
  `,
};

export const provisionerMigrations: readonly Migration[] = [
  registryMigration,
  ...sessionMigrations,
  holdMigration,
  answerMigration,
  sessionWitnessMigration,
  tokenMigration,
];
