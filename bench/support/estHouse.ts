/** A whole installation for a bench: its authority in a thread of its own, its provisioner here, devices born. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths, readCertificateFile } from '../../src/apps/authority/authorityFolder.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { startProvisioner } from '../../src/apps/provisioner/provisioner.ts';
import { openStores } from '../../src/apps/provisioner/stores.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { LocalClient } from '../../src/drivers/links/local/localClient.ts';
import { Issuance } from '../../src/trust/issuance/issuance.ts';
import { issuerFrom } from '../../src/trust/issuance/issuer.ts';
import { builtInProfiles } from '../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { newDeviceId } from '../../src/trust/registry/importRules.ts';
import { toBase64 } from '../../src/wire/bytes/base64.ts';
import { encodePem } from '../../src/wire/x509/pem.ts';
import { benchDevice } from './devices.ts';

export interface BornDevice {
  readonly deviceId: string;
  readonly privateKeyPem: string;
  readonly chainPem: string;
  readonly sha256: Uint8Array;
}

export interface EstHouse {
  readonly authority: AuthorityClient;
  /** Of the door of devices, and of stations. */
  readonly port: number;
  readonly stationPort: number;
  /** Of the root. */
  readonly anchorPem: string;
  readonly devices: readonly BornDevice[];
  /** Lets a station in by its very certificate. */
  admit(name: string, certificate: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

const passphrase = 'of a bench';
const clock = { nowMs: Date.now };
const pem = (der: Uint8Array): string => encodePem('CERTIFICATE', der);

export async function assembleForBench(folder: string, count: number): Promise<EstHouse> {
  const data = join(folder, 'data');
  const paths = await initializeAuthority({
    dataFolder: data,
    passphrase,
    organization: 'Bench',
    clock,
    costLog2: 4,
  });
  const devices = await bear(data, count);
  const anchorPem = pem(await readCertificateFile(paths, 'root'));
  const provisionerFolder = join(data, 'provisioner');
  await register(provisionerFolder, devices);
  const authority = new Worker(new URL(import.meta.url), { workerData: data });
  await once(authority, 'message');
  const client = new AuthorityClient(socketPathFor(data, 'authority'));
  const provisioner = await startProvisioner({
    folder: provisionerFolder,
    socketPath: socketPathFor(data, 'provisioner'),
    passphrase,
    keyCostLog2: 4,
    authority: client,
    owner: 'owner',
    names: ['localhost', '127.0.0.1'],
    host: '127.0.0.1',
    ports: { device: 0, station: 0, api: 0, mqtt: 0 },
  });
  return {
    authority: client,
    port: provisioner.ports.device,
    stationPort: provisioner.ports.station,
    anchorPem,
    devices,
    admit: (name, certificate) => admit(socketPathFor(data, 'provisioner'), name, certificate),
    close: async () => {
      await provisioner.close();
      client.close();
      authority.postMessage('close', []);
      await once(authority, 'exit');
    },
  };
}

async function admit(socketPath: string, name: string, certificate: Uint8Array): Promise<void> {
  const local = new LocalClient(socketPath, 'provisioner');
  const { status } = await local.send({
    method: 'POST',
    path: '/v1/stations',
    contentType: 'application/json',
    body: JSON.stringify({ name, certificate: toBase64(certificate) }),
  });
  local.close();
  if (status !== 200) throw new Error(`the station was refused: ${status}`);
}

/** Identities from birth, issued as the authority issues them, before it runs. */
async function bear(data: string, count: number): Promise<readonly BornDevice[]> {
  const paths = authorityPaths(data);
  const stores = await openAuthorityStores(paths, undefined);
  try {
    const keys = await KeyFolder.open({ folder: paths.keys, passphrase });
    const factory = await readCertificateFile(paths, 'factory');
    const issuance = new Issuance({
      store: stores.issuance,
      crypto: nodeCrypto,
      clock,
      profiles: builtInProfiles,
      issuers: [issuerFrom('factory', factory, await keys.signer('factory'))],
    });
    const born = Array.from({ length: count }, () => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const deviceId = newDeviceId(nodeCrypto);
      const hardware = { hwType: '1.3.6.1.4.1.32473.1', hwSerialNum: nodeCrypto.random(9) };
      const spki = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }));
      return { deviceId, privateKey, content: { spki, name: deviceId, hardware } };
    });
    const requests = born.map(({ content }) => ({ profile: 'idevid', content }));
    const issued = await issuance.issue(requests);
    return born.map(({ deviceId, privateKey }, index) => {
      const one = issued[index];
      if (one === undefined || isRefusal(one)) throw new Error(one?.reason);
      return {
        deviceId,
        privateKeyPem: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
        chainPem: pem(one.certificate) + pem(factory),
        sha256: nodeCrypto.hash('SHA-256', one.certificate),
      };
    });
  } finally {
    await stores.close();
  }
}

async function register(folder: string, devices: readonly BornDevice[]): Promise<void> {
  const stores = await openStores(folder, 10);
  const imported = devices.map(({ deviceId, sha256 }) => ({
    ...benchDevice(deviceId),
    certificates: [{ kind: 'idevid' as const, sha256, notAfterMs: undefined }],
  }));
  await stores.registry.importDevices(imported, 1);
  await stores.close();
}

// Threads of others import this file too.
if (!isMainThread && typeof workerData === 'string') {
  const authority = await startAuthority({ dataFolder: workerData, passphrase, clock });
  parentPort?.once('message', () => {
    void authority.close().then(() => parentPort?.close());
  });
  parentPort?.postMessage('ready', []);
}
