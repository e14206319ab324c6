/**
 * Revocation among ten thousand live sessions: from the request until the last connection of the device
 * has ended, on both sides of the wire, beside one durable write of the same database.
 *
 * What lives: a stored OSCORE session of every device, and for some of them a TLS connection with mutual
 * authentication on which an MQTT client is subscribed. Clients and server share this process and one
 * thread, so that what the client sees is counted too.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../src/drivers/keys/software/verifier.ts';
import { SqliteDatabase } from '../src/drivers/store/sqlite/database.ts';
import { SqliteRegistryStore } from '../src/drivers/store/sqlite/registryStore.ts';
import { provisionerMigrations } from '../src/drivers/store/sqlite/provisionerTables.ts';
import { SqliteSessionStore } from '../src/drivers/store/sqlite/sessionStore.ts';
import { MqttBroker } from '../src/servers/mqtt/broker.ts';
import { TlsDoor } from '../src/servers/tls/door.ts';
import { LiveIndex } from '../src/servers/tls/liveIndex.ts';
import { PeerVerifier } from '../src/trust/peers/verifiedPeer.ts';
import { isRefusal } from '../src/trust/ports/faults.ts';
import type { LiveConnections } from '../src/trust/ports/liveConnections.ts';
import { newDeviceId } from '../src/trust/registry/importRules.ts';
import { Revocation } from '../src/trust/revocation/revocation.ts';
import { atMost, type BenchResult, row } from './result.ts';
import { type BenchAuthority, type BenchIdentity, benchAuthority } from './support/certificates.ts';
import { benchDevice } from './support/devices.ts';

/** Devices with a stored session each. */
const sessions = 10_000;
/** Devices of these that are connected over TLS besides. */
const connections = 400;
/** Devices that are revoked one by one, all of them connected. */
const singles = 200;
/** Devices that are revoked in one act, the other connected ones among them. */
const atOnce = 1000;
const promised = { singleP99Ms: 50, thousandMs: 1000 };

export async function run(): Promise<BenchResult> {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-bench-'));
  const house = await open(folder);
  try {
    const { importMs, deviceIds } = await fill(house);
    const connected = deviceIds.slice(0, connections);
    const clients = await connectAll(house, connected);
    const write = await timesOf(100, (round) => house.store.noteManifest(round));
    const kills: number[] = [];
    const seen: number[] = [];
    for (const deviceId of connected.slice(0, singles)) {
      const client = clients.get(deviceId);
      const startedMs = performance.now();
      const closed = client === undefined ? Promise.resolve() : closeOf(client);
      kills.push(await revoke(house, [deviceId]));
      await closed;
      seen.push(performance.now() - startedMs);
    }
    const rest = deviceIds.slice(singles, singles + atOnce);
    const others = rest.flatMap((deviceId) => clients.get(deviceId) ?? []);
    const startedMs = performance.now();
    const closed = Promise.all(others.map(closeOf));
    const thousandServerMs = await revoke(house, rest);
    await closed;
    const thousandMs = performance.now() - startedMs;
    return result({ importMs, write, kills, seen, thousandServerMs, thousandMs });
  } finally {
    await house.close();
    rmSync(folder, { recursive: true });
  }
}

interface House {
  readonly authority: BenchAuthority;
  readonly store: SqliteRegistryStore;
  readonly sessions: SqliteSessionStore;
  readonly revocation: Revocation;
  readonly port: number;
  close(): Promise<void>;
}

async function open(folder: string): Promise<House> {
  const database = new SqliteDatabase({
    path: join(folder, 'provisioner.sqlite'),
    migrations: provisionerMigrations,
  });
  const store = new SqliteRegistryStore(database);
  const sessionStore = new SqliteSessionStore(database);
  const authority = benchAuthority();
  const live = new LiveIndex();
  const broker = new MqttBroker({
    onTelemetry: () => Promise.resolve(),
    onGatewayFrame: () => Promise.resolve(),
    roleOf: async (deviceId) => (await store.device(deviceId))?.role,
    onRefusal: () => undefined,
  });
  await broker.open();
  const rules = {
    anchors: [{ certificate: authority.certificate, kinds: ['ldevid'] as const }],
    intermediates: [],
  };
  const clock = { nowMs: () => Date.now() };
  const peers = new PeerVerifier(
    {
      registry: store,
      verifier: new SoftwareVerifier(),
      clock,
      sha256: (data) => nodeCrypto.hash('SHA-256', data),
    },
    () => rules,
  );
  const door = new TlsDoor({
    name: 'mqtt',
    identity: authority.server(),
    anchorsPem: [authority.pem],
    verify: (chain) => peers.verifyPeer(chain),
    live,
    accept: (connection) => void broker.accept(connection),
    onRefusal: () => undefined,
  });
  const port = await door.listen(0, '127.0.0.1');
  return {
    authority,
    store,
    sessions: sessionStore,
    revocation: new Revocation({
      store,
      clock,
      monotonicMs: () => performance.now(),
      live: [live, broker, storedSessions(sessionStore)],
    }),
    port,
    close: async () => {
      await broker.close();
      await door.close();
      database.close();
    },
  };
}

