/** What the authority is made of, from its folder and its keys. */
import { KeyFolder } from '../../drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { VerifierPool } from '../../drivers/keys/software/verifierPool.ts';
import { DocumentFolder } from '../../drivers/store/files/documentFolder.ts';
import { SqliteAuditStore } from '../../drivers/store/sqlite/auditStore.ts';
import type { SqliteDatabase } from '../../drivers/store/sqlite/database.ts';
import { SqliteForeignStore } from '../../drivers/store/sqlite/foreignStore.ts';
import { SqliteGrantStore } from '../../drivers/store/sqlite/grantStore.ts';
import { SqliteIssuanceStore } from '../../drivers/store/sqlite/issuanceStore.ts';
import { SqliteOrderStore } from '../../drivers/store/sqlite/orderStore.ts';
import { Certification } from '../../trust/issuance/certification.ts';
import { ForeignElements } from '../../trust/issuance/foreign.ts';
import { EnrolmentGrants } from '../../trust/issuance/grants.ts';
import { Issuance } from '../../trust/issuance/issuance.ts';
import { type Issuer, issuerFrom } from '../../trust/issuance/issuer.ts';
import { builtInProfiles, deviceProfiles } from '../../trust/issuance/profiles.ts';
import type { ClosingOptions } from '../../trust/personalization/closing.ts';
import { LineService } from '../../trust/personalization/lineService.ts';
import { Orders } from '../../trust/personalization/orders.ts';
import type { Hierarchy } from '../../trust/ports/authority.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import type { SealingKey, Signer } from '../../trust/ports/keys.ts';
import { StatusNotices } from '../../trust/status/notices.ts';
import {
  type AuthorityPaths,
  type Installation,
  otherKeys,
  readCertificateFile,
} from './authorityFolder.ts';

export interface Parts {
  readonly installation: Installation;
  readonly hierarchy: Hierarchy & { readonly orderKeySpki: Uint8Array };
  readonly stores: Stores;
  readonly documents: DocumentFolder;
  readonly issuance: Issuance;
  readonly certification: Certification;
  readonly statusNotices: StatusNotices;
  readonly foreign: ForeignElements;
  readonly grants: EnrolmentGrants;
  readonly line: LineService;
  readonly orders: Orders;
  readonly closing: ClosingOptions;
  /** Ed25519; signs checkpoints of the audit log. */
  readonly logSigner: Signer;
  /** To be closed with the process: it has threads. */
  readonly verifier: VerifierPool;
}

export interface Stores {
  readonly issuance: SqliteIssuanceStore;
  readonly orders: SqliteOrderStore;
  readonly audit: SqliteAuditStore;
}

/** Rejects with an `EnvironmentError` when a key does not open or a file is missing. */
export async function assemble(
  paths: AuthorityPaths,
  installation: Installation,
  database: SqliteDatabase,
  { passphrase, clock }: { readonly passphrase: string; readonly clock: Clock },
): Promise<Parts> {
  const crypto = nodeCrypto;
  const keys = await openKeys(paths, passphrase);
  const hierarchy = await readHierarchy(paths, keys.orderKey);
  const { factory: chain, server: anchors } = hierarchy;
  const stores: Stores = {
    issuance: new SqliteIssuanceStore(database),
    orders: new SqliteOrderStore(database),
    audit: new SqliteAuditStore(database),
  };
  const verifier = new VerifierPool();
  const { issuers, orderKey, manifestKey, sealingKey } = keys;
  const issuance = new Issuance({
    store: stores.issuance,
    crypto,
    clock,
    profiles: builtInProfiles,
    issuers,
  });
  const foreign = new ForeignElements({
    store: new SqliteForeignStore(database),
    crypto,
    clock,
    verifier: new SoftwareVerifier(),
  });
  const grants = new EnrolmentGrants({
    store: new SqliteGrantStore(database),
    crypto,
    clock,
    profiles: deviceProfiles(builtInProfiles),
  });
  const certification = new Certification({
    crypto,
    clock,
    issuance,
    certificates: stores.issuance,
    units: stores.orders,
    foreign,
    grants,
    verifier,
  });
  const statusNotices = new StatusNotices({
    crypto,
    certificates: stores.issuance,
    audit: stores.audit,
    foreign,
  });
  const documents = new DocumentFolder(paths.documents);
  const { organization: maker, eui64Base } = installation;
  const manifestCertificate = await readCertificateFile(paths, otherKeys.manifest);
  const shared = { crypto, clock, store: stores.orders };
  return {
    installation,
    hierarchy,
    stores,
    documents,
    issuance,
    certification,
    statusNotices,
    foreign,
    grants,
    line: new LineService({
      ...shared,
      issuance,
      verifier,
      orderKey,
      sealingKey,
      anchors,
      chain,
    }),
    orders: new Orders({ ...shared, orderKey, eui64Base }),
    logSigner: keys.logSigner,
    closing: { ...shared, documents, manifestKey, manifestCertificate, chain, maker },
    verifier,
  };
}

interface OpenedKeys {
  /** The root is not among them: its key opens in `birthmark ca` commands only. */
  readonly issuers: readonly Issuer[];
  readonly orderKey: Signer;
  readonly manifestKey: Signer;
  readonly sealingKey: SealingKey;
  readonly logSigner: Signer;
}

async function openKeys(paths: AuthorityPaths, passphrase: string): Promise<OpenedKeys> {
  const keys = await KeyFolder.open({ folder: paths.keys, passphrase });
  const issuers: Issuer[] = [];
  for (const role of ['factory', 'operational', 'server'] as const) {
    const certificate = await readCertificateFile(paths, role);
    issuers.push(issuerFrom(role, certificate, await keys.signer(role)));
  }
  return {
    issuers,
    orderKey: await keys.signer(otherKeys.order),
    manifestKey: await keys.signer(otherKeys.manifest),
    sealingKey: await keys.sealingKey(otherKeys.sealing),
    logSigner: await logSignerOf(keys),
  };
}

/** Folders of before the log had a key get one now. */
async function logSignerOf(keys: KeyFolder): Promise<Signer> {
  const names = await keys.names();
  if (!names.includes(otherKeys.log)) await keys.create(otherKeys.log, 'ed25519-sign');
  return keys.noteSigner(otherKeys.log);
}

async function readHierarchy(paths: AuthorityPaths, orderKey: Signer): Promise<Parts['hierarchy']> {
  const read = async (name: string): Promise<readonly Uint8Array[]> => [
    await readCertificateFile(paths, name),
  ];
  return {
    roots: await read('root'),
    factory: await read('factory'),
    operational: await read('operational'),
    server: await read('server'),
    manifestSigners: await read(otherKeys.manifest),
    orderKeySpki: orderKey.publicKeySpki,
  };
}
