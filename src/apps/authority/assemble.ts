/** What the authority is made of, from its folder and its keys. */
import { existsSync } from 'node:fs';
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../drivers/keys/software/points.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { VerifierPool } from '../../drivers/keys/software/verifierPool.ts';
import { DocumentFolder } from '../../drivers/store/files/documentFolder.ts';
import { ApprovalDesk } from '../../trust/approvals/desk.ts';
import { Permissions } from '../../trust/approvals/permissions.ts';
import { Certification } from '../../trust/issuance/certification.ts';
import { ForeignElements } from '../../trust/issuance/foreign.ts';
import { EnrolmentGrants } from '../../trust/issuance/grants.ts';
import { Issuance } from '../../trust/issuance/issuance.ts';
import { type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
import { Operators } from '../../trust/issuance/operators.ts';
import { birthRoles } from '../../trust/issuance/profile.ts';
import { ProfileBook } from '../../trust/issuance/profileBook.ts';
import { builtInProfiles } from '../../trust/issuance/profiles.ts';
import { GenerationCounter } from '../../trust/issuance/serverGenerations.ts';
import { type SessionServerOptions, SessionServers } from '../../trust/issuance/sessionServers.ts';
import type { ClosingOptions } from '../../trust/personalization/closing.ts';
import { LineService, type LineServiceOptions } from '../../trust/personalization/lineService.ts';
import { Orders, type OrdersOptions } from '../../trust/personalization/orders.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { SealingKey, Signer } from '../../trust/ports/keys.ts';
import type { SecurityLog } from '../../trust/ports/securityLog.ts';
import { StatusNotices } from '../../trust/status/notices.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import {
  type AuthorityPaths,
  certificatePath,
  type Installation,
  otherKeys,
  readCertificateFile,
  readLinks,
} from './authorityFolder.ts';
import { AuthorityKeys } from './authorityKeys.ts';
import { type AuthorityRecord, readCertifiedBook } from './book.ts';
import { isSelfSigned } from './authorityNames.ts';
import { Cases } from './cases.ts';
import { readStoredProfile } from './profileDocument.ts';
import { distributionOf } from './statusPlan.ts';
import { configuredLedger } from './ledger.ts';
import { requireUnrevoked } from './revokedAuthorities.ts';
import type { AuthorityStores } from './stores.ts';

export interface Parts {
  readonly installation: Installation;
  readonly hierarchy: Hierarchy & { readonly orderKeySpki: Uint8Array };
  readonly stores: AuthorityStores;
  readonly documents: DocumentFolder;
  /**
   * Those that issue first; behind them those that speak for what they have issued, or will issue. The root
   * is not among them: its key opens in `birthmark ca` commands only.
   */
  readonly issuers: readonly Issuer[];
  /** DER of every authority there is or was, by its name. */
  readonly certificates: ReadonlyMap<string, Uint8Array>;
  readonly issuance: Issuance;
  readonly certification: Certification;
  readonly sessionServers: SessionServers;
  readonly statusNotices: StatusNotices;
  readonly cases: Cases;
  readonly foreign: ForeignElements;
  readonly grants: EnrolmentGrants;
  readonly permissions: Permissions;
  readonly approvals: ApprovalDesk;
  readonly operators: Operators;
  readonly profiles: ProfileBook;
  readonly line: LineService;
  readonly orders: Orders;
  readonly closing: ClosingOptions;
  /** Ed25519; signs checkpoints of the audit log. */
  readonly logSigner: Signer;
  /** To be closed with the process: it has threads. */
  readonly close: () => Promise<void>;
}

export interface AssembleOptions {
  readonly passphrase: string;
  readonly clock: Clock;
  /** A key was away: what T1 promised has to be signed later. */
  readonly onUnsigned: () => void;
  readonly security: SecurityLog;
}

