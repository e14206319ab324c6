/**
 * The authority's stores: `issuing.sqlite` in its folder, or a schema on a PostgreSQL server. The folder
 * remembers which.
 */
import {
  markInFile,
  markInSnapshot,
  markOnServer,
  saveMarkOnServer,
} from '../../drivers/store/mark.ts';
import { PostgresApprovalStore } from '../../drivers/store/postgres/approvalStore.ts';
import { PostgresAuditStore } from '../../drivers/store/postgres/auditStore.ts';
import { PostgresCaseStore } from '../../drivers/store/postgres/caseStore.ts';
import { PostgresDatabase } from '../../drivers/store/postgres/database.ts';
import { PostgresForeignStore } from '../../drivers/store/postgres/foreignStore.ts';
import { PostgresGrantStore } from '../../drivers/store/postgres/grantStore.ts';
import { PostgresIssuanceStore } from '../../drivers/store/postgres/issuanceStore.ts';
import * as postgresTables from '../../drivers/store/postgres/issuingTables.ts';
import { PostgresOrderStore } from '../../drivers/store/postgres/orderStore.ts';
import { PostgresProfileStore } from '../../drivers/store/postgres/profileStore.ts';
import { openPostgresSnapshot } from '../../drivers/store/postgres/snapshot.ts';
import { PostgresRecoveryStore } from '../../drivers/store/postgres/recoveryStore.ts';
import { PostgresStatusStore } from '../../drivers/store/postgres/statusStore.ts';
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import { SqliteApprovalStore } from '../../drivers/store/sqlite/approvalStore.ts';
import { SqliteAuditStore } from '../../drivers/store/sqlite/auditStore.ts';
import { SqliteCaseStore } from '../../drivers/store/sqlite/caseStore.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { SqliteForeignStore } from '../../drivers/store/sqlite/foreignStore.ts';
import { SqliteGrantStore } from '../../drivers/store/sqlite/grantStore.ts';
import { SqliteIssuanceStore } from '../../drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../drivers/store/sqlite/issuingTables.ts';
import { SqliteOrderStore } from '../../drivers/store/sqlite/orderStore.ts';
import { SqliteProfileStore } from '../../drivers/store/sqlite/profileStore.ts';
import { SqliteRecoveryStore } from '../../drivers/store/sqlite/recoveryStore.ts';
import { openSqliteSnapshot } from '../../drivers/store/sqlite/snapshot.ts';
import { SqliteStatusStore } from '../../drivers/store/sqlite/statusStore.ts';
import type { ApprovalStore } from '../../trust/ports/approvalStore.ts';
import type { AuditStore } from '../../trust/ports/auditStore.ts';
import type { CaseStore } from '../../trust/ports/caseStore.ts';
import type { ForeignStore } from '../../trust/ports/foreignStore.ts';
import type { GrantStore } from '../../trust/ports/grantStore.ts';
import type { IssuanceStore } from '../../trust/ports/issuanceStore.ts';
import type { OrderStore } from '../../trust/ports/orderStore.ts';
import type { ProfileStore } from '../../trust/ports/profileStore.ts';
import type { RecoveryStore } from '../../trust/ports/recoveryStore.ts';
import type { StatusStore } from '../../trust/ports/statusStore.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { type RecoveryAct, refuseInRecovery } from '../store/recoveryState.ts';
import {
  newStoreMark,
  readStoreMark,
  recognize,
  refuseMoved,
  requirePlace,
  type StorePlace,
} from '../storePlace.ts';
import type { AuthorityPaths } from './authorityFolder.ts';

export interface AuthorityStores {
  readonly issuance: IssuanceStore;
  readonly orders: OrderStore;
  readonly audit: AuditStore;
  readonly foreign: ForeignStore;
  readonly grants: GrantStore;
  readonly approvals: ApprovalStore;
  readonly profiles: ProfileStore;
  readonly status: StatusStore;
  readonly cases: CaseStore;
  readonly recovery: RecoveryStore;
  readonly close: () => Promise<void>;
}

