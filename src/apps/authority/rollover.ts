/**
 * One authority takes over from another of its role, in steps that a person takes and can see:
 *
 *     announced   the new one has key and certificate, and both have certified each other
 *     active      the new one issues; the old one is retired, and still believed
 *     removed     the old one is believed no more
 *
 * RFC 4210 §4.4: the new key certified by the old one (new-with-old) takes along whoever believes the old
 * one only; the old key certified by the new one (old-with-new) whoever believes the new one only. A root may
 * take another name, and follow from what the present one has committed to (RFC 8649). Each step
 * is idempotent: cut short, it is taken again. The authority's process must not run meanwhile.
 */
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { ActRequests } from '../../trust/approvals/acts.ts';
import type { Begun } from '../../trust/approvals/permissions.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../trust/issuance/issuer.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { encodeName } from '../../wire/x509/names.ts';
import {
  type AuthorityName,
  authorityNames,
  authorityPaths,
  type AuthorityPaths,
  type Installation,
  readCertificateFile,
  requireInstallation,
  writeCertificateFile,
} from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import {
  authorityProfiles,
  commonNameOf,
  crossRootProfile,
  linkProfiles,
  underName,
} from './authorityNames.ts';
import {
  active,
  authorityAlgorithms,
  type AuthorityRecord,
  nextName,
  offlineKey,
  readBook,
  writeBook,
} from './book.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { certifyOnce } from './certifyOnce.ts';
import { commitToNext, requireCommitted } from './nextRoot.ts';
import { certificateOrRequest } from './requests.ts';
import { publishRootLists } from './rootList.ts';
import { distributionOf } from './statusPlan.ts';
import { type AuthorityStores, openAuthorityStores } from './stores.ts';

export interface RolloverOptions {
  readonly dataFolder: string;
  readonly passphrase: string;
  readonly clock: Clock;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
}

export interface Announcement {
  readonly role: AuthorityName;
  /** Default: those of the present one, in a file. */
  readonly algorithm?: AuthorityRecord['algorithm'];
  readonly key?: string;
  /** A root of another name (RFC 8649 §5): the two certify each other, and no device takes one for the other. */
  readonly newName?: boolean;
}

export interface Announced extends AuthorityRecord {
  /** The request that a root on another machine has to certify first; then the same call goes on. */
  readonly pending?: string;
}

/** Makes the next authority of the role, under the same name unless told. Returns its record. */
export async function announce(
  options: RolloverOptions,
  { request }: Begun<'authority.announce'>,
): Promise<Announced> {
  const { role, algorithm, key, newName = false } = announcementOf(request);
  const office = await Office.open(options);
  try {
    const present = active(office.book, role);
    const begun = office.book.find((one) => one.role === role && one.state === 'announced');
    const next = begun ?? {
      name: nextName(office.book, role),
      role,
      algorithm: algorithm ?? present.algorithm,
      ...(key === undefined ? {} : { key }),
      ...(newName ? {} : { sharesNameOf: present.sharesNameOf ?? present.name }),
      state: 'announced',
    };
    // Written first: a crash behind this line is mended by the same command.
    if (begun === undefined) await writeBook(office.paths, [...office.book, next]);
    const pending = await office.certify(present, next);
    return pending === undefined ? next : { ...next, pending };
  } finally {
    await office.close();
  }
}

/** Goes on with what was announced before, and waited for a root on another machine. */
export async function completeAnnouncement(
  options: RolloverOptions,
  role: AuthorityName,
): Promise<Announced> {
  const office = await Office.open(options);
  try {
    const next = the(office.book, role, 'announced');
    const pending = await office.certify(active(office.book, role), next);
    return pending === undefined ? next : { ...next, pending };
  } finally {
    await office.close();
  }
}

/** The announced authority issues from the next start on. Rejects with an `EnvironmentError` where there is none. */
export async function switchOver(
  options: RolloverOptions,
  { request, resumed }: Begun<'authority.switch'>,
): Promise<{ readonly from: AuthorityRecord; readonly to: AuthorityRecord }> {
  const office = await Office.open(options);
  try {
    const role = roleNamed(request.role);
    const from = active(office.book, role);
    // Cut short behind the writing of the book: all of it is done.
    if (resumed && !has(office.book, role, 'announced')) {
      return { from: the(office.book, role, 'retired'), to: from };
    }
    const to = the(office.book, role, 'announced');
    // One that waits for a root on another machine has no certificate to issue under.
    await readCertificateFile(office.paths, to.name);
    // What the old one has promised it has to sign itself, before another one takes its place.
    await office.settled();
    await writeBook(
      office.paths,
      changed(
        office.book,
        new Map([
          [from, 'retired'],
          [to, 'active'],
        ]),
      ),
    );
    return { from, to };
  } finally {
    await office.close();
  }
}

