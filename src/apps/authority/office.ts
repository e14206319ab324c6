/**
 * The authority's folder with its keys and its database, opened for one step of a person: a rollover, or the
 * answer to a lost key. The authority's process must not run meanwhile.
 */
import { existsSync } from 'node:fs';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../trust/issuance/issuer.ts';
import { encodeSubjectOf } from '../../trust/issuance/prepare.ts';
import type { Profile } from '../../trust/issuance/profile.ts';
import { builtIn } from '../../trust/issuance/profiles.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { Signer } from '../../trust/ports/keys.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { StoreSetting } from '../storeSetting.ts';
import {
  authorityPaths,
  type AuthorityPaths,
  certificatePath,
  type Installation,
  otherKeys,
  readCertificateFile,
  requireInstallation,
  writeCertificateFile,
} from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import {
  aboveOf,
  believedBelowRoots,
  commonNameOf,
  linkProfileOf,
  manifestNameOf,
  profileOf,
  type Profiles,
  requireFit,
  underName,
} from './authorityNames.ts';
import { active, type AuthorityRecord, offlineKey, readBook } from './book.ts';
import { certifyOnce } from './certifyOnce.ts';
import { commitToNext, requireCommitted } from './nextRoot.ts';
import { currentProfiles } from './profileDocument.ts';
import { type Asking, certificateOrRequest, writeRequest } from './requests.ts';
import { requireUnrevoked } from './revokedAuthorities.ts';
import { publishRootLists } from './rootList.ts';
import { distributionOf } from './statusPlan.ts';
import { type AuthorityStores, openAuthorityStores } from './stores.ts';

export interface OfficeOptions {
  readonly dataFolder: string;
  readonly passphrase: string;
  readonly clock: Clock;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
}

const fatal = { retryable: false };

/** The folder with its keys and its database, for as long as one step takes. */
export class Office {
  readonly paths: AuthorityPaths;
  readonly book: readonly AuthorityRecord[];
  readonly stores: AuthorityStores;
  readonly #profiles: Profiles;
  readonly #installation: Installation;
  readonly #files: KeyFolder;
  readonly #keys: AuthorityKeys;
  readonly #clock: Clock;

  private constructor(
    paths: AuthorityPaths,
    book: readonly AuthorityRecord[],
    installation: Installation,
    files: KeyFolder,
    stores: AuthorityStores,
    profiles: Profiles,
    clock: Clock,
  ) {
    this.paths = paths;
    this.book = book;
    this.#installation = installation;
    this.#files = files;
    this.#keys = new AuthorityKeys(files);
    this.stores = stores;
    this.#profiles = profiles;
    this.#clock = clock;
  }

  static async open({ dataFolder, passphrase, clock, store }: OfficeOptions): Promise<Office> {
    const paths = authorityPaths(dataFolder);
    const installation = await requireInstallation(paths);
    const book = await readBook(paths);
    const files = await KeyFolder.open({ folder: paths.keys, passphrase });
    // Its lock keeps the authority's process away.
    const stores = await openAuthorityStores(paths, store);
    const profiles = currentProfiles(await stores.profiles.profiles());
    return new Office(paths, book, installation, files, stores, profiles, clock);
  }

  async close(): Promise<void> {
    await this.stores.close();
    await this.#keys.close();
  }

