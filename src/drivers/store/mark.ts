/** The mark of a database: 16 bytes by which the folder of a process knows its own again. */
import type { PostgresDatabase } from './postgres/database.ts';
import { firstRow, type Snapshot } from './snapshot.ts';
import type { SqliteDatabase } from './sqlite/database.ts';
import type { Row } from './sqlite/rows.ts';

/** Each of the two databases of an installation keeps its mark in a place of its own. */
export type MarkedStore = 'authority' | 'provisioner';

export interface StoreMark {
  /** `undefined` before the first one is saved. */
  readonly mark: Uint8Array | undefined;
  /** Nothing was written but what migrations write. */
  readonly untouched: boolean;
}

export async function markInFile(database: SqliteDatabase, store: MarkedStore): Promise<StoreMark> {
  const { select } = statements[store];
  return markOf(await database.read((connection) => connection.prepare(select).get()));
}

export async function markOnServer(
  database: PostgresDatabase,
  store: MarkedStore,
): Promise<StoreMark> {
  const { select } = statements[store];
  return markOf(await database.read((connection) => connection.first(select)));
}

export async function markInSnapshot(snapshot: Snapshot, store: MarkedStore): Promise<StoreMark> {
  return markOf(await firstRow(snapshot, statements[store].select));
}

export async function saveMarkInFile(
  database: SqliteDatabase,
  store: MarkedStore,
  mark: Uint8Array,
): Promise<void> {
  const { save } = statements[store];
  await database.transact((connection) => connection.prepare(save).run({ $1: mark }));
}

export async function saveMarkOnServer(
  database: PostgresDatabase,
  store: MarkedStore,
  mark: Uint8Array,
): Promise<void> {
  const { save } = statements[store];
  await database.transact((connection) => connection.run(save, mark));
}

const statements = {
  authority: {
    select: `
      SELECT (SELECT value FROM settings WHERE name = 'store-mark') AS mark,
        CASE WHEN EXISTS (SELECT 1 FROM audit_leaves) THEN 0 ELSE 1 END AS untouched`,
    save: `
      INSERT INTO settings (name, value) VALUES ('store-mark', $1)
      ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
  },
  provisioner: {
    select: `
      SELECT store_id AS mark,
        CASE WHEN lease_token = 0 AND NOT EXISTS (SELECT 1 FROM device) THEN 1 ELSE 0 END AS untouched
      FROM session_life`,
    save: 'UPDATE session_life SET store_id = $1',
  },
} as const;

function markOf({ mark, untouched }: Row = {}): StoreMark {
  return { mark: mark instanceof Uint8Array ? mark : undefined, untouched: untouched === 1 };
}
