/** The two databases of an installation: where each of them is, and which tables it has. */
import { join, resolve } from 'node:path';
import type { MarkedStore } from '../../drivers/store/mark.ts';
import * as postgresIssuing from '../../drivers/store/postgres/issuingTables.ts';
import * as postgresProvisioner from '../../drivers/store/postgres/provisionerTables.ts';
import { issuingMigrations } from '../../drivers/store/sqlite/issuingTables.ts';
import type { Migration } from '../../drivers/store/sqlite/migrations.ts';
import { provisionerMigrations } from '../../drivers/store/sqlite/provisionerTables.ts';
import { authorityPaths } from '../authority/authorityFolder.ts';
import { authorityPlace } from '../authority/stores.ts';
import { provisionerPlace } from '../provisioner/stores.ts';
import type { StorePlace } from '../storePlace.ts';

export interface Household {
  readonly name: MarkedStore;
  readonly place: StorePlace;
  readonly sqliteMigrations: readonly Migration[];
  readonly postgresMigrations: readonly Migration[];
}

export function households(dataFolder: string): readonly [Household, Household] {
  return [
    {
      name: 'authority',
      place: authorityPlace(authorityPaths(dataFolder)),
      sqliteMigrations: issuingMigrations,
      postgresMigrations: postgresIssuing.issuingMigrations,
    },
    {
      name: 'provisioner',
      place: provisionerPlace(join(resolve(dataFolder), 'provisioner')),
      sqliteMigrations: provisionerMigrations,
      postgresMigrations: postgresProvisioner.provisionerMigrations,
    },
  ];
}
