/** Whether a schema of sessions goes on or was put back to an earlier state, as with SQLite. */
import { beginLife, lifeOf, type SessionLife } from '../sqlite/sessionLife.ts';
import type { PostgresDatabase } from './database.ts';

/** The file of the mark lies on this machine: a backup of the server does not reach it. */
export function openSessionLife(
  database: PostgresDatabase,
  markFile: string,
): Promise<SessionLife> {
  return beginLife(
    {
      stored: () =>
        database.read(async (connection) => {
          return lifeOf(await connection.first('SELECT * FROM session_life'));
        }),
      forget: () =>
        database.transact(async (connection) => {
          for (const table of ['handshake', 'session', 'resumption'] as const) {
            await connection.run(`DELETE FROM ${table}`);
          }
          await connection.run('UPDATE session_life SET incarnation = 0');
        }),
      reincarnate: (incarnation) =>
        database.transact(async (connection) => {
          await connection.run('DELETE FROM handshake');
          await connection.run('UPDATE session_life SET incarnation = $1', incarnation);
        }),
    },
    markFile,
  );
}
