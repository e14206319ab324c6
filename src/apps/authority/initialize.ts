/**
 * Makes an installation's authorities: keys, root, and the three authorities below it. Every certificate
 * goes the way of all others (lint, T1, signature, T2), so that the log begins with the root itself. A
 * crash on the way is mended by the next call: what is there stays, what is missing is made.
 */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SnapshotIssuingReader } from '../../drivers/store/issuingReader.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../trust/issuance/issuer.ts';
import { encodeSubjectOf } from '../../trust/issuance/prepare.ts';
import { builtIn } from '../../trust/issuance/profiles.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { IssuanceStore } from '../../trust/ports/issuanceStore.ts';
import type { StatusStore } from '../../trust/ports/statusStore.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  authorityPaths,
  type AuthorityPaths,
  certificatePath,
  type Installation,
  otherKeys,
  readBegunInstallation,
  readCertificateFile,
  readIfThere,
  readInstallation,
  writeCertificateFile,
  writeInstallation,
} from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import {
  aboveOf,
  commonNameOf,
  isSelfSigned,
  manifestNameOf,
  profileOf,
  type Profiles,
  underName,
} from './authorityNames.ts';
import {
  active,
  type AuthorityRecord,
  defaultBook,
  hasBook,
  offlineKey,
  readBook,
  writeBook,
} from './book.ts';
import type { StoreSetting } from '../storeSetting.ts';
import { certifyOnce, type Subject } from './certifyOnce.ts';
import { currentProfiles } from './profileDocument.ts';
import { type Asking, certificateOrRequest, checkRoot, pinOnce } from './requests.ts';
import { commitToNext } from './nextRoot.ts';
import { publishRootLists } from './rootList.ts';
import { createLists, type Distributions, requirePlan, type StatusPlan } from './statusPlan.ts';
import { openAuthoritySnapshot, openAuthorityStores } from './stores.ts';

export interface InitializeOptions {
  readonly dataFolder: string;
  readonly passphrase: string;
  /** O of every certificate: the maker. */
  readonly organization: string;
  /** Default: a random block of locally administered addresses, good for evaluation. */
  readonly eui64Base?: Uint8Array;
  readonly clock: Clock;
  /** Default: SQLite, in the folder. */
  readonly store?: StoreSetting | undefined;
  /** Where the status of certificates will be found; without it they do not say, now and for good. */
  readonly status?: StatusPlan;
  /** Default: four authorities with P-256 keys in files. */
  readonly authorities?: readonly AuthorityRecord[];
  /**
   * DER of the certificate of a root on another machine, whose record in `authorities` says `offline`.
   * Needed when it begins; what is to be certified then waits as `requests/NAME.csr`.
   */
  readonly rootCertificate?: Uint8Array;
  /** The first root names the key of the next one (RFC 8649), which is made with it and rests. */
  readonly commitNextRoot?: boolean;
  /** Hears of every step, for a transcript. */
  readonly onStep?: (step: InitializeStep) => void;
  /** For tests: a cost of the key files that protects nothing. */
  readonly costLog2?: number;
}

export interface Initialized extends AuthorityPaths {
  /** Files of requests that the root on another machine has to certify; empty when all is there. */
  readonly pending: readonly string[];
}

export interface InitializeStep {
  /** File of the certificate, without `.pem`. */
  readonly name: string;
  readonly key: string;
  readonly algorithm: string;
  /** DER. */
  readonly certificate: Uint8Array;
}

/**
 * Rejects with an `EnvironmentError` when the folder holds an authority of another organization, or one
 * whose certificates name other places for their status.
 */
export async function initializeAuthority(options: InitializeOptions): Promise<Initialized> {
  const { paths, complete, present, book } = await plannedAuthorities(options);
  await mkdir(paths.folder, { recursive: true, mode: 0o700 });
  if (!(await hasBook(paths))) await writeBook(paths, book);
  const { passphrase, costLog2 } = options;
  const cost = costLog2 === undefined ? {} : { costLog2 };
  const files = await KeyFolder.open({ folder: paths.keys, passphrase, ...cost });
  await makeOtherKeys(files);
  const keys = new AuthorityKeys(files);
  const { issuance, audit, status, approvals, profiles, close } = await openAuthorityStores(
    paths,
    options.store,
  );
  let pending: readonly string[] = [];
  try {
    if (complete !== undefined && (await approvals.mode()) !== undefined) {
      await tell(paths, book, options);
      return { ...paths, pending };
    }
    const distributions = await createLists(status, book, options.status);
    const stores = {
      issuance,
      audit,
      status,
      distributions,
      profiles: currentProfiles(await profiles.profiles()),
    };
    pending = await new Foundation(options, paths, files, keys, stores).lay(book);
  } finally {
    await close();
    await keys.close();
  }
  const { organization } = options;
  const eui64Base = present?.eui64Base ?? options.eui64Base ?? localBlock();
  // Written last: an authority that says that it is one is complete.
  if (complete === undefined) {
    const state = pending.length === 0 ? 'complete' : 'begun';
    await writeInstallation(paths, { organization, eui64Base }, state);
  }
  return { ...paths, pending };
}