/** The retired authority of the role is believed no more; what it has issued is worth nothing from then on. */
export async function remove(
  options: Pick<RolloverOptions, 'dataFolder'>,
  { request, resumed }: Begun<'authority.remove'>,
): Promise<AuthorityRecord> {
  const paths = authorityPaths(options.dataFolder);
  const book = await readBook(paths);
  const role = roleNamed(request.role);
  if (resumed && !has(book, role, 'retired')) return the(book, role, 'removed');
  const retired = the(book, role, 'retired');
  await writeBook(paths, changed(book, new Map([[retired, 'removed']])));
  return retired;
}

function has(
  book: readonly AuthorityRecord[],
  role: AuthorityName,
  state: AuthorityRecord['state'],
): boolean {
  return book.some((record) => record.role === role && record.state === state);
}

function announcementOf({
  role,
  algorithm,
  key,
  newName,
}: ActRequests['authority.announce']): Announcement {
  const known = authorityAlgorithms.find((one) => one === algorithm);
  if (known === undefined && algorithm !== undefined) {
    throw new EnvironmentError(`${algorithm} is no algorithm of authorities`, { retryable: false });
  }
  return {
    role: roleNamed(role),
    ...(known === undefined ? {} : { algorithm: known }),
    ...(key === undefined ? {} : { key }),
    ...(newName === undefined ? {} : { newName }),
  };
}

function roleNamed(text: string): AuthorityName {
  const role = authorityNames.find((name) => name === text);
  if (role !== undefined) return role;
  throw new EnvironmentError(`${text} is no role of an authority`, { retryable: false });
}

function the(
  book: readonly AuthorityRecord[],
  role: AuthorityName,
  state: AuthorityRecord['state'],
): AuthorityRecord {
  const found = book.find((record) => record.role === role && record.state === state);
  if (found !== undefined) return found;
  throw new EnvironmentError(`no ${role} authority is ${state}`, { retryable: false });
}

function changed(
  book: readonly AuthorityRecord[],
  states: ReadonlyMap<AuthorityRecord, AuthorityRecord['state']>,
): readonly AuthorityRecord[] {
  return book.map((record) => ({ ...record, state: states.get(record) ?? record.state }));
}

/** The folder with its keys and its database, for as long as one step takes. */
class Office {
  readonly paths: AuthorityPaths;
  readonly book: readonly AuthorityRecord[];
  readonly #installation: Installation;
  readonly #keys: AuthorityKeys;
  readonly #stores: AuthorityStores;
  readonly #clock: Clock;

  private constructor(
    paths: AuthorityPaths,
    book: readonly AuthorityRecord[],
    installation: Installation,
    keys: AuthorityKeys,
    stores: AuthorityStores,
    clock: Clock,
  ) {
    this.paths = paths;
    this.book = book;
    this.#installation = installation;
    this.#keys = keys;
    this.#stores = stores;
    this.#clock = clock;
  }

  static async open({ dataFolder, passphrase, clock, store }: RolloverOptions): Promise<Office> {
    const paths = authorityPaths(dataFolder);
    const installation = await requireInstallation(paths);
    const book = await readBook(paths);
    const files = await KeyFolder.open({ folder: paths.keys, passphrase });
    // Its lock keeps the authority's process away.
    const stores = await openAuthorityStores(paths, store);
    return new Office(paths, book, installation, new AuthorityKeys(files), stores, clock);
  }

  async close(): Promise<void> {
    await this.#stores.close();
    await this.#keys.close();
  }

