/** The two databases of an installation, and what their owners know of them that nobody else needs to. */
import { join, resolve } from 'node:path';
import * as postgresIssuing from '../../drivers/store/postgres/issuingTables.ts';
import * as postgresProvisioner from '../../drivers/store/postgres/provisionerTables.ts';
import { issuingMigrations } from '../../drivers/store/sqlite/issuingTables.ts';
import type { Migration } from '../../drivers/store/sqlite/migrations.ts';
import { provisionerMigrations } from '../../drivers/store/sqlite/provisionerTables.ts';
import { authorityPaths } from '../authority/authorityFolder.ts';
import { authorityPlace, selectAuthorityMark } from '../authority/stores.ts';
import { provisionerPlace, selectProvisionerMark } from '../provisioner/stores.ts';
import type { StorePlace } from '../storePlace.ts';

export interface Household {
  readonly name: 'authority' | 'provisioner';
  readonly place: StorePlace;
  readonly sqliteMigrations: readonly Migration[];
  readonly postgresMigrations: readonly Migration[];
  /** `mark`, and `untouched`: 1 where nothing was written but what migrations write. No row: no mark yet. */
  readonly selectMark: string;
  /** With the mark as `$1`. */
  readonly saveMark: string;
}

export function households(dataFolder: string): readonly [Household, Household] {
  return [
    {
      name: 'authority',
      place: authorityPlace(authorityPaths(dataFolder)),
      sqliteMigrations: issuingMigrations,
      postgresMigrations: postgresIssuing.issuingMigrations,
      selectMark: selectAuthorityMark,
      saveMark: `
        INSERT INTO settings (name, value) VALUES ('store-mark', $1)
        ON CONFLICT (name) DO UPDATE SET value = excluded.value`,
    },
    {
      name: 'provisioner',
      place: provisionerPlace(join(resolve(dataFolder), 'provisioner')),
      sqliteMigrations: provisionerMigrations,
      postgresMigrations: postgresProvisioner.provisionerMigrations,
      selectMark: selectProvisionerMark,
      saveMark: 'UPDATE session_life SET store_id = $1',
    },
  ];
}