export interface PlannedAuthorities {
  readonly paths: AuthorityPaths;
  /** What an earlier call has finished. */
  readonly complete: Installation | undefined;
  /** The same, or what it has begun. */
  readonly present: Installation | undefined;
  readonly book: readonly AuthorityRecord[];
}

/** What is there and what is to be, with nothing written. Rejects as `initializeAuthority` does. */
export async function plannedAuthorities(
  options: Pick<
    InitializeOptions,
    | 'dataFolder'
    | 'organization'
    | 'eui64Base'
    | 'authorities'
    | 'rootCertificate'
    | 'status'
    | 'store'
  >,
): Promise<PlannedAuthorities> {
  const { organization, eui64Base, rootCertificate } = options;
  const paths = authorityPaths(options.dataFolder);
  const complete = await readInstallation(paths);
  const present = complete ?? (await readBegunInstallation(paths));
  if (present !== undefined && present.organization !== organization) {
    throw new EnvironmentError(`${paths.folder} holds the authority of ${present.organization}`, {
      retryable: false,
    });
  }
  const kept = present?.eui64Base;
  if (kept !== undefined && eui64Base !== undefined && !equal(kept, eui64Base)) {
    throw new EnvironmentError(`its addresses begin with ${toHex(kept)}, and that stays so`, {
      retryable: false,
    });
  }
  const book = await bookFor(options, paths);
  if (present !== undefined && options.status !== undefined) {
    const snapshot = await openAuthoritySnapshot(paths, options.store);
    try {
      const made = await new SnapshotIssuingReader(snapshot).authorityLists();
      requirePlan(made, book, options.status);
    } finally {
      await snapshot.close();
    }
  }
  if (rootCertificate !== undefined) {
    checkRoot(rootCertificate, organization, active(book, 'root').algorithm);
  }
  return { paths, complete, present, book };
}

/** The book decides from its first writing on: a second call makes what the first one meant. */
async function bookFor(
  { authorities }: Pick<InitializeOptions, 'authorities'>,
  paths: AuthorityPaths,
): Promise<readonly AuthorityRecord[]> {
  const written = await hasBook(paths);
  const book = written ? await readBook(paths) : (authorities ?? defaultBook);
  if (written && authorities !== undefined && !isDeepStrictEqual(book, authorities)) {
    throw new EnvironmentError(`${paths.folder} was begun with other authorities`, {
      retryable: false,
    });
  }
  return book;
}

/**
 * Where two persons are needed this is not the way to the roots' keys, nor to what somebody left to be made:
 * what is there is told, and nothing opened.
 */
async function tell(
  paths: AuthorityPaths,
  book: readonly AuthorityRecord[],
  { onStep }: InitializeOptions,
): Promise<void> {
  const roots = book.filter(({ role }) => role === 'root');
  const others = book.filter(({ role }) => role !== 'root');
  const told = async (name: string, key: string | undefined, algorithm: string): Promise<void> => {
    if ((await readIfThere(certificatePath(paths, name))) === undefined) return;
    const certificate = await readCertificateFile(paths, name);
    onStep?.({ name, key: key ?? 'file', algorithm, certificate });
  };
  for (const { name, key, algorithm } of roots) await told(name, key, algorithm);
  for (const { name, role, key, algorithm } of others) {
    await told(name, key, algorithm);
    if (aboveOf(role) !== 'root') continue;
    for (const root of roots.slice(1)) await told(underName(name, root.name), key, algorithm);
    if (role === 'server') await told(otherKeys.manifest, undefined, 'ecdsa-with-SHA256');
  }
}

async function makeOtherKeys(files: KeyFolder): Promise<void> {
  const present = new Set(await files.names());
  for (const name of [otherKeys.order, otherKeys.manifest]) {
    if (!present.has(name)) await files.create(name, 'p256-sign');
  }
  if (!present.has(otherKeys.log)) await files.create(otherKeys.log, 'ed25519-sign');
  if (!present.has(otherKeys.sealing)) await files.create(otherKeys.sealing, 'sealing');
}

interface FoundationStores {
  readonly issuance: IssuanceStore;
  readonly audit: Asking['audit'];
  readonly status: StatusStore;
  readonly distributions: Distributions;
  readonly profiles: Profiles;
}

/** One whose certificate is there, and that certifies others. */
interface Standing {
  readonly record: AuthorityRecord;
  readonly issuer: Issuer;
}

class Foundation {
  readonly #options: InitializeOptions;
  readonly #paths: AuthorityPaths;
  readonly #files: KeyFolder;
  readonly #keys: AuthorityKeys;
  readonly #stores: FoundationStores;

  constructor(
    options: InitializeOptions,
    paths: AuthorityPaths,
    files: KeyFolder,
    keys: AuthorityKeys,
    stores: FoundationStores,
  ) {
    this.#options = options;
    this.#paths = paths;
    this.#files = files;
    this.#keys = keys;
    this.#stores = stores;
  }

