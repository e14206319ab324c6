/**
 * Makes an installation one that takes two persons: certifies the first admins with the key of the server
 * authority and switches, once and for good. The server is stopped meanwhile; given again after a crash it
 * finds the certificates and goes on.
 */
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { builtIn } from '../../trust/issuance/profiles.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { type FirstAdmin, switchToTwoPersons } from '../../trust/approvals/twoPersons.ts';
import { type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
import type { ApprovalStore, TwoPersonMode } from '../../trust/ports/approvalStore.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError, isRefusal } from '../../trust/ports/faults.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { isName } from '../../wire/line/fields.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { parseCertificationRequest } from '../../wire/x509/certificationRequest.ts';
import { p256Point } from '../../wire/x509/spki.ts';
import type { StoreSetting } from '../storeSetting.ts';
import {
  type AuthorityPaths,
  authorityPaths,
  readCertificateFile,
  requireInstallation,
} from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import { active, readBook } from './book.ts';
import { certifyOnce } from './certifyOnce.ts';
import { distributionOf } from './statusPlan.ts';
import { type AuthorityStores, openAuthorityStores } from './stores.ts';

export interface TwoPersonOptions {
  readonly dataFolder: string;
  readonly passphrase: string;
  readonly clock: Clock;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
}

export interface AdminRequest {
  readonly name: string;
  /** DER of PKCS#10, P-256, made where the key is. */
  readonly request: Uint8Array;
}

export interface TwoPersonPlan {
  readonly admins: readonly AdminRequest[];
  /** Devices whose status one person may change at once. */
  readonly massLimit: number;
}

/**
 * The certificates of the admins, leaf first. Rejects with an `EnvironmentError` when the authority runs,
 * two persons are needed already, or a request proves nothing.
 */
export async function beginTwoPersons(
  options: TwoPersonOptions,
  { admins, massLimit }: TwoPersonPlan,
): Promise<{
  readonly mode: TwoPersonMode;
  readonly chains: ReadonlyMap<string, readonly Uint8Array[]>;
}> {
  const paths = authorityPaths(options.dataFolder);
  await requireInstallation(paths);
  const keysOfAdmins = admins.map(provenKey);
  const { passphrase, clock } = options;
  const keys = new AuthorityKeys(await KeyFolder.open({ folder: paths.keys, passphrase }));
  const stores = await openAuthorityStores(paths, options.store);
  try {
    const { issuer, certificate: above } = await serverIssuer(paths, stores, keys);
    const first: FirstAdmin[] = [];
    for (const [index, { name }] of admins.entries()) {
      const publicKeySpki = keysOfAdmins[index] ?? new Uint8Array(0);
      const signer = { publicKeySpki, algorithm: 'ecdsa-with-SHA256' as const };
      const subject = { profile: builtIn('operator'), name, signer, key: '' };
      const certificate = await certifyOnce({ clock, store: stores.issuance }, subject, issuer);
      first.push({ name, certificate });
    }
    const shared = { store: stores.approvals, crypto: nodeCrypto, clock };
    const mode =
      (await begunBefore(stores.approvals, first)) ??
      (await switchToTwoPersons(shared, first, massLimit));
    if (isRefusal(mode)) throw refused(mode.reason);
    return { mode, chains: new Map(first.map((one) => [one.name, [one.certificate, above]])) };
  } finally {
    await stores.close();
    await keys.close();
  }
}

/** The mode, when it is on and began with these very certificates: a command that is given again. */
async function begunBefore(
  store: ApprovalStore,
  admins: readonly FirstAdmin[],
): Promise<TwoPersonMode | undefined> {
  const operators = await store.operators();
  const same = admins.every(({ name, certificate }) =>
    operators.some((one) => one.name === name && equal(one.certificate, certificate)),
  );
  return same && admins.length > 0 ? store.mode() : undefined;
}

async function serverIssuer(
  paths: AuthorityPaths,
  stores: AuthorityStores,
  keys: AuthorityKeys,
): Promise<{ readonly issuer: Issuer; readonly certificate: Uint8Array }> {
  const book = await readBook(paths);
  const record = active(book, 'server');
  const certificate = await readCertificateFile(paths, record.name);
  const { spki } = parseCertificate(certificate).publicKey;
  const distribution = await distributionOf(stores.status, book, record, spki);
  const signer = await keys.signer(record, spki);
  const { name } = record;
  return { issuer: issuerFrom('server', certificate, signer, { name, distribution }), certificate };
}

/** DER of the key, which has signed the request. */
function provenKey({ name, request }: AdminRequest): Uint8Array {
  if (!isName(name)) throw refused(`${name} is no name of an operator`);
  const { info, publicKey, signatureAlgorithm, signature } = parseCertificationRequest(request);
  const { spki } = publicKey;
  if (!new SoftwareVerifier().verifyOnce(spki, signatureAlgorithm.oid, info, signature)) {
    throw refused(`the request of ${name} is not signed by its own key`);
  }
  try {
    p256Point(spki);
    return spki;
  } catch {
    throw refused(`the key of ${name} is no P-256 key`);
  }
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
