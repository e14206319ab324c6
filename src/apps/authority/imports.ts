/**
 * Takes in what a root on another machine has made: certificates for the authorities that asked, and the
 * list of those that it has revoked. Then whatever waited for them goes on: the installation, or the next
 * generation of an authority.
 */
import { existsSync } from 'node:fs';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { encodeAuditEntry } from '../../trust/audit/entry.ts';
import type { Issuer } from '../../trust/issuance/issuer.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { parseCertificateList, revokedEntries } from '../../wire/crl/certificateList.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { printName } from '../../wire/x509/names.ts';
import type { PemBlock } from '../../wire/x509/pem.ts';
import type { StoreSetting } from '../storeSetting.ts';
import {
  type AuthorityPaths,
  authorityPaths,
  certificatePath,
  readBegunInstallation,
  readInstallation,
} from './authorityFolder.ts';
import { profileOf, underName } from './authorityNames.ts';
import { active, type AuthorityRecord, lineOf, offlineKey, readBook } from './book.ts';
import { Cases } from './cases.ts';
import { initializeAuthority } from './initialize.ts';
import { missingOf, OfflineRoots, type OfflineRootsOptions } from './offlineRoots.ts';
import { checkCertificate, pinOnce, requested } from './requests.ts';
import { currentProfiles } from './profileDocument.ts';
import { completeAnnouncement } from './rollover.ts';
import { type AuthorityStores, openAuthorityStores } from './stores.ts';

export interface ImportOptions {
  readonly dataFolder: string;
  readonly passphrase: string;
  readonly clock: Clock;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
}

export interface Imported {
  /** Authorities whose certificate came in. */
  readonly certified: readonly string[];
  /** Number of the root's list, when one came in. */
  readonly list: number | undefined;
  /** Files of requests that still wait. */
  readonly pending: readonly string[];
}

/**
 * Certificates and lists in any order, each checked before anything is taken. Rejects with an
 * `EnvironmentError` that names the first that does not belong here.
 */
export async function importFromRoot(
  options: ImportOptions,
  blocks: readonly PemBlock[],
): Promise<Imported> {
  const paths = authorityPaths(options.dataFolder);
  const begun = await readBegunInstallation(paths);
  const installation = begun ?? (await readInstallation(paths));
  if (installation === undefined) throw refused(`${paths.folder} holds no authority`);
  const { organization, eui64Base } = installation;
  const stores = await openAuthorityStores(paths, options.store);
  let taken: Omit<Imported, 'pending'>;
  let successors: readonly string[];
  try {
    const cases = await (await Cases.open(stores.cases)).cases();
    successors = cases.flatMap(({ successor }) => successor ?? []);
    const desk = await ImportDesk.open(paths, stores, organization, options.clock.nowMs());
    taken = await desk.take(blocks);
  } finally {
    await stores.close();
  }
  const { pending } =
    begun === undefined
      ? await announceOn(options, paths, successors)
      : await initializeAuthority({ ...options, organization, eui64Base });
  return { ...taken, pending };
}

/**
 * Generations that waited for their certificate are linked with the present ones; but not with a lost key,
 * whose case goes on by itself.
 */
async function announceOn(
  options: ImportOptions,
  paths: AuthorityPaths,
  successors: readonly string[],
): Promise<Pick<Imported, 'pending'>> {
  const pending: string[] = [];
  const book = await readBook(paths);
  for (const record of book) {
    if (record.role === 'root') {
      pending.push(...missingOfRoot(paths, book, record));
      continue;
    }
    if (record.state !== 'announced' || successors.includes(record.name)) continue;
    const announced = await completeAnnouncement(options, lineOf(record));
    if (announced.pending !== undefined) pending.push(announced.pending);
  }
  return { pending };
}

function missingOfRoot(
  paths: AuthorityPaths,
  book: readonly AuthorityRecord[],
  root: AuthorityRecord,
): readonly string[] {
  const { key, state } = root;
  const isWanted = state === 'announced' || (state === 'active' && root !== active(book, 'root'));
  return key === offlineKey && isWanted ? missingOf(paths, book, root) : [];
}

class ImportDesk {
  readonly #options: OfflineRootsOptions & { readonly stores: AuthorityStores };
  readonly #requested: Awaited<ReturnType<typeof requested>>;
  #roots: OfflineRoots;

  private constructor(
    options: OfflineRootsOptions & { readonly stores: AuthorityStores },
    roots: OfflineRoots,
    waiting: Awaited<ReturnType<typeof requested>>,
  ) {
    this.#options = options;
    this.#roots = roots;
    this.#requested = waiting;
  }

  static async open(
    paths: AuthorityPaths,
    stores: AuthorityStores,
    organization: string,
    nowMs: number,
  ): Promise<ImportDesk> {
    const book = await readBook(paths);
    const profiles = currentProfiles(await stores.profiles.profiles());
    const options = { paths, stores, book, organization, profiles, nowMs };
    return new ImportDesk(options, await OfflineRoots.open(options), await requested(paths, book));
  }