  /**
   * The next authority and its links with the present one. Returns the file of a request while the root, on
   * another machine, has to answer it.
   */
  async certify(present: AuthorityRecord, next: AuthorityRecord): Promise<string | undefined> {
    await this.requireGood(present);
    const signer = await this.#keys.make(next);
    const old = await this.issuer(present);
    const own = await this.#certificateOf(next, signer);
    if (typeof own === 'string') return own;
    const issuer = issuerFrom(
      next.role,
      own,
      signer,
      await this.#standing(next, signer.publicKeySpki),
    );
    const link = linkProfileOf(next, this.#profiles);
    if (link === undefined) return undefined;
    await this.#make(underName(next.name, present.name), next, signer, link, old);
    await this.#make(underName(present.name, next.name), present, old.signer, link, issuer);
    if (next.role !== 'root') return undefined;
    await publishRootLists(this.stores.status, [old, issuer], this.#clock);
    await this.#certifyBelow(issuer);
    return undefined;
  }

  /** Whoever believes the new root only has to find a way down to everything that issues. */
  async #certifyBelow(root: Issuer): Promise<void> {
    for (const record of believedBelowRoots(this.book)) {
      // One that waits for its root is certified by all of them then.
      if (!existsSync(certificatePath(this.paths, record.name))) continue;
      const certificate = await readCertificateFile(this.paths, record.name);
      const { spki } = parseCertificate(certificate).publicKey;
      const key = { publicKeySpki: spki, algorithm: record.algorithm };
      const profile = profileOf(record, this.#profiles);
      await this.#make(underName(record.name, root.name), record, key, profile, root);
    }
  }

  /** A root of its own, that no other one vouches for, and everything below it certified by it as well. */
  async certifyRootAlone(next: AuthorityRecord): Promise<void> {
    await this.certifyAlone(next);
    await this.#begin(next);
  }

  /** One more root, which follows nobody. */
  async certifyRootBeside(root: AuthorityRecord): Promise<void> {
    const signer = await this.#keys.make(root);
    await this.#selfSigned(root, signer, profileOf(root, this.#profiles), undefined);
    await this.#begin(root);
  }

  async #begin(root: AuthorityRecord): Promise<void> {
    const issuer = await this.issuer(root);
    await publishRootLists(this.stores.status, [issuer], this.#clock);
    await this.#certifyBelow(issuer);
  }

  /** Requests of every authority below the roots, for one more of those on another machine. */
  async writeRequests(): Promise<void> {
    for (const record of believedBelowRoots(this.book)) {
      const signer = await this.#keys.make(record);
      const profile = profileOf(record, this.#profiles);
      await writeRequest(this.paths, this.organization, this.#asking(record, profile, signer));
    }
  }

  #asking(record: AuthorityRecord, profile: Profile, signer: Signer): Asking {
    return { record, profile, signer, audit: this.stores.audit, clock: this.#clock };
  }

  /** Throws an `EnvironmentError` when the profile that it names is none for an authority of its role. */
  requireFit(record: AuthorityRecord): void {
    requireFit(record, this.#profiles);
  }

  get organization(): string {
    return this.#installation.organization;
  }

  /** DER of the SubjectPublicKeyInfo; made when it is not there. */
  async keyOf(record: AuthorityRecord): Promise<Uint8Array> {
    return (await this.#keys.make(record)).publicKeySpki;
  }

  /** Key and certificate of an authority, and no link with another one. Returns as `certify` does. */
  async certifyAlone(record: AuthorityRecord): Promise<string | undefined> {
    const certificate = await this.#certificateOf(record, await this.#keys.make(record));
    return typeof certificate === 'string' ? certificate : undefined;
  }

  /**
   * The next authority in place of one whose key is lost to somebody. With `follows`, whoever believes the
   * lost one alone is led to the next one; nothing ever leads to the lost one. Returns as `certify` does.
   */
  async replace(
    lost: AuthorityRecord,
    next: AuthorityRecord,
    { follows }: { readonly follows: boolean },
  ): Promise<string | undefined> {
    const pending = await this.certifyAlone(next);
    if (pending !== undefined) return pending;
    if (follows) {
      const signer = await this.#keys.make(next);
      const file = underName(next.name, lost.name);
      const link = linkProfileOf(next, this.#profiles);
      if (link !== undefined) await this.#make(file, next, signer, link, await this.issuer(lost));
    }
    return undefined;
  }

  /** The certificate of the key that signs manifests: it ends with the authority of servers that gave it. */
  async certifyManifests(server: AuthorityRecord): Promise<void> {
    const signer = await this.#files.signer(otherKeys.manifest);
    const name = manifestNameOf(this.#installation.organization);
    const issuer = await this.issuer(server);
    const certificate = await this.#certify(
      { profile: builtIn('documents'), name, signer },
      issuer,
    );
    await writeCertificateFile(this.paths, otherKeys.manifest, certificate);
  }

  async #certificateOf(next: AuthorityRecord, signer: Signer): Promise<Uint8Array | string> {
    const { organization } = this.#installation;
    const profile = profileOf(next, this.#profiles);
    const above = aboveOf(next.role);
    if (above === 'self') {
      const commitment = next.role === 'root' ? await this.#commitment(next, signer) : undefined;
      return this.#selfSigned(next, signer, profile, commitment);
    }
    const issuing = active(this.book, above);
    const certificate =
      issuing.key === offlineKey
        ? await certificateOrRequest(this.paths, organization, this.#asking(next, profile, signer))
        : await this.#make(next.name, next, signer, profile, await this.issuer(issuing));
    if (typeof certificate === 'string' || above !== 'root') return certificate;
    // A root on another machine certifies it there.
    for (const root of this.book) {
      const isBeside = root.role === 'root' && root.state === 'active' && root !== issuing;
      if (!isBeside || root.key === offlineKey) continue;
      const file = underName(next.name, root.name);
      await this.#make(file, next, signer, profile, await this.issuer(root));
    }
    return certificate;
  }

  /** Where the present root has committed to a key, it is this one, and the new one commits in its turn. */
  async #commitment(next: AuthorityRecord, signer: Signer): Promise<Uint8Array | undefined> {
    const present = await readCertificateFile(this.paths, active(this.book, 'root').name);
    const committed = requireCommitted(present, next.name, signer);
    const book = this.book.some(({ name }) => name === next.name)
      ? this.book
      : [...this.book, next];
    return committed ? commitToNext(this.#keys, book, next.algorithm) : undefined;
  }

  #selfSigned(
    next: AuthorityRecord,
    signer: Signer,
    profile: Profile,
    nextRootSha256: Uint8Array | undefined,
  ): Promise<Uint8Array> {
    const { organization } = this.#installation;
    const name = commonNameOf(organization, next);
    const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
    const subject = encodeSubjectOf(profile, organization, { name });
    const self = rootToBe(nodeCrypto, subject, signer, period);
    return this.#make(next.name, next, signer, profile, self, nextRootSha256);
  }

  /** Rejects with an `EnvironmentError` when it is revoked: a lost key vouches for nobody. */
  async requireGood(record: AuthorityRecord): Promise<void> {
    const roots = this.book.filter(({ role }) => role === 'root');
    await requireUnrevoked(this.paths, [...roots, record], this.stores.status);
  }

  /** Rejects with an `EnvironmentError` while something waits for a signature of the present authorities. */
  async settled(): Promise<void> {
    const unfinished = await this.stores.issuance.unfinished(0, 1);
    if (unfinished.length === 0) return;
    throw new EnvironmentError(
      'something waits to be signed: start the server once, and stop it',
      fatal,
    );
  }

  async #make(
    file: string,
    record: AuthorityRecord,
    signer: Pick<Signer, 'publicKeySpki' | 'algorithm'>,
    profile: Profile,
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
      { clock: this.#clock, store: this.stores.issuance },
      { ...subject, key: '' },
      issuer,
    );
  }

  async issuer(record: AuthorityRecord): Promise<Issuer> {
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
    const distribution = await distributionOf(this.stores.status, this.book, record, spki);
    return { name: record.name, distribution };
  }
}
