/**
 * The lists of the roots, signed where their keys are open: when the authorities are made, and once a year
 * in `birthmark crl sign-root`. They name authorities, of which there are few and none is in a hurry.
 */
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { Begun } from '../../trust/approvals/permissions.ts';
import { type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { ListSummary, StatusStore } from '../../trust/ports/statusStore.ts';
import { type ListSchedule, RevocationLists } from '../../trust/status/lists.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { authorityPaths, readCertificateFile, requireInstallation } from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import { isSelfSigned } from './authorityNames.ts';
import { offlineKey, readBook } from './book.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { requireLists } from './rootUse.ts';
import { distributionOf } from './statusPlan.ts';
import { openAuthorityStores } from './stores.ts';

const dayMs = 86_400_000;

/** A year, and two months of grace for whoever forgets it. */
const rootSchedule: ListSchedule = { everyMs: 365 * dayMs, overlapMs: 60 * dayMs };

/** Signs those that are due, or where something changed. */
export async function publishRootLists(
  store: StatusStore,
  roots: readonly Issuer[],
  clock: Clock,
): Promise<void> {
  const lists = new RevocationLists({
    store,
    clock,
    crypto: nodeCrypto,
    issuers: roots,
    schedule: rootSchedule,
  });
  await lists.advance();
}

/**
 * Opens the keys of the roots that are here and signs their lists, where they are due; returns the lists
 * that count now. Rejects with an `EnvironmentError` while an authority runs on the folder, or where no
 * root is here.
 */
export async function signRootLists(
  options: {
    readonly dataFolder: string;
    readonly passphrase: string;
    readonly clock: Clock;
    /** Default: SQLite, in the folder. */
    readonly store?: StoreSetting | undefined;
  },
  { request }: Begun<'root.use'>,
): Promise<readonly ListSummary[]> {
  const paths = authorityPaths(options.dataFolder);
  await requireInstallation(paths);
  const { passphrase, clock } = options;
  const keys = new AuthorityKeys(await KeyFolder.open({ folder: paths.keys, passphrase }));
  const stores = await openAuthorityStores(paths, options.store);
  try {
    const store = stores.status;
    const book = await readBook(paths);
    const roots: Issuer[] = [];
    for (const record of book) {
      const isHere = isSelfSigned(record) && record.key !== offlineKey;
      if (!isHere || record.state === 'removed') continue;
      const certificate = await readCertificateFile(paths, record.name);
      const { spki } = parseCertificate(certificate).publicKey;
      const signer = await keys.signer(record, spki);
      const distribution = await distributionOf(store, book, record, spki);
      roots.push(issuerFrom(record.role, certificate, signer, { name: record.name, distribution }));
    }
    await requireLists(request, options, undefined);
    await publishRootLists(store, roots, clock);
    const lists = await Promise.all(
      roots.map(({ name }) => store.list({ authority: name, shard: 0 })),
    );
    return lists.flatMap((list) => list ?? []);
  } finally {
    await stores.close();
    await keys.close();
  }
}