  /**
   * The first root signs the others' certificates; every further root certifies them a second time. Returns
   * the requests that wait for a root on another machine.
   */
  async lay(book: readonly AuthorityRecord[]): Promise<readonly string[]> {
    const roots = await this.#selfSigned(book, 'root');
    const paas = await this.#selfSigned(book, 'matter-paa');
    const pending: string[] = [];
    for (const record of book.filter((one) => !isSelfSigned(one))) {
      const above = aboveOf(record.role) === 'root' ? roots : paas;
      const waits = await this.#certify(record, above);
      if (waits !== undefined) pending.push(waits);
    }
    // A root on another machine signs its list there.
    const here = [...roots, ...paas].filter(({ record }) => record.key !== offlineKey);
    const issuers = here.map(({ issuer }) => issuer);
    await publishRootLists(this.#stores.status, issuers, this.#options.clock);
    return pending;
  }

  /** The file of a request that waits for a root on another machine, when one does. */
  async #certify(
    record: AuthorityRecord,
    [first, ...further]: readonly Standing[],
  ): Promise<string | undefined> {
    const { organization } = this.#options;
    const subject = {
      profile: profileOf(record, this.#stores.profiles),
      name: commonNameOf(organization, record),
      signer: await this.#keys.make(record),
      key: record.key ?? 'file',
    };
    const { profile, signer } = subject;
    const certificate =
      first?.record.key === offlineKey
        ? await certificateOrRequest(this.#paths, organization, {
            record,
            profile,
            signer,
            audit: this.#stores.audit,
            clock: this.#options.clock,
          })
        : await this.#make(record.name, subject, first?.issuer);
    if (typeof certificate === 'string') return certificate;
    if (first?.record.key === offlineKey) this.#tell(record.name, subject, certificate);
    for (const { record: root, issuer } of further) {
      await this.#make(underName(record.name, root.name), subject, issuer);
    }
    if (record.role !== 'server') return undefined;
    const manifest = {
      profile: builtIn('documents'),
      name: manifestNameOf(organization),
      signer: await this.#files.signer(otherKeys.manifest),
      key: 'file',
    };
    const issuer = issuerFrom('server', certificate, signer, this.#standing(record));
    await this.#make(otherKeys.manifest, manifest, issuer);
    return undefined;
  }

  async #selfSigned(
    book: readonly AuthorityRecord[],
    role: 'root' | 'matter-paa',
  ): Promise<readonly Standing[]> {
    const { organization } = this.#options;
    const made: Standing[] = [];
    for (const record of book.filter((one) => one.role === role)) {
      if (record.key === offlineKey) {
        if (made.length > 0) throw new TypeError('only the first root may be off line');
        made.push({ record, issuer: await this.#offlineRoot(record) });
        continue;
      }
      const signer = await this.#keys.make(record);
      const name = commonNameOf(organization, record);
      const profile = profileOf(record, this.#stores.profiles);
      const self = rootToBe(nodeCrypto, encodeSubjectOf(profile, organization, { name }), signer, {
        notBeforeMs: 0,
        notAfterMs: noExpirationMs,
      });
      const nextRootSha256 =
        this.#options.commitNextRoot === true && role === 'root' && made.length === 0
          ? await commitToNext(this.#keys, book, record.algorithm)
          : undefined;
      const subject = { profile, name, signer, key: record.key ?? 'file', nextRootSha256 };
      const certificate = await this.#make(record.name, subject, self);
      made.push({ record, issuer: issuerFrom(role, certificate, signer, this.#standing(record)) });
    }
    return made;
  }

  #standing({ name }: AuthorityRecord): Pick<Issuer, 'name' | 'distribution'> {
    return { name, distribution: this.#stores.distributions.get(name) };
  }

  async #offlineRoot(record: AuthorityRecord): Promise<Issuer> {
    const { rootCertificate, onStep } = this.#options;
    if (rootCertificate !== undefined) {
      await pinOnce(this.#paths, record.name, rootCertificate);
    }
    const certificate = await readCertificateFile(this.#paths, record.name);
    const { spki } = parseCertificate(certificate).publicKey;
    const signer = await this.#keys.signer(record, spki);
    onStep?.({ name: record.name, key: offlineKey, algorithm: record.algorithm, certificate });
    return issuerFrom('root', certificate, signer, this.#standing(record));
  }

  /** DER of the certificate, from the database when it was issued before. */
  async #make(file: string, subject: Subject, issuer: Issuer | undefined): Promise<Uint8Array> {
    if (issuer === undefined) throw new TypeError('a book without a root');
    const { clock } = this.#options;
    const certificate = await certifyOnce({ clock, store: this.#stores.issuance }, subject, issuer);
    await writeCertificateFile(this.#paths, file, certificate);
    this.#tell(file, subject, certificate);
    return certificate;
  }

  #tell(name: string, { key, signer }: Subject, certificate: Uint8Array): void {
    this.#options.onStep?.({ name, key, algorithm: signer.algorithm, certificate });
  }
}

/** Locally administered (IEEE 802: bit 1 of the first octet), 2^32 addresses from a random place. */
function localBlock(): Uint8Array {
  return Uint8Array.of(0x02, ...randomBytes(3), 0, 0, 0, 0);
}
