/**
 * A root on a machine of its own, which no network reaches: a folder with its key, its certificate, its
 * database and its log. Requests come in as files, certificates and the list of revoked authorities go out
 * as files. Everything is issued the way of all others (lint, T1, signature, T2), and what was signed once
 * for a key is given again.
 */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../trust/issuance/issuer.ts';
import { encodeSubjectOf } from '../../trust/issuance/prepare.ts';
import type { Profile } from '../../trust/issuance/profile.ts';
import { builtIn, builtInProfiles } from '../../trust/issuance/profiles.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { changeOf } from '../../trust/status/notices.ts';
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { RevocationReason } from '../../wire/crl/reason.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { completeCertificate } from '../../wire/x509/certificateWriter.ts';
import { parseCertificationRequest } from '../../wire/x509/certificationRequest.ts';
import { attributeText, encodeName, printName } from '../../wire/x509/names.ts';
import { encodePem } from '../../wire/x509/pem.ts';
import {
  type AuthorityRole,
  type AuthorityPaths,
  certificatePath,
  pathsIn,
  readCertificateFile,
  readIfThere,
  writeCertificateFile,
  writeWhole,
} from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import { aboveOf, commonNameOf, faultOfRole, isNameOfRole, profileOf } from './authorityNames.ts';
import { active, type AuthorityRecord, hasBook, readBook, writeBook } from './book.ts';
import { certifyOnce } from './certifyOnce.ts';
import { commitToNext } from './nextRoot.ts';
import { publishRootLists } from './rootList.ts';
import { distributionOf } from './statusPlan.ts';
import { type AuthorityStores, openAuthorityStores } from './stores.ts';

export interface RootFolder {
  readonly folder: string;
  readonly passphrase: string;
  readonly clock: Clock;
  /** For tests: a cost of the key files that protects nothing. */
  readonly costLog2?: number;
}

export interface RootPlan {
  /** O of the root and of everything below it. */
  readonly organization: string;
  readonly algorithm: AuthorityRecord['algorithm'];
  /** A PKCS#11 URI; absent for an encrypted file. */
  readonly key?: string;
  /** Where the installation will publish the root's list; without it no certificate says. */
  readonly statusUrl?: string;
  /** Of one beside another: it is called root-NAME. */
  readonly name?: string | undefined;
  /** It names the key of the next one (RFC 8649), which is made with it and rests. */
  readonly commitsNext?: boolean;
}

/** A request of an authority, as whoever stands at the root decides about it. */
export interface SignRequest {
  readonly role: AuthorityRole;
  /** DER of PKCS#10. */
  readonly request: Uint8Array;
  /** Of the certificate; that of the role unless told. */
  readonly profile?: Profile | undefined;
}

export interface Certified {
  readonly name: string;
  /** DER. */
  readonly certificate: Uint8Array;
}

/** DER of the root's certificate. Given again after a crash it makes what is missing. */
export async function createRoot(options: RootFolder, plan: RootPlan): Promise<Uint8Array> {
  const paths = pathsIn(resolve(options.folder));
  await mkdir(paths.folder, { recursive: true, mode: 0o700 });
  const present = await readOrganization(paths);
  if (present !== undefined && present !== plan.organization) {
    throw refused(`${paths.folder} holds the root of ${present}`);
  }
  const record = await recordOf(paths, plan);
  const keys = await openKeys(paths, options);
  const stores = await openAuthorityStores(paths, undefined);
  try {
    const { clock } = options;
    const signer = await keys.make(record);
    const name = commonNameOf(plan.organization, record);
    const subject = encodeName(['organizationName', plan.organization], ['commonName', name]);
    const self = rootToBe(nodeCrypto, subject, signer, {
      notBeforeMs: 0,
      notAfterMs: noExpirationMs,
    });
    const nextRootSha256 =
      plan.commitsNext === true ? await commitToNext(keys, [record], record.algorithm) : undefined;
    const made = { profile: builtIn('root'), name, signer, key: '', nextRootSha256 };
    const certificate = await certifyOnce({ clock, store: stores.issuance }, made, self);
    await stores.status.createLists({ authority: record.name, shards: 1, baseUrl: plan.statusUrl });
    await writeCertificateFile(paths, record.name, certificate);
    await writeOrganization(paths, plan.organization);
    await publishLists(paths, stores, [await issuerOf(paths, stores, keys, record)], clock);
    return certificate;
  } finally {
    await stores.close();
    await keys.close();
  }
}