/** Rejects with an `EnvironmentError` when a key does not open, a file is missing, or an authority is revoked. */
export async function assemble(
  paths: AuthorityPaths,
  installation: Installation,
  stores: AuthorityStores,
  { passphrase, clock, onUnsigned, security }: AssembleOptions,
): Promise<Parts> {
  const crypto = nodeCrypto;
  const cases = await openCases(stores);
  const book = await readCertifiedBook(paths);
  const keys = await openKeys({ paths, book, stores, clock, passphrase, onUnsigned });
  const hierarchy = await readHierarchy(paths, book, keys.orderKey);
  const verifier = new VerifierPool();
  const { authorities, orderKey, manifestKey, sealingKey, logSigner } = keys;
  const profiles = await openProfiles(stores, clock);
  const shared = { crypto, clock, decompress: decompressPoint };
  const { current, labelled, births } = profiles;
  const issuing = { store: stores.issuance, profiles: current, labelled };
  const isLost = (issuer: string): boolean => cases.isAuthorityLost(issuer);
  const issuance = new Issuance({ ...shared, ...issuing, issuers: authorities.issuers, isLost });
  const { foreign, grants } = enrolmentDesks(stores, clock, profiles);
  const certification = new Certification({
    ...shared,
    issuance,
    certificates: stores.issuance,
    units: stores.orders,
    foreign,
    grants,
    verifier,
    births,
  });
  const { organization: maker, eui64Base } = installation;
  const manifestCertificate = await readCertificateFile(paths, otherKeys.manifest);
  const chain = birthChains(issuance, authorities);
  const ordering = { crypto, clock, store: stores.orders, chain };
  const bears: OrdersOptions['bears'] = (birth) => issuance.authorityOf(birth) !== undefined;
  const ledger = await configuredLedger(paths);
  const documents = new DocumentFolder(paths.documents);
  return {
    installation,
    hierarchy,
    stores,
    documents,
    ...authorities,
    issuance,
    certification,
    sessionServers: sessionDesk(hierarchy, stores, keys, { issuance, verifier, clock }),
    statusNotices: noticesDesk(stores, foreign, { clock, security }),
    cases,
    foreign,
    grants,
    ...approvalParts(stores, certification, clock, security),
    profiles,
    line: new LineService({
      ...ordering,
      issuance,
      verifier,
      orderKey,
      sealingKey,
      anchors: hierarchy.server,
      ...heeding(cases, security),
    }),
    orders: new Orders({ ...ordering, orderKey, bears, eui64Base, ledger }),
    logSigner: keptSigner(logSigner, cases),
    closing: { ...ordering, documents, manifestKey, manifestCertificate, maker },
    close: async () => {
      await verifier.close();
      await keys.authorityKeys.close();
    },
  };
}

function sessionDesk(
  { server }: Hierarchy,
  { issuance: certificates, orders }: AuthorityStores,
  { statusSigner }: OpenedKeys,
  shared: Pick<SessionServerOptions, 'issuance' | 'verifier' | 'clock'>,
): SessionServers {
  const [issuing = new Uint8Array(0)] = server;
  return new SessionServers({
    ...shared,
    crypto: nodeCrypto,
    decompress: decompressPoint,
    certificates,
    generations: new GenerationCounter(orders, shared.clock),
    issuerName: parseCertificate(issuing).subject,
    statusSigner,
  });
}

/** Of the authority that certifies such births; the root is everybody's own. */
function birthChains(
  issuance: Issuance,
  { certificates }: OpenedKeys['authorities'],
): ClosingOptions['chain'] {
  return (birth) => {
    const certificate = certificates.get(issuance.authorityOf(birth)?.name ?? '');
    return certificate === undefined ? [] : [certificate];
  };
}

/** Rejects with an `EnvironmentError` while a key that is lost would go on signing. */
async function openCases({ cases: store }: AuthorityStores): Promise<Cases> {
  const cases = await Cases.open(store);
  cases.requireKeysReplaced();
  return cases;
}

/** What the line is told of lost keys, and what is told of the line. */
function heeding(
  cases: Cases,
  security: SecurityLog,
): Required<Pick<LineServiceOptions, 'lostElements' | 'onRefusal'>> {
  return {
    lostElements: async () => (family, firmware) => cases.isElementLost(family, firmware),
    onRefusal: ({ step, code, reason, ticketId, uid }) => {
      const about = [ticketId, uid].flatMap((id) => (id === undefined ? [] : toHex(id)));
      security.note({ door: `line ${step}`, code, reason, subject: about.join(' ') });
    },
  };
}

function noticesDesk(
  { issuance: certificates, status: units, audit, approvals }: AuthorityStores,
  foreign: ForeignElements,
  options: Pick<AssembleOptions, 'clock' | 'security'>,
): StatusNotices {
  return new StatusNotices({
    ...options,
    crypto: nodeCrypto,
    certificates,
    units,
    audit,
    approvals,
    foreign,
  });
}

function approvalParts(
  { approvals: store, issuance: certificates }: AuthorityStores,
  certification: Certification,
  clock: Clock,
  security: SecurityLog,
): Pick<Parts, 'permissions' | 'approvals' | 'operators'> {
  const shared = { store, crypto: nodeCrypto, clock };
  return {
    permissions: new Permissions({ ...shared, security }),
    approvals: new ApprovalDesk({ ...shared, security }),
    operators: new Operators({ ...shared, certificates, certification }),
  };
}

function openProfiles({ profiles: store }: AuthorityStores, clock: Clock): Promise<ProfileBook> {
  const builtIn = builtInProfiles;
  return ProfileBook.open({ store, crypto: nodeCrypto, clock, builtIn, read: readStoredProfile });
}

function enrolmentDesks(
  stores: AuthorityStores,
  clock: Clock,
  profiles: ProfileBook,
): { readonly foreign: ForeignElements; readonly grants: EnrolmentGrants } {
  const crypto = nodeCrypto;
  return {
    foreign: new ForeignElements({
      store: stores.foreign,
      crypto,
      clock,
      verifier: new SoftwareVerifier(),
    }),
    grants: new EnrolmentGrants({
      store: stores.grants,
      crypto,
      clock,
      profiles: profiles.devices,
    }),
  };
}

