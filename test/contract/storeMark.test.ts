/** The mark of either database: saved and found again, and whether anything else was written. */
import assert from 'node:assert/strict';
import {
  markInFile,
  markOnServer,
  saveMarkInFile,
  saveMarkOnServer,
  type MarkedStore,
  type StoreMark,
} from '../../src/drivers/store/mark.ts';
import { PostgresAuditStore } from '../../src/drivers/store/postgres/auditStore.ts';
import * as postgresIssuing from '../../src/drivers/store/postgres/issuingTables.ts';
import type { PostgresDatabase } from '../../src/drivers/store/postgres/database.ts';
import * as postgresProvisioner from '../../src/drivers/store/postgres/provisionerTables.ts';
import { PostgresRegistryStore } from '../../src/drivers/store/postgres/registryStore.ts';
import { SqliteAuditStore } from '../../src/drivers/store/sqlite/auditStore.ts';
import type { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { issuingMigrations } from '../../src/drivers/store/sqlite/issuingTables.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import { SqliteRegistryStore } from '../../src/drivers/store/sqlite/registryStore.ts';
import type { AuditStore } from '../../src/trust/ports/auditStore.ts';
import type { RegistryStore } from '../../src/trust/ports/registryStore.ts';
import { bytesOf, leaf } from '../support/issuingStores.ts';
import { importedDevice } from '../support/registrySamples.ts';
import { contract } from '../support/storeBackends.ts';

interface Marked {
  readonly read: () => Promise<StoreMark>;
  readonly save: (mark: Uint8Array) => Promise<void>;
}

const inFile = (database: SqliteDatabase, store: MarkedStore): Marked => ({
  read: () => markInFile(database, store),
  save: (mark) => saveMarkInFile(database, store, mark),
});

const onServer = (database: PostgresDatabase, store: MarkedStore): Marked => ({
  read: () => markOnServer(database, store),
  save: (mark) => saveMarkOnServer(database, store, mark),
});

const first = bytesOf('first', 16);
const second = bytesOf('second', 16);

contract<Marked & { readonly audit: AuditStore }>(
  'mark of an authority',
  {
    sqlite: {
      migrations: issuingMigrations,
      stores: (database) => ({
        ...inFile(database, 'authority'),
        audit: new SqliteAuditStore(database),
      }),
    },
    postgres: {
      migrations: postgresIssuing.issuingMigrations,
      stores: (database) => ({
        ...onServer(database, 'authority'),
        audit: new PostgresAuditStore(database),
      }),
    },
  },
  (check) => {
    check('it has none at first, and a leaf is what touches it', async ({ read, save, audit }) => {
      assert.deepEqual(await read(), { mark: undefined, untouched: true });
      for (const mark of [first, second]) {
        await save(mark);
        assert.deepEqual(await read(), { mark, untouched: true });
      }
      await audit.append([leaf('a')]);
      assert.deepEqual(await read(), { mark: second, untouched: false });
    });
  },
);

contract<Marked & { readonly registry: RegistryStore }>(
  'mark of a provisioner',
  {
    sqlite: {
      migrations: provisionerMigrations,
      stores: (database) => ({
        ...inFile(database, 'provisioner'),
        registry: new SqliteRegistryStore(database),
      }),
    },
    postgres: {
      migrations: postgresProvisioner.provisionerMigrations,
      stores: (database) => ({
        ...onServer(database, 'provisioner'),
        registry: new PostgresRegistryStore(database),
      }),
    },
  },
  (check) => {
    check('it has its own at once, and a device touches it', async ({ read, save, registry }) => {
      const { mark: own, untouched } = await read();
      assert.deepEqual([own?.length, untouched], [16, true]);
      await save(first);
      assert.deepEqual(await read(), { mark: first, untouched: true });
      await registry.importDevices([importedDevice(1)], 1);
      assert.deepEqual(await read(), { mark: first, untouched: false });
    });
  },
);
