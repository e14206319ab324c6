/** Cases of an authority that rests: in its stores, for the commands that need the server stopped. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { Permissions } from '../../trust/approvals/permissions.ts';
import type { CaseDesk } from '../../trust/ports/lossCase.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { authorityPaths, requireInstallation } from './authorityFolder.ts';
import { caseDesk, Cases } from './cases.ts';
import { openAuthorityStores } from './stores.ts';

/** Rejects with an `EnvironmentError` while an authority runs on the folder. */
export async function withCasesAtRest<Value>(
  { dataFolder, store }: { readonly dataFolder: string; readonly store?: StoreSetting | undefined },
  use: (cases: CaseDesk) => Promise<Value>,
): Promise<Value> {
  const paths = authorityPaths(dataFolder);
  await requireInstallation(paths);
  const stores = await openAuthorityStores(paths, store);
  try {
    const shared = { store: stores.approvals, crypto: nodeCrypto, clock: { nowMs: Date.now } };
    return await use(caseDesk(await Cases.open(stores.cases), new Permissions(shared)));
  } finally {
    await stores.close();
  }
}