/** The book decides from its first writing on. */
async function recordOf(
  paths: AuthorityPaths,
  { algorithm, key, name }: RootPlan,
): Promise<AuthorityRecord> {
  const planned: AuthorityRecord = {
    name: name === undefined ? 'root' : `root-${name}`,
    role: 'root',
    algorithm,
    ...(key === undefined ? {} : { key }),
    state: 'active',
  };
  if (!(await hasBook(paths))) await writeBook(paths, [planned]);
  const record = active(await readBook(paths, ['root']), 'root');
  const isSame = record.name === planned.name || record.state !== 'active';
  if (isSame && record.algorithm === algorithm && record.key === key) return record;
  throw refused(`${paths.folder} was begun with another key`);
}

/** The root with its key open, for as long as one act takes. Every use of the key begins here. */
export async function atRoot<Result>(
  options: RootFolder,
  act: (root: OpenRoot) => Promise<Result>,
): Promise<Result> {
  const paths = pathsIn(resolve(options.folder));
  const organization = await readOrganization(paths);
  if (organization === undefined) {
    throw refused(`${paths.folder} holds no root: see birthmark ca root create`);
  }
  const keys = await openKeys(paths, options);
  const stores = await openAuthorityStores(paths, undefined);
  try {
    const book = await readBook(paths, ['root']);
    const present = active(book, 'root');
    const others = book.filter(
      ({ name, state }) =>
        name !== present.name && state !== 'removed' && existsSync(certificatePath(paths, name)),
    );
    const issuer = await issuerOf(paths, stores, keys, present);
    const further = await Promise.all(
      others.map((record) => issuerOf(paths, stores, keys, record)),
    );
    const { clock } = options;
    return await act({ paths, organization, book, stores, keys, issuer, further, clock });
  } finally {
    await stores.close();
    await keys.close();
  }
}

export interface OpenRoot {
  readonly paths: AuthorityPaths;
  readonly organization: string;
  readonly book: readonly AuthorityRecord[];
  readonly stores: AuthorityStores;
  readonly keys: AuthorityKeys;
  /** The one that certifies. */
  readonly issuer: Issuer;
  /** The one before it, whose list goes on, or the one behind it. */
  readonly further: readonly Issuer[];
  readonly clock: Clock;
}

/**
 * All of them or none: each is checked before the first is signed. Rejects with an `EnvironmentError` that
 * says which request is not what it is said to be.
 */
export async function signRequests(
  { organization, stores, issuer: present, clock }: OpenRoot,
  requests: readonly SignRequest[],
  issuer: Issuer = present,
): Promise<readonly Certified[]> {
  const subjects = requests.map((request) => subjectOf(organization, request));
  const certified: Certified[] = [];
  for (const { profile, name, spki } of subjects) {
    const signer = { publicKeySpki: spki, algorithm: issuer.signer.algorithm };
    const subject = { profile, name, signer, key: '' };
    const certificate = await certifyOnce({ clock, store: stores.issuance }, subject, issuer);
    certified.push({ name, certificate });
  }
  return certified;
}

/** What whoever stands at the root reads before it is signed. Rejects as `signRequests` does. */
export function subjectOf(
  organization: string,
  { role, request, profile = profileOf({ role }, builtInProfiles) }: SignRequest,
): Asked {
  const fault = aboveOf(role) === 'root' ? faultOfRole(role, profile) : 'no root certifies it';
  if (fault !== undefined) throw refused(`${role}: ${fault}`);
  const { subject, publicKey, signatureAlgorithm, info, signature } = readRequest(request);
  const name = attributeText(subject, 'commonName') ?? '';
  const expected = encodeSubjectOf(profile, organization, { name });
  if (!equal(subject.der, expected) || !isNameOfRole(organization, role, name)) {
    throw refused(`${printName(subject)} is no name of a ${role} authority of ${organization}`);
  }
  const verifier = new SoftwareVerifier();
  if (!verifier.verify(publicKey.spki, signatureAlgorithm.oid, info, signature)) {
    throw refused(`the request of ${name} is not signed by its own key`);
  }
  return { role, profile, name, spki: publicKey.spki };
}

