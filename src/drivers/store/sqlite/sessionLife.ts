/**
 * Whether a database of sessions goes on or was put back to an earlier state, and what follows. What was
 * put back has replay windows and sequence numbers from before: a new incarnation makes sessions synchronize
 * first. Where nothing says how often that happened before, only new handshakes help.
 */
import { type Life, LifeMark } from '../files/lifeMark.ts';
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

/** What the database says of its life. Each change is durable when it resolves. */
export interface LifeRows {
  stored(): Promise<Life>;
  /** Ends handshakes, sessions and resumption keys; begins with incarnation 0. */
  forget(): Promise<void>;
  /** Ends handshakes: message_3 of one that was completed already would make its session a second time. */
  reincarnate(incarnation: number): Promise<void>;
}

/** The file of the mark lies where a backup of the database does not reach it. */
export function openSessionLife(database: SqliteDatabase, markFile: string): Promise<SessionLife> {
  return beginLife(sqliteRows(database), markFile);
}

export async function beginLife(rows: LifeRows, markFile: string): Promise<SessionLife> {
  const mark = new LifeMark(markFile);
  const marked = mark.read();
  const stored = await rows.stored();
  const isOurs = marked !== undefined && Buffer.compare(marked.storeId, stored.storeId) === 0;
  let incarnation = stored.incarnation;
  if (!isOurs) {
    incarnation = 0;
    // A crash between the two writes: without its mark the same is done again.
    await rows.forget();
    mark.begin({ storeId: stored.storeId, incarnation, written: stored.written });
  } else if (stored.written < marked.written || stored.incarnation !== marked.incarnation) {
    incarnation = marked.incarnation + 1;
    // A crash between the two writes: the next start finds them different and counts one more.
    mark.begin({ storeId: stored.storeId, incarnation, written: stored.written });
    await rows.reincarnate(incarnation);
  }
  return {
    incarnation,
    wrote: (written) => mark.advance(written),
    close: () => mark.close(),
  };
}

function sqliteRows(database: SqliteDatabase): LifeRows {
  return {
    stored: () => database.read((connection) => lifeOf(connection.prepare(selectLife).get())),
    forget: () =>
      database.transact((connection) => {
        for (const table of ['handshake', 'session', 'resumption'] as const) {
          connection.prepare(`DELETE FROM ${table}`).run();
        }
        connection.prepare('UPDATE session_life SET incarnation = 0').run();
      }),
    reincarnate: (incarnation) =>
      database.transact((connection) => {
        connection.prepare('DELETE FROM handshake').run();
        connection.prepare('UPDATE session_life SET incarnation = ?').run(incarnation);
      }),
  };
}

const selectLife = 'SELECT * FROM session_life';

export function lifeOf(row: Row | undefined): Life {
  if (row === undefined) throw new TypeError('the database has no sessions');
  return {
    storeId: blob(row, 'store_id'),
    incarnation: integer(row, 'incarnation'),
    written: integer(row, 'written'),
  };
}
