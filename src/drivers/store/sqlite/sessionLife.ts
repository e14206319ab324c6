/**
 * Whether a database of sessions goes on or was put back to an earlier state, and what follows. What was
 * put back has replay windows and sequence numbers from before: a new incarnation makes sessions synchronize
 * first. Where nothing says how often that happened before, only new handshakes help.
 */
import { LifeMark } from '../files/lifeMark.ts';
import type { SqliteDatabase } from './database.ts';
import { blob, integer, type Row } from './rows.ts';

export interface SessionLife {
  readonly incarnation: number;
  /** After a commit: how far the database is. */
  readonly wrote: (written: number) => void;
  close(): void;
}

/** For databases that nobody puts back, and for tests. */
export const singleLife: SessionLife = {
  incarnation: 0,
  wrote: () => undefined,
  close: () => undefined,
};

/** The file of the mark lies where a backup of the database does not reach it. */
export async function openSessionLife(
  database: SqliteDatabase,
  markFile: string,
): Promise<SessionLife> {
  const mark = new LifeMark(markFile);
  const marked = mark.read();
  const stored = await database.read((connection) => rowOf(connection.prepare(selectLife).get()));
  const isOurs = marked !== undefined && Buffer.compare(marked.storeId, stored.storeId) === 0;
  let incarnation = stored.incarnation;
  if (!isOurs) {
    incarnation = 0;
    // A crash between the two writes: without its mark the same is done again.
    await database.transact((connection) => {
      for (const table of ['handshake', 'session', 'resumption'] as const) {
        connection.prepare(`DELETE FROM ${table}`).run();
      }
      connection.prepare('UPDATE session_life SET incarnation = 0').run();
    });
    mark.begin({ storeId: stored.storeId, incarnation, written: stored.written });
  } else if (stored.written < marked.written || stored.incarnation !== marked.incarnation) {
    incarnation = marked.incarnation + 1;
    // A crash between the two writes: the next start finds them different and counts one more.
    mark.begin({ storeId: stored.storeId, incarnation, written: stored.written });
    await database.transact((connection) => {
      // message_3 of a handshake that was completed already would make its session a second time.
      connection.prepare('DELETE FROM handshake').run();
      connection.prepare('UPDATE session_life SET incarnation = ?').run(incarnation);
    });
  }
  return {
    incarnation,
    wrote: (written) => mark.advance(written),
    close: () => mark.close(),
  };
}

const selectLife = 'SELECT * FROM session_life';

function rowOf(row: Row | undefined): {
  readonly storeId: Uint8Array;
  readonly incarnation: number;
  readonly written: number;
} {
  if (row === undefined) throw new TypeError('the database has no sessions');
  return {
    storeId: blob(row, 'store_id'),
    incarnation: integer(row, 'incarnation'),
    written: integer(row, 'written'),
  };
}