export interface Asked {
  readonly role: AuthorityRole;
  readonly profile: Profile;
  /** Common name. */
  readonly name: string;
  readonly spki: Uint8Array;
}

/** Ends every certificate of the authority's key and signs the lists that say so. Idempotent. */
export async function revokeAtRoot(
  root: OpenRoot,
  certificate: Uint8Array,
  code: RevocationReason,
  reason: string,
): Promise<void> {
  const { issuer, further, stores, clock } = root;
  const { subject, tbs, publicKey } = parseCertificate(certificate);
  if ([issuer, ...further].some((one) => equal(subject.der, one.subject.der))) {
    throw refused('a root is on no list of its own: remove it as an anchor');
  }
  const ofName = await stores.issuance.certificatesOf(attributeText(subject, 'commonName') ?? '');
  if (!ofName.some((one) => equal(one.tbs, tbs))) {
    throw refused(`${printName(subject)} was not certified here`);
  }
  // Generations share their name: another one's key is not lost with this one.
  const ofKey = ofName.filter((one) => {
    const other = parseCertificate(completeCertificate(one.tbs, one.signature));
    return equal(other.publicKey.spki, publicKey.spki);
  });
  const atMs = clock.nowMs();
  await stores.issuance.revoke(
    ofKey.map(({ serialNumber }) => changeOf(serialNumber, { code, reason, atMs })),
  );
  await signListAtRoot(root);
}

/** Signs the lists anew that are due; PEM of those that count. Each is in `NAME.crl` of its root, too. */
export function signListAtRoot(root: OpenRoot): Promise<string> {
  const { paths, stores, issuer, further, clock } = root;
  return publishLists(paths, stores, [issuer, ...further], clock);
}

export async function publishLists(
  paths: AuthorityPaths,
  { status }: AuthorityStores,
  issuers: readonly Issuer[],
  clock: Clock,
): Promise<string> {
  await publishRootLists(status, issuers, clock);
  const pems = await Promise.all(
    issuers.map(async ({ name }) => {
      const list = await status.list({ authority: name, shard: 0 });
      if (list === undefined) throw refused(`${name} has no list`);
      const pem = encodePem('X509 CRL', list.der);
      await writeWhole(join(paths.folder, `${name}.crl`), pem);
      return pem;
    }),
  );
  return pems.join('');
}

export async function issuerOf(
  paths: AuthorityPaths,
  { status }: AuthorityStores,
  keys: AuthorityKeys,
  record: AuthorityRecord,
): Promise<Issuer> {
  const certificate = await readCertificateFile(paths, record.name);
  const { spki } = parseCertificate(certificate).publicKey;
  const { name } = record;
  const book = await readBook(paths, ['root']);
  const distribution = await distributionOf(status, book, record, spki);
  const signer = await keys.signer(record, spki);
  return issuerFrom('root', certificate, signer, { name, distribution });
}

async function openKeys(
  paths: AuthorityPaths,
  { passphrase, costLog2 }: RootFolder,
): Promise<AuthorityKeys> {
  const cost = costLog2 === undefined ? {} : { costLog2 };
  return new AuthorityKeys(await KeyFolder.open({ folder: paths.keys, passphrase, ...cost }));
}

function readRequest(request: Uint8Array): ReturnType<typeof parseCertificationRequest> {
  try {
    return parseCertificationRequest(request);
  } catch (error) {
    if (error instanceof MalformedError)
      throw refused(`no certification request: ${error.message}`);
    throw error;
  }
}

const organizationFile = 'root.json';

async function readOrganization({ folder }: AuthorityPaths): Promise<string | undefined> {
  const text = await readIfThere(join(folder, organizationFile));
  if (text === undefined) return undefined;
  const parsed: unknown = JSON.parse(text);
  const organization: unknown =
    typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'organization') : undefined;
  if (typeof organization === 'string') return organization;
  throw new MalformedError(organizationFile, 0, 'organization is no text');
}

function writeOrganization({ folder }: AuthorityPaths, organization: string): Promise<void> {
  return writeWhole(join(folder, organizationFile), `${JSON.stringify({ organization })}\n`);
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
