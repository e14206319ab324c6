/**
 * Numbered changes of a schema's tables, as with SQLite: a number, once released, never changes its meaning.
 * The one row of `store_state` says how far they were applied, and counts the processes that wrote here.
 */
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { Migration } from '../sqlite/migrations.ts';
import { integer } from '../sqlite/rows.ts';
import type { ClientConnection } from './connection.ts';

/** Inside a transaction of the caller, who holds the schema's lock. */
export async function migrate(
  connection: ClientConnection,
  schema: string,
  migrations: readonly Migration[],
): Promise<void> {
  const current = await versionOf(connection, schema);
  if (current > migrations.length) {
    throw new EnvironmentError(
      `the database is of version ${current}, made by a newer birthmark; this one knows ${migrations.length}`,
      { retryable: false },
    );
  }
  for (const [index, { version, sql }] of migrations.entries()) {
    if (version !== index + 1) throw new TypeError(`migration ${version} out of order`);
    if (version <= current) continue;
    await connection.execute(sql);
    await connection.run('UPDATE store_state SET version = $1', version);
  }
}

async function versionOf(connection: ClientConnection, schema: string): Promise<number> {
  // Asked first, since IF NOT EXISTS wants the right to create schemas even where it creates none.
  const present = await connection.first('SELECT 1 FROM pg_namespace WHERE nspname = $1', schema);
  if (present === undefined) await connection.execute(`CREATE SCHEMA ${schema}`);
  await connection.execute(`
    CREATE TABLE IF NOT EXISTS store_state (
      only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
      version INTEGER NOT NULL,
      epoch BIGINT NOT NULL
    );
    INSERT INTO store_state VALUES (1, 0, 0) ON CONFLICT DO NOTHING`);
  return integer((await connection.first('SELECT version FROM store_state')) ?? {}, 'version');
}
