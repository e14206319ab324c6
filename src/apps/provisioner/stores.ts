/** The provisioner's stores: `provisioner.sqlite` in its folder, or a schema on a PostgreSQL server. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { markInFile, markInSnapshot, markOnServer } from '../../drivers/store/mark.ts';
import { PostgresAnswerStore } from '../../drivers/store/postgres/answerStore.ts';
import { PostgresDatabase } from '../../drivers/store/postgres/database.ts';
import * as postgresTables from '../../drivers/store/postgres/provisionerTables.ts';
import { PostgresRegistryStore } from '../../drivers/store/postgres/registryStore.ts';
import { openSessionLife as openLifeOnPostgres } from '../../drivers/store/postgres/sessionLife.ts';
import { PostgresSessionStore } from '../../drivers/store/postgres/sessionStore.ts';
import {
  PostgresChainStore,
  PostgresCloneStore,
} from '../../drivers/store/postgres/sessionWitnesses.ts';
import { openPostgresSnapshot } from '../../drivers/store/postgres/snapshot.ts';
import { PostgresTelemetryStore } from '../../drivers/store/postgres/telemetryStore.ts';
import { PostgresTokenStore } from '../../drivers/store/postgres/tokenStore.ts';
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import { SqliteAnswerStore } from '../../drivers/store/sqlite/answerStore.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { provisionerMigrations } from '../../drivers/store/sqlite/provisionerTables.ts';
import { SqliteRegistryStore } from '../../drivers/store/sqlite/registryStore.ts';
import { openSessionLife } from '../../drivers/store/sqlite/sessionLife.ts';
import { SqliteSessionStore } from '../../drivers/store/sqlite/sessionStore.ts';
import { SqliteChainStore, SqliteCloneStore } from '../../drivers/store/sqlite/sessionWitnesses.ts';
import { openSqliteSnapshot } from '../../drivers/store/sqlite/snapshot.ts';
import { SqliteTelemetryStore } from '../../drivers/store/sqlite/telemetryStore.ts';
import { SqliteTokenStore } from '../../drivers/store/sqlite/tokenStore.ts';
import type { AnswerStore } from '../../trust/ports/answerStore.ts';
import type { ChainStore } from '../../trust/ports/chainStore.ts';
import type { CloneStore } from '../../trust/ports/cloneStore.ts';
import { InvariantError } from '../../trust/ports/faults.ts';
import type { RegistryStore } from '../../trust/ports/registryStore.ts';
import type { SessionStore } from '../../trust/ports/sessionStore.ts';
import type { TelemetryStore } from '../../trust/ports/telemetryStore.ts';
import type { TokenStore } from '../../trust/ports/tokenStore.ts';
import {
  newStoreMark,
  readStoreMark,
  recognize,
  refuseMoved,
  requirePlace,
  type StorePlace,
} from '../storePlace.ts';
import { type RecoveryAct, refuseInRecovery } from '../store/recoveryState.ts';
import type { StoreSetting } from '../storeSetting.ts';

export interface Stores {
  readonly registry: RegistryStore;
  readonly telemetry: TelemetryStore;
  readonly sessions: SessionStore;
  readonly clones: CloneStore;
  readonly chains: ChainStore;
  readonly answers: AnswerStore;
  readonly tokens: TokenStore;
  readonly close: () => Promise<void>;
}

export function provisionerPlace(folder: string): StorePlace {
  return {
    folder,
    database: join(folder, 'provisioner.sqlite'),
    schema: 'birthmark_provisioner',
  };
}

/**
 * Makes the folder when it is missing. Rejects with an `EnvironmentError` when another process has the
 * database, it cannot be reached, or it is not the one of this folder.
 */
export async function openStores(
  folder: string,
  telemetryWindow: number,
  setting?: StoreSetting,
  act?: RecoveryAct,
): Promise<Stores> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const place = provisionerPlace(folder);
  refuseInRecovery(place.folder, undefined, act);
  requirePlace(place, setting, await readStoreMark(place));
  return setting === undefined
    ? onSqlite(place, telemetryWindow)
    : onPostgres(place, telemetryWindow, setting);
}

/**
 * One moment of the same database, whether or not a provisioner is running; `undefined` where none ever ran.
 * Rejects with an `EnvironmentError` when it is not the one of this folder.
 */
export async function openProvisionerSnapshot(
  folder: string,
  setting: StoreSetting | undefined,
): Promise<Snapshot | undefined> {
  const place = provisionerPlace(folder);
  const marked = await readStoreMark(place);
  if (marked === undefined && !existsSync(place.database)) return undefined;
  requirePlace(place, setting, marked);
  if (setting === undefined) return openSqliteSnapshot(place.database);
  const snapshot = await openPostgresSnapshot({ ...setting, schema: place.schema });
  try {
    const { mark } = await markInSnapshot(snapshot, 'provisioner');
    await recognize(place, setting, { mark, isEmpty: false, fresh: newStoreMark });
    return snapshot;
  } catch (error) {
    await snapshot.close();
    throw error;
  }
}

async function onSqlite(place: StorePlace, telemetryWindow: number): Promise<Stores> {
  const database = new SqliteDatabase({
    path: place.database,
    migrations: provisionerMigrations,
  });
  try {
    await requireUnmoved(database, place);
  } catch (error) {
    database.close();
    throw error;
  }
  const life = await openSessionLife(database, lifeFile(place));
  return {
    registry: new SqliteRegistryStore(database),
    telemetry: new SqliteTelemetryStore(database, telemetryWindow),
    sessions: new SqliteSessionStore(database, life),
    clones: new SqliteCloneStore(database),
    chains: new SqliteChainStore(database),
    answers: new SqliteAnswerStore(database),
    tokens: new SqliteTokenStore(database),
    close: async () => {
      database.close();
      life.close();
    },
  };
}

async function onPostgres(
  place: StorePlace,
  telemetryWindow: number,
  setting: StoreSetting,
): Promise<Stores> {
  const database = await PostgresDatabase.open({
    ...setting,
    schema: place.schema,
    migrations: postgresTables.provisionerMigrations,
    use: 'exclusive',
  });
  try {
    await requireOurs(database, place, setting);
    const life = await openLifeOnPostgres(database, lifeFile(place));
    return {
      registry: new PostgresRegistryStore(database),
      telemetry: new PostgresTelemetryStore(database, telemetryWindow),
      sessions: new PostgresSessionStore(database, life),
      clones: new PostgresCloneStore(database),
      chains: new PostgresChainStore(database),
      answers: new PostgresAnswerStore(database),
      tokens: new PostgresTokenStore(database),
      close: async () => {
        await database.close();
        life.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

function lifeFile({ folder }: StorePlace): string {
  return join(folder, 'sessions.life');
}

async function requireUnmoved(database: SqliteDatabase, place: StorePlace): Promise<void> {
  refuseMoved(place, (await markInFile(database, 'provisioner')).mark);
}

/** The database has an identity of its own from the first: a folder without a mark takes a new one's. */
async function requireOurs(
  database: PostgresDatabase,
  place: StorePlace,
  setting: StoreSetting,
): Promise<void> {
  const { mark, untouched } = await markOnServer(database, 'provisioner');
  if (mark === undefined) throw new InvariantError('a database of sessions without a mark');
  // A folder with a mark has another identity to find than that of a database that was never used.
  const isEmpty = untouched && (await readStoreMark(place)) === undefined;
  await recognize(place, setting, { mark, isEmpty, fresh: () => mark });
}