/** As the session service does it for sessions that are not in its cache. */
function storedSessions(store: SqliteSessionStore): LiveConnections {
  return {
    name: 'session',
    drop: (holders) => store.removeSessionsOf([...holders]),
    dropCertificate: () => Promise.resolve(0),
  };
}

/** Registry and sessions. Rows of sessions are of their real size; nobody opens them here. */
async function fill({ store, sessions: sessionStore }: House): Promise<{
  readonly importMs: number;
  readonly deviceIds: readonly string[];
}> {
  const deviceIds = Array.from({ length: sessions }, () => newDeviceId(nodeCrypto));
  const startedMs = performance.now();
  const outcome = await store.importDevices(deviceIds.map(benchDevice), 1);
  if ('conflictAt' in outcome) throw new Error('random devices do not collide');
  const importMs = performance.now() - startedMs;
  await Promise.all(
    deviceIds.map(async (deviceId, number) => {
      const row = {
        id: randomBytes(16).toString('hex'),
        ingress: deviceIds[number % 50] ?? '',
        linkAddress: random(8),
        connectionId: Uint8Array.of(number % 24),
        beganMs: 1,
        version: 1,
        keys: random(320),
        state: random(160),
      };
      await sessionStore.addHandshake(row, { perEndpoint: 3, perIngress: sessions });
      const { id: sessionId, linkAddress, state } = row;
      const resumption = { sessionId, deviceId, linkAddress, kid: random(2), key: random(350) };
      const session = { ...row, deviceId, standing: 'fresh' } as const;
      await sessionStore.promote(
        row,
        session,
        { ...resumption, authenticatedMs: 1 },
        {
          maximumPerEndpoint: 8,
        },
      );
      await sessionStore.updateSession(sessionId, 1, { state, confirmedMs: 1 });
    }),
  );
  return { importMs, deviceIds };
}

async function connectAll(
  house: House,
  deviceIds: readonly string[],
): Promise<ReadonlyMap<string, MqttClient>> {
  const clients = new Map<string, MqttClient>();
  for (const deviceId of deviceIds) {
    const identity = house.authority.device(deviceId);
    const { sha256 } = identity;
    const entry = { sha256, kind: 'ldevid', holder: deviceId, notAfterMs: undefined } as const;
    await house.store.enrolDevice(entry, 1);
    clients.set(deviceId, await connectOne(house, deviceId, identity));
  }
  return clients;
}

async function connectOne(
  { port, authority }: House,
  deviceId: string,
  { privateKeyPem, chainPem }: BenchIdentity,
): Promise<MqttClient> {
  const client = await connectAsync(`mqtts://localhost:${port}`, {
    key: privateKeyPem,
    cert: chainPem,
    ca: authority.pem,
    reconnectPeriod: 0,
  });
  client.on('error', () => undefined);
  await client.subscribeAsync(`devices/${deviceId}/commands`, { qos: 1 });
  return client;
}

function closeOf(client: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    client.once('close', () => resolve());
  });
}

/** What the server itself reports. */
async function revoke({ revocation }: House, deviceIds: readonly string[]): Promise<number> {
  const report = await revocation.revokeDevices(deviceIds, 'bench');
  if (isRefusal(report)) throw new Error(report.reason);
  return report.killMs;
}

async function timesOf(
  count: number,
  work: (round: number) => Promise<unknown>,
): Promise<readonly number[]> {
  const times: number[] = [];
  for (let round = 1; round <= count; round++) {
    const startedMs = performance.now();
    await work(round);
    times.push(performance.now() - startedMs);
  }
  return times;
}

interface Measured {
  readonly importMs: number;
  readonly write: readonly number[];
  readonly kills: readonly number[];
  readonly seen: readonly number[];
  readonly thousandServerMs: number;
  readonly thousandMs: number;
}

function result(measured: Measured): BenchResult {
  const { importMs, write, kills, seen, thousandServerMs, thousandMs } = measured;
  const writeMs = quantile(write, 0.5);
  const singleMs = quantile(seen, 0.99);
  return {
    rows: [
      row('devices with a stored session', sessions, 'devices'),
      row('of these with TLS and MQTT', connections, 'connections'),
      row('import of all devices', importMs, 'ms'),
      row('one durable write, p50', writeMs, 'ms'),
      row('one device, server, p50', quantile(kills, 0.5), 'ms'),
      row('one device, server, p99', quantile(kills, 0.99), 'ms'),
      row('one device, client sees it, p50', quantile(seen, 0.5), 'ms'),
      row('one device, client sees it, p99', singleMs, 'ms'),
      row('one device, of durable writes, p50', quantile(kills, 0.5) / writeMs, '×'),
      row(`${atOnce} devices, server`, thousandServerMs, 'ms'),
      row(`${atOnce} devices, last client sees it`, thousandMs, 'ms'),
    ],
    promises: [
      atMost(
        `one device among ${sessions} live sessions, last connection closed, p99 in ms`,
        promised.singleP99Ms,
        singleMs,
      ),
      atMost(
        `${atOnce} devices in one act, last connection closed, in ms`,
        promised.thousandMs,
        thousandMs,
      ),
    ],
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

function random(length: number): Uint8Array {
  return new Uint8Array(randomBytes(length));
}
