/**
 * Two thousand devices that come back at once, and the API meanwhile: how soon all are in, and how long a
 * revocation takes that is asked for over HTTP while they come. The same with doors that let everybody begin
 * at once, in the same run.
 *
 * Devices are TLS connections with certificates of their own and MQTT on top, from fifty addresses. They and
 * the client of the API are threads of this process, and share two cores with the server.
 */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../src/drivers/keys/software/verifier.ts';
import { SqliteDatabase } from '../src/drivers/store/sqlite/database.ts';
import { provisionerMigrations } from '../src/drivers/store/sqlite/provisionerTables.ts';
import { SqliteRegistryStore } from '../src/drivers/store/sqlite/registryStore.ts';
import { openHttpDoor } from '../src/servers/http/httpDoor.ts';
import { MqttBroker } from '../src/servers/mqtt/broker.ts';
import { type DoorLimits, doorLimits, TlsDoor } from '../src/servers/tls/door.ts';
import { LiveIndex } from '../src/servers/tls/liveIndex.ts';
import { PeerVerifier } from '../src/trust/peers/verifiedPeer.ts';
import { isRefusal } from '../src/trust/ports/faults.ts';
import { newDeviceId } from '../src/trust/registry/importRules.ts';
import { Revocation } from '../src/trust/revocation/revocation.ts';
import { atMost, type BenchResult, row } from './result.ts';
import { type BenchAuthority, benchAuthority, type BenchIdentity } from './support/certificates.ts';
import { benchDevice } from './support/devices.ts';
import type { StormReport, StormTask } from './support/stormClients.ts';

const devices = 2_000;
/** Others, of whom one after the other is revoked while the devices come. */
const revoked = 400;
const rounds = 2;
const promisedMs = 1_000;

const unbounded: DoorLimits = {
  ...doorLimits,
  handshakes: Infinity,
  handshakesPerAddress: Infinity,
};

export async function run(): Promise<BenchResult> {
  const bounded: StormReport[] = [];
  const free: StormReport[] = [];
  for (let round = 0; round < rounds; round++) {
    bounded.push(await storm(doorLimits));
    free.push(await storm(unbounded));
  }
  const worst = Math.max(...bounded.flatMap(({ revocationsMs }) => revocationsMs));
  return {
    rows: [
      row('devices that come at once', devices, 'devices'),
      ...rowsOf('', bounded),
      ...rowsOf(', handshakes without bounds', free),
    ],
    promises: [atMost('the longest revocation while all devices come, in ms', promisedMs, worst)],
  };
}

function rowsOf(how: string, reports: readonly StormReport[]): BenchResult['rows'] {
  const times = reports.flatMap(({ revocationsMs }) => revocationsMs);
  const all = reports.map(({ allInMs }) => allInMs);
  return [
    row(`all devices are in${how}, p50`, quantile(all, 0.5), 'ms'),
    row(`connections that were turned away${how}`, sum(reports.map((one) => one.turnedAway)), ''),
    row(`revocations meanwhile${how}`, times.length, ''),
    row(`one revocation over HTTP meanwhile${how}, p50`, quantile(times, 0.5), 'ms'),
    row(`one revocation over HTTP meanwhile${how}, p99`, quantile(times, 0.99), 'ms'),
    row(`one revocation over HTTP meanwhile${how}, longest`, Math.max(...times), 'ms'),
  ];
}

async function storm(limits: DoorLimits): Promise<StormReport> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  const house = await open(folder, limits);
  try {
    const coming = await enrol(house, devices);
    const victims = await enrol(house, revoked);
    const [operator] = await enrol(house, 1);
    if (operator === undefined) throw new Error('nobody to ask');
    const task: StormTask = {
      ports: house.ports,
      anchorPem: house.authority.pem,
      devices: coming,
      operator,
      revoke: victims.map(({ deviceId }) => deviceId),
    };
    const worker = new Worker(new URL('./support/stormClients.ts', import.meta.url), {
      workerData: task,
    });
    const [report] = (await once(worker, 'message')) as [StormReport];
    await worker.terminate();
    return report;
  } finally {
    await house.close();
    rmSync(folder, { recursive: true });
  }
}

interface House {
  readonly authority: BenchAuthority;
  readonly store: SqliteRegistryStore;
  readonly ports: { readonly mqtt: number; readonly api: number };
  close(): Promise<void>;
}

async function open(folder: string, limits: DoorLimits): Promise<House> {
  const database = new SqliteDatabase({
    path: join(folder, 'provisioner.sqlite'),
    migrations: provisionerMigrations,
  });
  const store = new SqliteRegistryStore(database);
  const authority = benchAuthority();
  const live = new LiveIndex();
  const clock = { nowMs: () => Date.now() };
  const broker = new MqttBroker({
    onTelemetry: () => Promise.resolve(),
    onGatewayFrame: () => Promise.resolve(),
    roleOf: async (deviceId) => (await store.device(deviceId))?.role,
    onRefusal: () => undefined,
  });
  await broker.open();
  const revocation = new Revocation({
    store,
    clock,
    monotonicMs: () => performance.now(),
    live: [live, broker],
  });
  const http = await openHttpDoor({
    onRefusal: () => undefined,
    routes: (app) => {
      app.post<{ Params: { id: string } }>('/v1/devices/:id/revoke', async ({ params }) => {
        const report = await revocation.revokeDevices([params.id], 'bench');
        if (isRefusal(report)) throw new Error(report.reason);
        return report;
      });
    },
  });
  const rules = {
    anchors: [{ certificate: authority.certificate, kinds: ['ldevid'] as const }],
    intermediates: [],
  };
  const sha256 = (data: Uint8Array): Uint8Array => nodeCrypto.hash('SHA-256', data);
  const ports = { registry: store, verifier: new SoftwareVerifier(), clock, sha256 };
  const peers = new PeerVerifier(ports, () => rules);
  const shared = {
    identity: authority.server(),
    anchorsPem: [authority.pem],
    verify: (chain: readonly Uint8Array[]) => peers.verifyPeer(chain),
    live,
    onRefusal: () => undefined,
    limits,
  };
  const mqtt = new TlsDoor({
    ...shared,
    name: 'mqtt',
    accept: (connection) => void broker.accept(connection),
  });
  const api = new TlsDoor({
    ...shared,
    name: 'api',
    alpn: ['http/1.1'],
    accept: (connection) => http.accept(connection),
  });
  return {
    authority,
    store,
    ports: { mqtt: await mqtt.listen(0, '127.0.0.1'), api: await api.listen(0, '127.0.0.1') },
    close: async () => {
      await Promise.all([mqtt.close(), api.close()]);
      await broker.close();
      await http.close();
      database.close();
    },
  };
}

type Enrolled = Pick<BenchIdentity, 'privateKeyPem' | 'chainPem'> & { readonly deviceId: string };

let manifests = 0;

async function enrol({ store, authority }: House, count: number): Promise<readonly Enrolled[]> {
  const deviceIds = Array.from({ length: count }, () => newDeviceId(nodeCrypto));
  manifests += 1;
  const outcome = await store.importDevices(deviceIds.map(benchDevice), manifests);
  if ('conflictAt' in outcome) throw new Error('random devices do not collide');
  return Promise.all(
    deviceIds.map(async (deviceId) => {
      const { sha256, privateKeyPem, chainPem } = authority.device(deviceId);
      const entry = { sha256, kind: 'ldevid', holder: deviceId, notAfterMs: undefined } as const;
      await store.enrolDevice(entry, 1);
      return { deviceId, privateKeyPem, chainPem };
    }),
  );
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
