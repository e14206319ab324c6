/** Kept answers of the API on SQLite. */
import type { AnswerStore, KeptAnswer } from '../../../trust/ports/answerStore.ts';
import type { SqliteDatabase } from './database.ts';
import type { Migration } from './migrations.ts';
import { blob, integer, type Row, text } from './rows.ts';

export const answerMigration: Migration = {
  version: 5,
  sql: `
    CREATE TABLE kept_answer (
      caller TEXT NOT NULL,
      key TEXT NOT NULL,
      fingerprint BLOB NOT NULL CHECK (length(fingerprint) = 32),
      status INTEGER NOT NULL,
      type TEXT NOT NULL,
      body TEXT NOT NULL,
      kept_ms INTEGER NOT NULL,
      PRIMARY KEY (caller, key)
    ) WITHOUT ROWID;
    CREATE INDEX kept_answer_by_age ON kept_answer (kept_ms);
  `,
};

export class SqliteAnswerStore implements AnswerStore {
  readonly #database: SqliteDatabase;

  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  answer(caller: string, key: string): Promise<KeptAnswer | undefined> {
    return this.#database.read((connection) => {
      const row = connection
        .prepare('SELECT * FROM kept_answer WHERE caller = ? AND key = ?')
        .get(caller, key);
      return row === undefined ? undefined : answerOf(row);
    });
  }

  keep(caller: string, key: string, answer: KeptAnswer, dropBeforeMs: number): Promise<void> {
    const { fingerprint, status, type, body, keptMs } = answer;
    return this.#database.transact((connection) => {
      connection.prepare('DELETE FROM kept_answer WHERE kept_ms < ?').run(dropBeforeMs);
      connection
        .prepare('INSERT INTO kept_answer VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING')
        .run(caller, key, fingerprint, status, type, body, keptMs);
    });
  }
}

export function answerOf(row: Row): KeptAnswer {
  return {
    fingerprint: blob(row, 'fingerprint'),
    status: integer(row, 'status'),
    type: text(row, 'type'),
    body: text(row, 'body'),
    keptMs: integer(row, 'kept_ms'),
  };
}
