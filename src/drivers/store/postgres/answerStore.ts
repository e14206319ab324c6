/** Kept answers of the API on PostgreSQL. */
import type { AnswerStore, KeptAnswer } from '../../../trust/ports/answerStore.ts';
import { answerOf } from '../sqlite/answerStore.ts';
import type { Migration } from '../sqlite/migrations.ts';
import type { PostgresDatabase } from './database.ts';

export const answerMigration: Migration = {
  version: 2,
  sql: `
    CREATE TABLE kept_answer (
      caller TEXT NOT NULL,
      key TEXT NOT NULL,
      fingerprint BYTEA NOT NULL CHECK (length(fingerprint) = 32),
      status INTEGER NOT NULL,
      type TEXT NOT NULL,
      body TEXT NOT NULL,
      kept_ms BIGINT NOT NULL,
      PRIMARY KEY (caller, key)
    );
    CREATE INDEX kept_answer_by_age ON kept_answer (kept_ms)
  `,
};

export class PostgresAnswerStore implements AnswerStore {
  readonly #database: PostgresDatabase;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  answer(caller: string, key: string): Promise<KeptAnswer | undefined> {
    return this.#database.read(async (connection) => {
      const sql = 'SELECT * FROM kept_answer WHERE caller = $1 AND key = $2';
      const [row] = await connection.all(sql, caller, key);
      return row === undefined ? undefined : answerOf(row);
    });
  }

  keep(caller: string, key: string, answer: KeptAnswer, dropBeforeMs: number): Promise<void> {
    const { fingerprint, status, type, body, keptMs } = answer;
    return this.#database.transact(async (connection) => {
      await connection.run('DELETE FROM kept_answer WHERE kept_ms < $1', dropBeforeMs);
      await connection.run(
        'INSERT INTO kept_answer VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING',
        caller,
        key,
        fingerprint,
        status,
        type,
        body,
        keptMs,
      );
    });
  }
}
