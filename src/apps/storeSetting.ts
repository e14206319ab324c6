/**
 * Where a process keeps its database when it is not a file in its folder: `--store`, else BIRTHMARK_STORE.
 * The password comes from the file that BIRTHMARK_STORE_PASSWORD_FILE names, else from where PostgreSQL's
 * own programs have it (PGPASSWORD, PGPASSFILE): never from an argument.
 */
import { readFile } from 'node:fs/promises';
import { readStoreAddress, type StoreAddress } from '../drivers/store/postgres/address.ts';
import { EnvironmentError, isRefusal } from '../trust/ports/faults.ts';

export interface StoreSetting {
  readonly address: StoreAddress;
  readonly password?: () => Promise<string>;
}

/** Of every command that reads the database by itself. */
export const storeOption: readonly [flags: string, description: string] = [
  '--store <url>',
  'database on PostgreSQL (default: BIRTHMARK_STORE, else SQLite in the folder)',
];

/** `undefined`: SQLite, in the folder. Throws an `EnvironmentError` for an address that is none. */
export function readStoreSetting(
  option: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): StoreSetting | undefined {
  const text = option ?? environment['BIRTHMARK_STORE'];
  if (text === undefined || text === '') return undefined;
  const address = readStoreAddress(text);
  if (isRefusal(address)) throw new EnvironmentError(address.reason, { retryable: false });
  const file = environment['BIRTHMARK_STORE_PASSWORD_FILE'];
  if (file === undefined || file === '') return { address };
  return { address, password: async () => (await readFile(file, 'utf8')).replace(/\r?\n$/, '') };
}
