/** The authorities of every test world: made once a process, copied with the database that knows them. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { SqliteIssuanceStore } from '../../../src/drivers/store/sqlite/issuanceStore.ts';
import { issuingMigrations } from '../../../src/drivers/store/sqlite/issuingTables.ts';
import { Issuance } from '../../../src/trust/issuance/issuance.ts';
import { type Issuer, issuerFrom, rootToBe } from '../../../src/trust/issuance/issuer.ts';
import { builtInProfiles } from '../../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { IssuanceStore } from '../../../src/trust/ports/issuanceStore.ts';
import type { Signer } from '../../../src/trust/ports/keys.ts';
import { noExpirationMs } from '../../../src/wire/der/time.ts';
import { encodeName } from '../../../src/wire/x509/names.ts';
import { testSigner, type TestSigner } from './signers.ts';

export const startMs: number = Date.UTC(2026, 5, 1, 12);

const roles = ['root', 'factory', 'operational', 'server', 'order', 'manifest'] as const;

export interface TestHierarchy {
  readonly keys: Readonly<Record<(typeof roles)[number], TestSigner>>;
  /** By role. */
  readonly certificates: ReadonlyMap<string, Uint8Array>;
  readonly issuers: readonly Issuer[];
  readonly manifestCertificate: Uint8Array;
  /** The file. */
  readonly database: Uint8Array;
}

let made: Promise<TestHierarchy> | undefined;

export function testHierarchy(): Promise<TestHierarchy> {
  made ??= makeHierarchy();
  return made;
}

async function makeHierarchy(): Promise<TestHierarchy> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-hierarchy-'));
  const path = join(folder, 'issuing.sqlite');
  const database = new SqliteDatabase({ path, migrations: issuingMigrations });
  try {
    const parts = await issueAll(new SqliteIssuanceStore(database));
    database.close();
    return { ...parts, database: new Uint8Array(readFileSync(path)) };
  } finally {
    database.close();
    rmSync(folder, { recursive: true });
  }
}

async function issueAll(store: IssuanceStore): Promise<Omit<TestHierarchy, 'database'>> {
  const keys = {
    root: testSigner(),
    factory: testSigner(),
    operational: testSigner(),
    server: testSigner(),
    order: testSigner(),
    manifest: testSigner(),
  };
  const subject = encodeName(['organizationName', 'Test'], ['commonName', 'Test Root']);
  const period = { notBeforeMs: 0, notAfterMs: noExpirationMs };
  const self = rootToBe(nodeCrypto, subject, keys.root, period);
  const rootCertificate = await issueOne(store, self, 'root', 'Test Root', keys.root);
  const certificates = new Map([['root', rootCertificate]]);
  const root = issuerFrom('root', rootCertificate, keys.root);
  const issuers: Issuer[] = [];
  for (const [role, profile] of [
    ['factory', 'issuing-factory'],
    ['operational', 'issuing'],
    ['server', 'issuing-server'],
  ] as const) {
    const certificate = await issueOne(store, root, profile, `Test ${role}`, keys[role]);
    certificates.set(role, certificate);
    issuers.push(issuerFrom(role, certificate, keys[role]));
  }
  const [, , server = root] = issuers;
  const manifest = await issueOne(store, server, 'documents', 'Test Manifests', keys.manifest);
  return { keys, certificates, issuers, manifestCertificate: manifest };
}

async function issueOne(
  store: IssuanceStore,
  issuer: Issuer,
  profile: string,
  name: string,
  key: Signer,
): Promise<Uint8Array> {
  const issuance = new Issuance({
    store,
    crypto: nodeCrypto,
    clock: { nowMs: () => startMs },
    profiles: builtInProfiles,
    issuers: [issuer],
  });
  const content = { spki: key.publicKeySpki, name };
  const [issued] = await issuance.issue([{ profile, content }]);
  if (issued === undefined || isRefusal(issued)) throw new Error(issued?.reason);
  return issued.certificate;
}