/** Its schema leaves room for others in the same database. */
export function authorityPlace({ folder, database }: AuthorityPaths): StorePlace {
  return { folder, database, schema: 'birthmark_authority' };
}

/**
 * The folder is there. Rejects with an `EnvironmentError` when another process holds the database, it cannot
 * be reached, or it is not the one of this folder.
 */
export async function openAuthorityStores(
  paths: AuthorityPaths,
  setting: StoreSetting | undefined,
  act?: RecoveryAct,
): Promise<AuthorityStores> {
  const place = authorityPlace(paths);
  // Before it is opened: a restore that was cut short has no whole database yet.
  if (act === undefined) refuseInRecovery(place.folder);
  requirePlace(place, setting, await readStoreMark(place));
  const stores = setting === undefined ? await onSqlite(paths) : await onPostgres(paths, setting);
  try {
    refuseInRecovery(place.folder, await stores.recovery.recovery(), act);
    return stores;
  } catch (error) {
    await stores.close();
    throw error;
  }
}

/**
 * One moment of the same database, whether or not an authority is running; nothing is changed. Rejects with
 * an `EnvironmentError` when it is not there, or not the one of this folder.
 */
export async function openAuthoritySnapshot(
  paths: AuthorityPaths,
  setting: StoreSetting | undefined,
): Promise<Snapshot> {
  const place = authorityPlace(paths);
  requirePlace(place, setting, await readStoreMark(place));
  if (setting === undefined) return openSqliteSnapshot(paths.database);
  const snapshot = await openPostgresSnapshot({ ...setting, schema: place.schema });
  try {
    const { mark } = await markInSnapshot(snapshot, 'authority');
    await recognize(place, setting, { mark, isEmpty: false, fresh: newStoreMark });
    return snapshot;
  } catch (error) {
    await snapshot.close();
    throw error;
  }
}

async function onSqlite(paths: AuthorityPaths): Promise<AuthorityStores> {
  const database = new SqliteDatabase({ path: paths.database, migrations: issuingMigrations });
  try {
    const { mark } = await markInFile(database, 'authority');
    refuseMoved(authorityPlace(paths), mark);
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    issuance: new SqliteIssuanceStore(database),
    orders: new SqliteOrderStore(database),
    audit: new SqliteAuditStore(database),
    foreign: new SqliteForeignStore(database),
    grants: new SqliteGrantStore(database),
    approvals: new SqliteApprovalStore(database),
    profiles: new SqliteProfileStore(database),
    status: new SqliteStatusStore(database),
    cases: new SqliteCaseStore(database),
    recovery: new SqliteRecoveryStore(database),
    close: async () => {
      database.close();
    },
  };
}

async function onPostgres(paths: AuthorityPaths, setting: StoreSetting): Promise<AuthorityStores> {
  const database = await PostgresDatabase.open({
    ...setting,
    schema: authorityPlace(paths).schema,
    migrations: postgresTables.issuingMigrations,
    use: 'exclusive',
  });
  try {
    await requireOurs(database, paths, setting);
    return {
      issuance: new PostgresIssuanceStore(database),
      orders: new PostgresOrderStore(database),
      audit: new PostgresAuditStore(database),
      foreign: new PostgresForeignStore(database),
      grants: new PostgresGrantStore(database),
      approvals: new PostgresApprovalStore(database),
      profiles: new PostgresProfileStore(database),
      status: new PostgresStatusStore(database),
      cases: new PostgresCaseStore(database),
      recovery: new PostgresRecoveryStore(database),
      close: () => database.close(),
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function requireOurs(
  database: PostgresDatabase,
  paths: AuthorityPaths,
  setting: StoreSetting,
): Promise<void> {
  const { mark: known, untouched } = await markOnServer(database, 'authority');
  const isEmpty = known === undefined && untouched;
  const mark = await recognize(authorityPlace(paths), setting, {
    mark: known,
    isEmpty,
    fresh: newStoreMark,
  });
  if (mark !== undefined) await saveMarkOnServer(database, 'authority', mark);
}