/** `onUnsigned` hears of every signature that did not come about. */
function noticed(signer: Signer, onUnsigned: () => void): Signer {
  const { algorithm, publicKeySpki } = signer;
  return {
    algorithm,
    publicKeySpki,
    sign: async (data) => {
      try {
        return await signer.sign(data);
      } catch (error) {
        onUnsigned();
        throw error;
      }
    },
  };
}

/** A case may be opened while this process runs. */
function keptSigner(signer: Signer, cases: Cases): Signer {
  const { algorithm, publicKeySpki } = signer;
  return {
    algorithm,
    publicKeySpki,
    sign: async (data) => {
      cases.requireLogKept();
      return signer.sign(data);
    },
  };
}

interface OpenedKeys {
  readonly authorityKeys: AuthorityKeys;
  readonly authorities: Pick<Parts, 'issuers' | 'certificates'>;
  readonly orderKey: Signer;
  readonly manifestKey: Signer;
  readonly sealingKey: SealingKey;
  readonly logSigner: Signer;
  readonly statusSigner: Signer;
}

interface Opening {
  readonly paths: AuthorityPaths;
  readonly book: readonly AuthorityRecord[];
  readonly stores: AuthorityStores;
  readonly clock: Clock;
  readonly passphrase: string;
  readonly onUnsigned: () => void;
}

async function openKeys(opening: Opening): Promise<OpenedKeys> {
  const { paths, passphrase } = opening;
  const keys = await KeyFolder.open({ folder: paths.keys, passphrase });
  const authorityKeys = new AuthorityKeys(keys);
  return {
    authorityKeys,
    authorities: await openAuthorities(opening, authorityKeys),
    orderKey: await keys.signer(otherKeys.order),
    manifestKey: await keys.signer(otherKeys.manifest),
    sealingKey: await keys.sealingKey(otherKeys.sealing),
    logSigner: await logSignerOf(keys),
    statusSigner: await statusSignerOf(keys),
  };
}

async function openAuthorities(
  { paths, book, stores, clock, onUnsigned }: Opening,
  keys: AuthorityKeys,
): Promise<OpenedKeys['authorities']> {
  await requireUnrevoked(paths, book, stores.status);
  const issuers: Issuer[] = [];
  const certificates = new Map<string, Uint8Array>();
  for (const record of book.toSorted((left, right) => rankOf(left) - rankOf(right))) {
    const { name, role, state, serves } = record;
    // Whoever was removed may be gone from the folder too.
    if (state === 'removed' && !existsSync(certificatePath(paths, name))) continue;
    const certificate = await readCertificateFile(paths, name);
    certificates.set(name, certificate);
    if (isSelfSigned(record) || state === 'removed') continue;
    const { publicKey, notAfterMs } = parseCertificate(certificate);
    // All that it has issued has ended with it (profile lint: a leaf ends no later than its issuer).
    if (state === 'retired' && notAfterMs < clock.nowMs()) continue;
    const signer = noticed(await keys.signer(record, publicKey.spki), onUnsigned);
    const distribution = await distributionOf(stores.status, book, record, publicKey.spki);
    issuers.push(issuerFrom(role, certificate, signer, { name, distribution, serves }));
  }
  return { issuers, certificates };
}

/** Folders of before the log had a key get one now. */
async function logSignerOf(keys: KeyFolder): Promise<Signer> {
  const names = await keys.names();
  if (!names.includes(otherKeys.log)) await keys.create(otherKeys.log, 'ed25519-sign');
  return keys.noteSigner(otherKeys.log);
}

/** Made at the first start: credentials name it, and no ceremony is about it. */
async function statusSignerOf(keys: KeyFolder): Promise<Signer> {
  const names = await keys.names();
  if (!names.includes(otherKeys.status)) await keys.create(otherKeys.status, 'p256-sign');
  return keys.signer(otherKeys.status);
}

async function readHierarchy(
  paths: AuthorityPaths,
  book: readonly AuthorityRecord[],
  orderKey: Signer,
): Promise<Parts['hierarchy']> {
  const believed = book.filter(({ state }) => state !== 'removed');
  const of = (...roles: ReadonlyArray<Issuer['role']>): Promise<readonly Uint8Array[]> => {
    // The active one first: what is shown as the chain of a new certificate.
    const records = believed.filter((record) => roles.includes(record.role));
    const sorted = records.toSorted((left, right) => rankOf(left) - rankOf(right));
    return Promise.all(sorted.map(({ name }) => readCertificateFile(paths, name)));
  };
  return {
    roots: await of('root'),
    factory: await of(...birthRoles),
    operational: await of('operational'),
    server: await of('server'),
    links: await readLinks(paths, new Set(believed.map(({ name }) => name))),
    manifestSigners: [await readCertificateFile(paths, otherKeys.manifest)],
    orderKeySpki: orderKey.publicKeySpki,
  };
}

function rankOf({ state }: AuthorityRecord): number {
  return state === 'active' ? 0 : 1;
}
