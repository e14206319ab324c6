/** Numbered changes of a database's tables. A number, once released, never changes its meaning. */
import type { DatabaseSync } from 'node:sqlite';
import { EnvironmentError } from '../../../trust/ports/faults.ts';

export interface Migration {
  /** 1, 2, 3, ... without a gap. */
  readonly version: number;
  readonly sql: string;
}

/** Applies what is missing, each migration in a transaction of its own: a crash leaves a whole version. */
export function migrate(database: DatabaseSync, migrations: readonly Migration[]): void {
  const current = versionOf(database);
  if (current > migrations.length) {
    throw new EnvironmentError(
      `the database is of version ${current}, made by a newer birthmark; this one knows ${migrations.length}`,
      { retryable: false },
    );
  }
  for (const [index, { version, sql }] of migrations.entries()) {
    if (version !== index + 1) throw new TypeError(`migration ${version} out of order`);
    if (version <= current) continue;
    database.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${version}; COMMIT`);
  }
}

export function versionOf(database: DatabaseSync): number {
  const version = database.prepare('PRAGMA user_version').get()?.['user_version'];
  return typeof version === 'number' ? version : 0;
}
