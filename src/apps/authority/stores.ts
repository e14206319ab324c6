/**
 * The authority's stores: `issuing.sqlite` in its folder, or a schema on a PostgreSQL server. The folder
 * remembers which, and of which database: an authority that went on with an empty database, or with that of
 * another installation, would give quotas, addresses and serial numbers a second time.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { PostgresAuditStore } from '../../drivers/store/postgres/auditStore.ts';
import { describeAddress } from '../../drivers/store/postgres/address.ts';
import { PostgresDatabase } from '../../drivers/store/postgres/database.ts';
import { PostgresForeignStore } from '../../drivers/store/postgres/foreignStore.ts';
import { PostgresGrantStore } from '../../drivers/store/postgres/grantStore.ts';
import { PostgresIssuanceStore } from '../../drivers/store/postgres/issuanceStore.ts';
import * as postgresTables from '../../drivers/store/postgres/issuingTables.ts';
import { PostgresOrderStore } from '../../drivers/store/postgres/orderStore.ts';
import { openPostgresSnapshot } from '../../drivers/store/postgres/snapshot.ts';
import { PostgresStatusStore } from '../../drivers/store/postgres/statusStore.ts';
import { firstRow, type Snapshot } from '../../drivers/store/snapshot.ts';
import { SqliteAuditStore } from '../../drivers/store/sqlite/auditStore.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { SqliteForeignStore } from '../../drivers/store/sqlite/foreignStore.ts';
import { SqliteGrantStore } from '../../drivers/store/sqlite/grantStore.ts';
import { SqliteIssuanceStore } from '../../drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../drivers/store/sqlite/issuingTables.ts';
import { SqliteOrderStore } from '../../drivers/store/sqlite/orderStore.ts';
import { openSqliteSnapshot } from '../../drivers/store/sqlite/snapshot.ts';
import { SqliteStatusStore } from '../../drivers/store/sqlite/statusStore.ts';
import type { AuditStore } from '../../trust/ports/auditStore.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { ForeignStore } from '../../trust/ports/foreignStore.ts';
import type { GrantStore } from '../../trust/ports/grantStore.ts';
import type { IssuanceStore } from '../../trust/ports/issuanceStore.ts';
import type { OrderStore } from '../../trust/ports/orderStore.ts';
import type { StatusStore } from '../../trust/ports/statusStore.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { type AuthorityPaths, storeMarkPath, writeWhole } from './authorityFolder.ts';

export interface AuthorityStores {
  readonly issuance: IssuanceStore;
  readonly orders: OrderStore;
  readonly audit: AuditStore;
  readonly foreign: ForeignStore;
  readonly grants: GrantStore;
  readonly status: StatusStore;
  readonly close: () => Promise<void>;
}

/** Schema of the authority's tables; beside it there is room for others in the same database. */
export const authoritySchema = 'birthmark_authority';

/**
 * The folder is there. Rejects with an `EnvironmentError` when another process holds the database, it cannot
 * be reached, or it is not the one of this folder.
 */
export async function openAuthorityStores(
  paths: AuthorityPaths,
  setting: StoreSetting | undefined,
): Promise<AuthorityStores> {
  const mark = await readMark(paths);
  requirePlace(paths, setting, mark);
  return setting === undefined ? onSqlite(paths) : onPostgres(paths, setting, mark);
}

/**
 * One moment of the same database, whether or not an authority is running; nothing is changed. Rejects with
 * an `EnvironmentError` when it is not there, or not the one of this folder.
 */
export async function openAuthoritySnapshot(
  paths: AuthorityPaths,
  setting: StoreSetting | undefined,
): Promise<Snapshot> {
  const mark = await readMark(paths);
  requirePlace(paths, setting, mark);
  if (setting === undefined) return openSqliteSnapshot(paths.database);
  const snapshot = await openPostgresSnapshot({ ...setting, schema: authoritySchema });
  const known = (await firstRow(snapshot, selectMark, markSetting))['value'];
  if (known instanceof Uint8Array && mark !== undefined && equal(known, mark)) return snapshot;
  await snapshot.close();
  throw foreign(paths, setting);
}

function requirePlace(
  paths: AuthorityPaths,
  setting: StoreSetting | undefined,
  mark: Uint8Array | undefined,
): void {
  if (setting === undefined && mark !== undefined) {
    throw refused(`${paths.folder} has its database on a server: give --store`);
  }
  if (setting !== undefined && mark === undefined && existsSync(paths.database)) {
    throw refused(`${paths.folder} has its database in ${paths.database}: leave --store away`);
  }
}

function onSqlite(paths: AuthorityPaths): AuthorityStores {
  const database = new SqliteDatabase({ path: paths.database, migrations: issuingMigrations });
  return {
    issuance: new SqliteIssuanceStore(database),
    orders: new SqliteOrderStore(database),
    audit: new SqliteAuditStore(database),
    foreign: new SqliteForeignStore(database),
    grants: new SqliteGrantStore(database),
    status: new SqliteStatusStore(database),
    close: async () => {
      database.close();
    },
  };
}

async function onPostgres(
  paths: AuthorityPaths,
  setting: StoreSetting,
  mark: Uint8Array | undefined,
): Promise<AuthorityStores> {
  const database = await PostgresDatabase.open({
    ...setting,
    schema: authoritySchema,
    migrations: postgresTables.issuingMigrations,
    use: 'exclusive',
  });
  try {
    const stores = {
      issuance: new PostgresIssuanceStore(database),
      orders: new PostgresOrderStore(database),
      audit: new PostgresAuditStore(database),
      foreign: new PostgresForeignStore(database),
      grants: new PostgresGrantStore(database),
      status: new PostgresStatusStore(database),
      close: () => database.close(),
    };
    await recognize(stores, paths, mark, setting);
    return stores;
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** A crash between the two writes leaves a marked folder and an empty database, which the next start marks. */
async function recognize(
  { orders, audit }: AuthorityStores,
  paths: AuthorityPaths,
  mark: Uint8Array | undefined,
  setting: StoreSetting,
): Promise<void> {
  const known = await orders.setting(markSetting);
  if (known === undefined && (await audit.countLeaves()) === 0) {
    await orders.saveSetting(markSetting, mark ?? (await writeMark(paths)));
    return;
  }
  if (known === undefined || mark === undefined || !equal(known, mark)) {
    throw foreign(paths, setting);
  }
}

const markSetting = 'store-mark';
const selectMark = 'SELECT value FROM settings WHERE name = $1';

async function readMark(paths: AuthorityPaths): Promise<Uint8Array | undefined> {
  const path = storeMarkPath(paths);
  if (!existsSync(path)) return undefined;
  const mark = parseHex((await readFile(path, 'utf8')).trim());
  if (mark?.length !== markBytes) throw refused(`${path} holds no mark`);
  return mark;
}

async function writeMark(paths: AuthorityPaths): Promise<Uint8Array> {
  const mark = Uint8Array.from(randomBytes(markBytes));
  await writeWhole(storeMarkPath(paths), `${toHex(mark)}\n`);
  return mark;
}

const markBytes = 16;

function foreign({ folder }: AuthorityPaths, { address }: StoreSetting): EnvironmentError {
  return refused(`${describeAddress(address)} and ${folder} are not of one installation`);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