  async take(blocks: readonly PemBlock[]): Promise<Omit<Imported, 'pending'>> {
    const ders = blocks.filter(({ label }) => label === 'CERTIFICATE').map(({ der }) => der);
    this.#roots = await this.#roots.admit(ders);
    const certificates = ders
      .map((der) => ({ der, file: this.#fileOf(der) }))
      .filter(({ der, file }) => !this.#isHere(file, der));
    const lists = blocks
      .filter(({ label }) => label === 'X509 CRL')
      .map(({ der }) => ({ der, list: this.#checkedList(der) }));
    if (certificates.length + lists.length === 0) {
      throw refused('the files hold no certificate and no list that was waited for');
    }
    for (const { der, file } of certificates) await this.#keep(der, file);
    for (const { der, list } of lists) await this.#publish(der, list);
    return {
      certified: certificates.map(({ file }) => file),
      list: lists.at(-1)?.list.number,
    };
  }

  /** Own ones of roots come along with what they signed, and are here. */
  #isHere(file: string, der: Uint8Array): boolean {
    const { spki } = parseCertificate(der).publicKey;
    const path = certificatePath(this.#options.paths, file);
    return this.#roots.withKey(spki)?.record.name === file && existsSync(path);
  }

  /** Where it belongs. Throws an `EnvironmentError` when it was not asked for, or is not as it was. */
  #fileOf(der: Uint8Array): string {
    const { publicKey, subject } = parseCertificate(der);
    const root = this.#roots.withKey(publicKey.spki);
    if (root !== undefined) return this.#roots.fileOfLink(der, root);
    const found = this.#requested.find(({ spki }) => equal(spki, publicKey.spki));
    if (found === undefined) {
      throw refused(`${printName(subject)} is for no key that this installation asked for`);
    }
    return this.#fileOfRequested(der, found.record);
  }

  /** A further root certifies beside the one that certified before, or that does so now. */
  #fileOfRequested(der: Uint8Array, record: AuthorityRecord): string {
    const { paths, organization, profiles, nowMs } = this.#options;
    const certificate = parseCertificate(der);
    const signed = { ...certificate, oid: certificate.signatureAlgorithm.oid };
    const signer = this.#roots.signerOf(signed);
    if (signer === undefined) {
      throw refused(
        `${printName(certificate.subject)} is not signed by the root of this installation`,
      );
    }
    const profile = profileOf(record, profiles);
    checkCertificate(der, record, { organization, profile, root: signer.issuer, nowMs });
    const isOwn =
      signer === this.#roots.present &&
      !existsSync(certificatePath(paths, underName(record.name, signer.record.name)));
    return isOwn ? record.name : underName(record.name, signer.record.name);
  }

  async #keep(der: Uint8Array, file: string): Promise<void> {
    await pinOnce(this.#options.paths, file, der);
    const entry = encodeAuditEntry({
      kind: 'decision',
      atMs: this.#options.nowMs,
      act: 'authority-certificate',
      subject: file,
      detail: toHex(nodeCrypto.hash('SHA-256', der)),
    });
    await this.#options.stores.audit.append([entry]);
  }

  #checkedList(der: Uint8Array): RootList {
    const list = parseCertificateList(der);
    const { issuer, crlNumber, thisUpdateMs, nextUpdateMs } = list;
    const signed = { ...list, tbs: list.tbsCertList, oid: list.signatureAlgorithm };
    const root = this.#roots.signerOf(signed)?.issuer;
    if (root === undefined || !equal(issuer, root.subject.der)) {
      throw refused('the list is not signed by the root of this installation');
    }
    if (list.issuingDistributionPoint !== undefined) throw refused('the list is not complete');
    if (nextUpdateMs === undefined || nextUpdateMs <= this.#options.nowMs) {
      throw refused('the list is past its end');
    }
    const number = numberOf(crlNumber);
    if (number === undefined) throw refused('the list has no number (RFC 5280 §5.2.3)');
    return { root, number, thisUpdateMs, nextUpdateMs, count: [...revokedEntries(list)].length };
  }

  /** In its place among the lists that are published; an older one, or the same, changes nothing. */
  async #publish(der: Uint8Array, { root, ...list }: RootList): Promise<void> {
    const { status } = this.#options.stores;
    const { number } = list;
    const present = await status.list({ authority: root.name, shard: 0 });
    if (present !== undefined && present.number >= number) return;
    const [place] = await status.pendingLists([root.name], Number.MAX_SAFE_INTEGER);
    if (place === undefined) throw refused('the root has no place for its list');
    await status.saveList({
      ...list,
      id: place.id,
      revision: place.revision,
      nextRegularMs: list.nextUpdateMs,
      lastChange: await status.lastChange(),
      der,
      entry: encodeAuditEntry({
        kind: 'list-signed',
        atMs: this.#options.nowMs,
        issuerKeyId: root.keyIdentifier,
        shard: 0,
        number,
        listSha256: nodeCrypto.hash('SHA-256', der),
      }),
    });
  }
}

interface RootList {
  readonly root: Issuer;
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly count: number;
}

/** `undefined` for one that no list of a handful of authorities will have. */
function numberOf(magnitude: Uint8Array | undefined): number | undefined {
  if (magnitude === undefined || magnitude.length > 6) return undefined;
  return magnitude.reduce((number, octet) => number * 256 + octet, 0);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
