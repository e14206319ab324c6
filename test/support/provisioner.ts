/** A whole provisioner on ports of the system's choice, with a fake authority and real clients. */
import type { IncomingHttpHeaders } from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  type Provisioner,
  type ProvisionerConfig,
  startProvisioner,
} from '../../src/apps/provisioner/provisioner.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { SqliteRegistryStore } from '../../src/drivers/store/sqlite/registryStore.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import { SqliteCloneStore } from '../../src/drivers/store/sqlite/sessionWitnesses.ts';
import type { CloneRecord } from '../../src/trust/ports/cloneStore.ts';
import type { CertificateKind } from '../../src/trust/ports/registryStore.ts';
import { FakeProvisioningAuthority } from './fakeAuthority.ts';
import { pki } from './peers.ts';
import { type TestIdentity, testNowMs } from './pki.ts';
import { importedDevice } from './registrySamples.ts';

export interface Entry {
  readonly identity: TestIdentity;
  readonly kind: CertificateKind;
  readonly holder: string;
}

export interface TestProvisioner extends Provisioner {
  readonly authority: FakeProvisioningAuthority;
  readonly config: ProvisionerConfig;
  readonly troubles: string[];
  request(
    door: 'device' | 'station' | 'api',
    identity: TestIdentity | undefined,
    options: HttpRequest,
  ): Promise<HttpAnswer>;
}

export interface HttpRequest {
  readonly path: string;
  readonly method?: string;
  readonly type?: string;
  readonly body?: Uint8Array | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpAnswer {
  /** 0: hung up on. */
  readonly status: number;
  readonly type: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface ProvisionerSetting {
  /** Devices of `importedDevice` that the registry knows from the start. */
  readonly devices?: readonly number[];
  /** Certificates that are in the registry from the start, in this order. */
  readonly entries?: readonly Entry[];
  /** What was seen of clones before the start. */
  readonly evidence?: readonly CloneRecord[];
  readonly config?: Partial<ProvisionerConfig>;
  readonly authority?: FakeProvisioningAuthority;
}

export async function testProvisioner(
  context: TestContext,
  setting: ProvisionerSetting = {},
): Promise<TestProvisioner> {
  const data = mkdtempSync(join(tmpdir(), 'birthmark-'));
  const folder = join(data, 'provisioner');
  const authority = setting.authority ?? new FakeProvisioningAuthority(pki);
  const troubles: string[] = [];
  const config: ProvisionerConfig = {
    folder,
    socketPath: socketPathFor(data, 'provisioner'),
    passphrase: 'correct horse',
    keyCostLog2: 4,
    authority,
    owner: 'owner',
    names: ['localhost', '127.0.0.1'],
    host: '127.0.0.1',
    ports: { device: 0, station: 0, api: 0, mqtt: 0 },
    clock: { nowMs: () => testNowMs },
    onTrouble: (line) => troubles.push(line),
    ...setting.config,
  };
  await seed(folder, setting);
  const provisioner = await startProvisioner(config);
  context.after(async () => {
    await provisioner.close();
    rmSync(data, { recursive: true });
  });
  return {
    ...provisioner,
    authority,
    config,
    troubles,
    request: (door, identity, options) => ask(provisioner.ports[door], identity, options),
  };
}

/** Before the provisioner has the folder. */
async function seed(
  folder: string,
  { devices = [], entries = [], evidence = [] }: ProvisionerSetting,
) {
  const { mkdirSync } = await import('node:fs');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const database = new SqliteDatabase({
    path: join(folder, 'provisioner.sqlite'),
    migrations: provisionerMigrations,
  });
  const store = new SqliteRegistryStore(database);
  const born = entries.filter(({ kind }) => kind === 'idevid');
  const imports = devices.map((number) => {
    const device = importedDevice(number);
    const own = born.filter(({ holder }) => holder === device.identity.deviceId);
    const certificates = own.map(({ identity }) => ({
      kind: 'idevid' as const,
      sha256: identity.sha256,
      notAfterMs: undefined,
    }));
    return { ...device, certificates: [...device.certificates, ...certificates] };
  });
  await store.importDevices(imports, 1);
  for (const { identity, kind, holder } of entries) {
    const entry = { sha256: identity.sha256, kind, holder, notAfterMs: undefined };
    if (kind === 'ldevid') await store.enrolDevice(entry, 1);
    else if (kind !== 'idevid') await store.addCertificate(entry, 1);
  }
  const clones = new SqliteCloneStore(database);
  for (const one of evidence) await clones.record(one);
  database.close();
}

function ask(
  port: number,
  identity: TestIdentity | undefined,
  { path, method = 'GET', type, body, headers = {} }: HttpRequest,
): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      path,
      method,
      agent: false,
      ca: pki.root.pem,
      ...(identity === undefined ? {} : { key: identity.privateKeyPem, cert: identity.chainPem }),
      headers: { ...headers, ...(type === undefined ? {} : { 'content-type': type }) },
    });
    request.on('error', () => resolve({ status: 0, type: '', headers: {}, body: Buffer.alloc(0) }));
    request.on('response', (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          type: response.headers['content-type'] ?? '',
          headers: response.headers,
          body: Buffer.concat(parts),
        }),
      );
    });
    request.end(body);
  });
}