  /** Returns the file of a request while the root, on another machine, has to answer it. */
  async certify(present: AuthorityRecord, next: AuthorityRecord): Promise<string | undefined> {
    const signer = await this.#keys.make(next);
    const old = await this.#issuer(present);
    const own = await this.#certificateOf(next, signer);
    if (typeof own === 'string') return own;
    const issuer = issuerFrom(
      next.role,
      own,
      signer,
      await this.#standing(next, signer.publicKeySpki),
    );
    const link = next.sharesNameOf === undefined ? crossRootProfile : linkProfiles[next.role];
    await this.#make(underName(next.name, present.name), next, signer, link, old);
    await this.#make(underName(present.name, next.name), present, old.signer, link, issuer);
    if (next.role !== 'root') return undefined;
    await publishRootLists(this.#stores.status, [old, issuer], this.#clock);
    // Whoever believes the new root only has to find a way down to everything that issues.
    for (const record of this.book.filter(({ role }) => role !== 'root')) {
      const certificate = await readCertificateFile(this.paths, record.name);
      const { spki } = parseCertificate(certificate).publicKey;
      const key = { publicKeySpki: spki, algorithm: record.algorithm };
      const profile = authorityProfiles[record.role];
      await this.#make(underName(record.name, next.name), record, key, profile, issuer);
    }
    return undefined;
  }

  async #certificateOf(next: AuthorityRecord, signer: Signer): Promise<Uint8Array | string> {
    const { organization } = this.#installation;
    const profile = authorityProfiles[next.role];
    if (next.role === 'root') return this.#rootCertificate(next, signer);
    const root = active(this.book, 'root');
    if (root.key === offlineKey) {
      return certificateOrRequest(this.paths, organization, next, signer);
    }
    return this.#make(next.name, next, signer, profile, await this.#issuer(root));
  }

  /** Where the present root has committed to a key, it is this one, and the new one commits in its turn. */
  async #rootCertificate(next: AuthorityRecord, signer: Signer): Promise<Uint8Array> {
    const { organization } = this.#installation;
    const present = await readCertificateFile(this.paths, active(this.book, 'root').name);
    const committed = requireCommitted(present, next.name, signer);
    const book = this.book.some(({ name }) => name === next.name)
      ? this.book
      : [...this.book, next];
    const nextRootSha256 = committed
      ? await commitToNext(this.#keys, book, next.algorithm)
      : undefined;
    const name = commonNameOf(organization, next);
    const subject = encodeName(['organizationName', organization], ['commonName', name]);
    const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
    const self = rootToBe(nodeCrypto, subject, signer, period);
    return this.#make(next.name, next, signer, authorityProfiles.root, self, nextRootSha256);
  }

  /** Rejects with an `EnvironmentError` while something waits for a signature of the present authorities. */
  async settled(): Promise<void> {
    const unfinished = await this.#stores.issuance.unfinished(0, 1);
    if (unfinished.length === 0) return;
    throw new EnvironmentError('something waits to be signed: start the server once, and stop it', {
      retryable: false,
    });
  }

  async #make(
    file: string,
    record: AuthorityRecord,
    signer: Pick<Signer, 'publicKeySpki' | 'algorithm'>,
    profile: string,
    issuer: Issuer,
    nextRootSha256?: Uint8Array,
  ): Promise<Uint8Array> {
    const name = commonNameOf(this.#installation.organization, record);
    const certificate = await this.#certify({ profile, name, signer, nextRootSha256 }, issuer);
    await writeCertificateFile(this.paths, file, certificate);
    return certificate;
  }

  #certify(
    subject: Omit<Parameters<typeof certifyOnce>[1], 'key'>,
    issuer: Issuer,
  ): Promise<Uint8Array> {
    return certifyOnce(
      { clock: this.#clock, store: this.#stores.issuance },
      { ...subject, key: '' },
      issuer,
    );
  }

  async #issuer(record: AuthorityRecord): Promise<Issuer> {
    const certificate = await readCertificateFile(this.paths, record.name);
    const { spki } = parseCertificate(certificate).publicKey;
    const signer = await this.#keys.signer(record, spki);
    return issuerFrom(record.role, certificate, signer, await this.#standing(record, spki));
  }

  /** It has lists from the moment on that it signs anything. */
  async #standing(
    record: AuthorityRecord,
    spki: Uint8Array,
  ): Promise<Pick<Issuer, 'name' | 'distribution'>> {
    const distribution = await distributionOf(this.#stores.status, this.book, record, spki);
    return { name: record.name, distribution };
  }
}
