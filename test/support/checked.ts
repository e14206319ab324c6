/** What the independent checker says of an authority's folder. */
import { authorityPaths, readCertificateFile } from '../../src/apps/authority/authorityFolder.ts';
import { readBook } from '../../src/apps/authority/book.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';

export async function faultsIn(dataFolder: string): Promise<readonly string[]> {
  const paths = authorityPaths(dataFolder);
  const issuers = new Map<string, Uint8Array>();
  for (const { name } of await readBook(paths)) {
    issuers.set(name, await readCertificateFile(paths, name));
  }
  return (await fsck({ snapshot: openSqliteSnapshot(paths.database), issuers })).faults;
}
