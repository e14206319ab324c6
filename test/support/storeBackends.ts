/** The stores of one contract: SQLite in a temporary folder, PostgreSQL in a server of the test file's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test, type TestContext } from 'node:test';
import type { PostgresDatabase } from '../../src/drivers/store/postgres/database.ts';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import type { Migration } from '../../src/drivers/store/sqlite/migrations.ts';
import { postgresMissing, PostgresServer } from './postgres.ts';

export interface BackendParts<Stores> {
  readonly sqlite: {
    readonly migrations: readonly Migration[];
    readonly stores: (database: SqliteDatabase) => Stores;
  };
  readonly postgres: {
    readonly migrations: readonly Migration[];
    readonly stores: (database: PostgresDatabase) => Stores;
  };
  /** The reference, where there is one. */
  readonly memory?: () => Stores;
}

/** `check(title, body)` runs the body on new, empty stores of each kind. */
export type Contract<Stores> = (
  title: string,
  body: (stores: Stores, context: TestContext) => Promise<void>,
) => void;

export function contract<Stores>(
  name: string,
  parts: BackendParts<Stores>,
  suite: (check: Contract<Stores>) => void,
): void {
  const { memory, sqlite, postgres } = parts;
  if (memory !== undefined) {
    describe(`${name}: memory`, () => {
      suite((title, body) => {
        test(title, (context) => body(memory(), context));
      });
    });
  }
  describe(`${name}: sqlite`, () => {
    suite((title, body) => {
      test(title, async (context) => {
        const folder = mkdtempSync(join(tmpdir(), 'birthmark-'));
        const path = join(folder, 'store.sqlite');
        const database = new SqliteDatabase({ path, migrations: sqlite.migrations });
        try {
          await body(sqlite.stores(database), context);
        } finally {
          database.close();
          rmSync(folder, { recursive: true });
        }
      });
    });
  });
  const server = testServer();
  describe(`${name}: postgres`, () => {
    suite((title, body) => {
      test(title, { skip: postgresMissing }, async (context) => {
        const database = await server().open({ migrations: postgres.migrations });
        await body(postgres.stores(database), context);
      });
    });
  });
}

let started: PostgresServer | undefined;
let announced = false;

/** One for all tests of a file; to be called while the file is read, and asked in its tests. */
export function testServer(): () => PostgresServer {
  if (!announced && postgresMissing === false) {
    announced = true;
    before(async () => {
      started = await PostgresServer.start();
    });
    after(() => started?.stop());
  }
  return () => {
    if (started === undefined) throw new Error('no server before the tests have begun');
    return started;
  };
}
