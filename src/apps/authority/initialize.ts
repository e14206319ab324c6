/**
 * Makes an installation's authorities: keys, root, and the three authorities below it. Every certificate
 * goes the way of all others (lint, T1, signature, T2), so that the log begins with the root itself. A
 * crash on the way is mended by the next call: what is there stays, what is missing is made.
 */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../../drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../drivers/store/sqlite/issuingTables.ts';
import { Issuance } from '../../trust/issuance/issuance.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../trust/issuance/issuer.ts';
import { builtInProfiles } from '../../trust/issuance/profiles.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError, isRefusal } from '../../trust/ports/faults.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { encodeSignatureAlgorithm } from '../../wire/x509/algorithms.ts';
import { encodeCertificate } from '../../wire/x509/certificateWriter.ts';
import { encodeName } from '../../wire/x509/names.ts';
import {
  type AuthorityName,
  authorityNames,
  authorityPaths,
  type AuthorityPaths,
  otherKeys,
  readInstallation,
  writeCertificateFile,
  writeInstallation,
} from './authorityFolder.ts';

export interface InitializeOptions {
  readonly dataFolder: string;
  readonly passphrase: string;
  /** O of every certificate: the maker. */
  readonly organization: string;
  /** Default: a random block of locally administered addresses, good for evaluation. */
  readonly eui64Base?: Uint8Array;
  readonly clock: Clock;
  /** For tests: a cost of the key files that protects nothing. */
  readonly costLog2?: number;
}

/** Rejects with an `EnvironmentError` when the folder holds an authority of another organization. */
export async function initializeAuthority(options: InitializeOptions): Promise<AuthorityPaths> {
  const paths = authorityPaths(options.dataFolder);
  await mkdir(paths.folder, { recursive: true, mode: 0o700 });
  const present = await readInstallation(paths);
  if (present !== undefined && present.organization !== options.organization) {
    throw new EnvironmentError(`${paths.folder} holds the authority of ${present.organization}`, {
      retryable: false,
    });
  }
  const keys = await openKeys(options, paths);
  const database = new SqliteDatabase({ path: paths.database, migrations: issuingMigrations });
  try {
    const store = new SqliteIssuanceStore(database);
    await new Ceremony(options, paths, keys, store).perform();
  } finally {
    database.close();
  }
  const { organization, eui64Base = localBlock() } = options;
  // Written last: an authority that says that it is one is complete.
  if (present === undefined) await writeInstallation(paths, { organization, eui64Base });
  return paths;
}

const profiles: Readonly<Record<AuthorityName, string>> = {
  root: 'root',
  factory: 'issuing-factory',
  operational: 'issuing',
  server: 'issuing-server',
};

const titles: Readonly<Record<AuthorityName, string>> = {
  root: 'Root',
  factory: 'Factory',
  operational: 'Operational',
  server: 'Servers',
};

class Ceremony {
  readonly #options: InitializeOptions;
  readonly #paths: AuthorityPaths;
  readonly #keys: KeyFolder;
  readonly #store: SqliteIssuanceStore;

  constructor(
    options: InitializeOptions,
    paths: AuthorityPaths,
    keys: KeyFolder,
    store: SqliteIssuanceStore,
  ) {
    this.#options = options;
    this.#paths = paths;
    this.#keys = keys;
    this.#store = store;
  }

  async perform(): Promise<void> {
    const root = await this.#make('root', 'root', this.#name('root'), await this.#rootToBe());
    const rootIssuer = issuerFrom('root', root, await this.#keys.signer('root'));
    for (const name of ['factory', 'operational', 'server'] as const) {
      const certificate = await this.#make(name, name, this.#name(name), rootIssuer);
      if (name !== 'server') continue;
      const issuer = issuerFrom('server', certificate, await this.#keys.signer('server'));
      await this.#make(
        'manifest',
        otherKeys.manifest,
        `${this.#options.organization} Manifests`,
        issuer,
      );
    }
  }

  /** DER of the certificate, from the database when it was issued before. */
  async #make(
    file: AuthorityName | 'manifest',
    key: string,
    name: string,
    issuer: Issuer,
  ): Promise<Uint8Array> {
    const { clock } = this.#options;
    const issuance = new Issuance({
      store: this.#store,
      crypto: nodeCrypto,
      clock,
      profiles: builtInProfiles,
      issuers: [issuer],
    });
    await issuance.recover();
    const [known] = await this.#store.certificatesOf(name);
    const certificate =
      known === undefined
        ? await this.#issue(issuance, file, key, name)
        : encodeCertificate(known.tbs, ecdsaWithSha256, known.signature);
    await writeCertificateFile(this.#paths, file, certificate);
    return certificate;
  }

  async #issue(
    issuance: Issuance,
    file: AuthorityName | 'manifest',
    key: string,
    name: string,
  ): Promise<Uint8Array> {
    const profile = file === 'manifest' ? 'documents' : profiles[file];
    const { publicKeySpki: spki } = await this.#keys.signer(key);
    const [issued] = await issuance.issue([{ profile, content: { spki, name } }]);
    if (issued !== undefined && !isRefusal(issued)) return issued.certificate;
    throw new EnvironmentError(
      `the certificate ${name} cannot be issued: ${issued?.reason ?? 'no answer'}`,
      { retryable: false },
    );
  }

  async #rootToBe(): Promise<Issuer> {
    const { organization } = this.#options;
    const subject = encodeName(
      ['organizationName', organization],
      ['commonName', this.#name('root')],
    );
    const signer = await this.#keys.signer('root');
    return rootToBe(nodeCrypto, subject, signer, { notBeforeMs: 0, notAfterMs: noExpirationMs });
  }

  #name(authority: AuthorityName): string {
    return `${this.#options.organization} ${titles[authority]}`;
  }
}

const ecdsaWithSha256 = encodeSignatureAlgorithm('ecdsa-with-SHA256');

async function openKeys(options: InitializeOptions, paths: AuthorityPaths): Promise<KeyFolder> {
  const { passphrase, costLog2 } = options;
  const cost = costLog2 === undefined ? {} : { costLog2 };
  const keys = await KeyFolder.open({ folder: paths.keys, passphrase, ...cost });
  const present = new Set(await keys.names());
  for (const name of [...authorityNames, otherKeys.order, otherKeys.manifest]) {
    if (!present.has(name)) await keys.create(name, 'p256-sign');
  }
  if (!present.has(otherKeys.sealing)) await keys.create(otherKeys.sealing, 'sealing');
  if (!present.has(otherKeys.log)) await keys.create(otherKeys.log, 'ed25519-sign');
  return keys;
}

/** Locally administered (IEEE 802: bit 1 of the first octet), 2^32 addresses from a random place. */
function localBlock(): Uint8Array {
  return Uint8Array.of(0x02, ...randomBytes(3), 0, 0, 0, 0);
}
