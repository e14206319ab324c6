/** Cases of an authority that rests: in its stores, for the commands that need the server stopped. */
import type { StoreSetting } from '../storeSetting.ts';
import { authorityPaths, requireInstallation } from './authorityFolder.ts';
import { Cases } from './cases.ts';
import { openAuthorityStores } from './stores.ts';

/** Rejects with an `EnvironmentError` while an authority runs on the folder. */
export async function withCasesAtRest<Value>(
  { dataFolder, store }: { readonly dataFolder: string; readonly store?: StoreSetting | undefined },
  use: (cases: Cases) => Promise<Value>,
): Promise<Value> {
  const paths = authorityPaths(dataFolder);
  await requireInstallation(paths);
  const stores = await openAuthorityStores(paths, store);
  try {
    return await use(await Cases.open(stores.cases));
  } finally {
    await stores.close();
  }
}
