/**
 * The root's list, signed where its key is open: when the authorities are made, and once a year in
 * `birthmark crl sign-root`. It names authorities, of which there are few and none is in a hurry.
 */
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { distributionFrom } from '../../trust/issuance/distribution.ts';
import { type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { ListSummary, StatusStore } from '../../trust/ports/statusStore.ts';
import { type ListSchedule, RevocationLists } from '../../trust/status/lists.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { authorityPaths, readCertificateFile, requireInstallation } from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import { active, readBook } from './book.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { openAuthorityStores } from './stores.ts';

const dayMs = 86_400_000;

/** A year, and two months of grace for whoever forgets it. */
const rootSchedule: ListSchedule = { everyMs: 365 * dayMs, overlapMs: 60 * dayMs };

/** Signs it when it is due or something changed. */
export async function publishRootList(
  store: StatusStore,
  root: Issuer,
  clock: Clock,
): Promise<void> {
  const schedule = rootSchedule;
  const lists = new RevocationLists({
    store,
    clock,
    crypto: nodeCrypto,
    issuers: [root],
    schedule,
  });
  await lists.advance();
}

/**
 * Opens the root's key and signs its list, when it is due; returns the list that counts now. Rejects with
 * an `EnvironmentError` while an authority runs on the folder.
 */
export async function signRootList(options: {
  readonly dataFolder: string;
  readonly passphrase: string;
  readonly clock: Clock;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
}): Promise<ListSummary> {
  const paths = authorityPaths(options.dataFolder);
  await requireInstallation(paths);
  const { passphrase, clock } = options;
  const keys = new AuthorityKeys(await KeyFolder.open({ folder: paths.keys, passphrase }));
  const stores = await openAuthorityStores(paths, options.store);
  try {
    const store = stores.status;
    const made = (await store.authorityLists()).find(({ authority }) => authority === 'root');
    const record = active(await readBook(paths), 'root');
    const certificate = await readCertificateFile(paths, record.name);
    const { spki } = parseCertificate(certificate).publicKey;
    const signer = await keys.signer(record, spki);
    const root = issuerFrom('root', certificate, signer, made && distributionFrom(made));
    await publishRootList(store, root, clock);
    const list = await store.list({ authority: 'root', shard: 0 });
    if (list !== undefined) return list;
    throw new EnvironmentError('the root has no list', { retryable: false });
  } finally {
    await stores.close();
    await keys.close();
  }
}
