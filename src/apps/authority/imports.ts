/**
 * Takes in what a root on another machine has made: certificates for the authorities that asked, and the
 * list of those that it has revoked. Then whatever waited for them goes on: the installation, or the next
 * generation of an authority.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { encodeAuditEntry } from '../../trust/audit/entry.ts';
import { type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
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
  readBegunInstallation,
  readCertificateFile,
  readInstallation,
} from './authorityFolder.ts';
import { active, type AuthorityRecord, lineOf, offlineKey, readBook } from './book.ts';
import { type Profiles, profileOf } from './authorityNames.ts';
import { Cases } from './cases.ts';
import { initializeAuthority } from './initialize.ts';
import { checkCertificate, isSignedBy, pinOnce, publicSigner, requested } from './requests.ts';
import { currentProfiles } from './profileDocument.ts';
import { completeAnnouncement } from './rollover.ts';
import { distributionOf } from './statusPlan.ts';
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
  for (const record of await readBook(paths)) {
    if (record.state !== 'announced' || successors.includes(record.name)) continue;
    const announced = await completeAnnouncement(options, lineOf(record));
    if (announced.pending !== undefined) pending.push(announced.pending);
  }
  return { pending };
}

class ImportDesk {
  readonly #paths: AuthorityPaths;
  readonly #stores: AuthorityStores;
  readonly #organization: string;
  readonly #nowMs: number;
  readonly #root: Issuer;
  readonly #profiles: Profiles;
  readonly #requested: Awaited<ReturnType<typeof requested>>;

  private constructor(
    paths: AuthorityPaths,
    stores: AuthorityStores,
    organization: string,
    nowMs: number,
    root: Issuer,
    profiles: Profiles,
    waiting: Awaited<ReturnType<typeof requested>>,
  ) {
    this.#paths = paths;
    this.#stores = stores;
    this.#organization = organization;
    this.#nowMs = nowMs;
    this.#root = root;
    this.#profiles = profiles;
    this.#requested = waiting;
  }

  static async open(
    paths: AuthorityPaths,
    stores: AuthorityStores,
    organization: string,
    nowMs: number,
  ): Promise<ImportDesk> {
    const book = await readBook(paths);
    const record = active(book, 'root');
    if (record.key !== offlineKey) throw refused('the root of this installation is in its folder');
    const certificate = await readCertificateFile(paths, record.name);
    const { spki } = parseCertificate(certificate).publicKey;
    const { name } = record;
    const distribution = await distributionOf(stores.status, book, record, spki);
    const signer = publicSigner(spki, record.algorithm);
    const root = issuerFrom('root', certificate, signer, { name, distribution });
    const profiles = currentProfiles(await stores.profiles.profiles());
    const waiting = await requested(paths, book);
    return new ImportDesk(paths, stores, organization, nowMs, root, profiles, waiting);
  }

  async take(blocks: readonly PemBlock[]): Promise<Omit<Imported, 'pending'>> {
    const certificates = blocks
      .filter(({ label }) => label === 'CERTIFICATE')
      .filter(({ der }) => !equal(parseCertificate(der).publicKey.spki, this.#rootKey()))
      .map(({ der }) => ({ der, record: this.#recordFor(der) }));
    const lists = blocks
      .filter(({ label }) => label === 'X509 CRL')
      .map(({ der }) => ({ der, list: this.#checkedList(der) }));
    if (certificates.length + lists.length === 0) {
      throw refused('the files hold no certificate and no list that was waited for');
    }
    for (const { der, record } of certificates) await this.#keep(der, record);
    for (const { der, list } of lists) await this.#publish(der, list);
    return {
      certified: certificates.map(({ record }) => record.name),
      list: lists.at(-1)?.list.number,
    };
  }

  #rootKey(): Uint8Array {
    return this.#root.signer.publicKeySpki;
  }

  #recordFor(der: Uint8Array): AuthorityRecord {
    const { publicKey, subject } = parseCertificate(der);
    const found = this.#requested.find(({ spki }) => equal(spki, publicKey.spki));
    if (found === undefined) {
      throw refused(`${printName(subject)} is for no key that this installation asked for`);
    }
    checkCertificate(der, found.record, {
      organization: this.#organization,
      profile: profileOf(found.record, this.#profiles),
      root: this.#root,
      nowMs: this.#nowMs,
    });
    return found.record;
  }

  async #keep(der: Uint8Array, { name }: AuthorityRecord): Promise<void> {
    await pinOnce(this.#paths, name, der);
    const entry = encodeAuditEntry({
      kind: 'decision',
      atMs: this.#nowMs,
      act: 'authority-certificate',
      subject: name,
      detail: toHex(nodeCrypto.hash('SHA-256', der)),
    });
    await this.#stores.audit.append([entry]);
  }

  #checkedList(der: Uint8Array): RootList {
    const list = parseCertificateList(der);
    const { issuer, crlNumber, thisUpdateMs, nextUpdateMs } = list;
    const signed = { ...list, tbs: list.tbsCertList, oid: list.signatureAlgorithm };
    if (!equal(issuer, this.#root.subject.der) || !isSignedBy(signed, this.#rootKey())) {
      throw refused('the list is not signed by the root of this installation');
    }
    if (list.issuingDistributionPoint !== undefined) throw refused('the list is not complete');
    if (nextUpdateMs === undefined || nextUpdateMs <= this.#nowMs) {
      throw refused('the list is past its end');
    }
    const number = numberOf(crlNumber);
    if (number === undefined) throw refused('the list has no number (RFC 5280 §5.2.3)');
    return { number, thisUpdateMs, nextUpdateMs, count: [...revokedEntries(list)].length };
  }

  /** In its place among the lists that are published; an older one, or the same, changes nothing. */
  async #publish(der: Uint8Array, list: RootList): Promise<void> {
    const { status } = this.#stores;
    const { number } = list;
    const present = await status.list({ authority: this.#root.name, shard: 0 });
    if (present !== undefined && present.number >= number) return;
    const [place] = await status.pendingLists([this.#root.name], Number.MAX_SAFE_INTEGER);
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
        atMs: this.#nowMs,
        issuerKeyId: this.#root.keyIdentifier,
        shard: 0,
        number,
        listSha256: nodeCrypto.hash('SHA-256', der),
      }),
    });
  }
}

interface RootList {
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
