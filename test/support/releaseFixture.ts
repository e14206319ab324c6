/**
 * Makes the data folder that a release leaves for those after it: `node test/support/releaseFixture.ts`
 * writes test/vectors/data-VERSION/data.json.gz. Once a release, before its tag; never again after it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import { openStores } from '../../src/apps/provisioner/stores.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { KeyFolder } from '../../src/drivers/keys/software/keyFolder.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { Installation, passphrase } from './installation.ts';
import { testElement } from './issuing/station.ts';
import { testKey, testRequest } from './pki.ts';
import { importedDevice, sha256Of } from './registrySamples.ts';

/** In the middle of the life of every certificate of the fixture that counts. */
export const fixtureMs: number = Date.UTC(2026, 11, 1);

/** The station's key, so that later releases go on under the ticket that is open. */
const stationKeyFile = 'station.pkcs8';
const ticketFile = 'open.ticket';

const vectors = fileURLToPath(new URL('../vectors', import.meta.url));

export function fixtureFolders(): readonly string[] {
  return readdirSync(vectors)
    .filter((name) => name.startsWith('data-'))
    .map((name) => join(vectors, name));
}

export function fixtureVersion(folder: string): string {
  return relative(vectors, folder).slice('data-'.length);
}

/** Into a new folder; gives the files that are no part of the installation, by name. */
export function unpackFixture(
  fixture: string,
  target: string,
): { readonly ticket: Uint8Array; readonly stationKey: Buffer } {
  const text = gunzipSync(readFileSync(join(fixture, 'data.json.gz'))).toString();
  const files = JSON.parse(text) as Readonly<Record<string, string>>;
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(target, path)), { recursive: true, mode: 0o700 });
    writeFileSync(join(target, path), Buffer.from(content, 'base64'), { mode: 0o600 });
  }
  return {
    ticket: new Uint8Array(readFileSync(join(target, ticketFile))),
    stationKey: readFileSync(join(target, stationKeyFile)),
  };
}

async function makeFixture(): Promise<void> {
  const undo: Array<() => void> = [];
  const clock = { nowMs: () => fixtureMs };
  const status = { baseUrl: 'http://status.example', shards: 4, birth: true };
  const installation = await Installation.create(
    { after: (done) => undo.push(done as () => void) },
    { status, clock },
  );
  const { folder } = installation;
  await inhabit(installation);
  await populateDoors(folder);
  const key = installation.signer.privateKey.export({ format: 'der', type: 'pkcs8' });
  writeFileSync(join(folder, stationKeyFile), key);
  const { version } = JSON.parse(readFileSync(join(vectors, '../../package.json'), 'utf8')) as {
    version: string;
  };
  const target = join(vectors, `data-${version}`);
  mkdirSync(target, { recursive: true });
  writeFileSync(
    join(target, 'data.json.gz'),
    gzipSync(JSON.stringify(filesOf(folder)), { level: 9 }),
  );
  for (const step of undo) step();
  process.stdout.write(`${target}\n`);
}

/** Something of everything: closed and open, scrapped, revoked and held, enrolled, listed and logged. */
async function inhabit(installation: Installation): Promise<void> {
  const { folder } = installation;
  await installation.serve(async (house) => {
    const first = await house.ticket('order-1', 4);
    const station = await house.station(first);
    const elements = ['a', 'b', 'c', 'd'].map(testElement);
    const born = await house.endorse(first, elements);
    const [scrapped, ...good] = elements;
    assert.ok(scrapped);
    await station.report([[scrapped, 'scrapped'], ...good.map((one) => [one, 'locked'] as const)]);
    await station.close({ issued: 4, released: 3, scrapped: 1, returned: 0 });
    assert.ok(!isRefusal(await house.client.closeBatch('order-1')));
    await house.revoke([born[1]?.deviceId ?? '']);
    const second = await house.ticket('order-2', 10);
    await house.births(second, ['e', 'f']);
    writeFileSync(join(folder, ticketFile), second);
    const desk = new DeskClient(socketPathFor(folder, 'authority'));
    const hourMs = 3_600_000;
    for (let secrets = 0; secrets < 2; secrets++) {
      const order = { product: 'sensor', profile: 'ldevid', lifetimeMs: hourMs };
      const made = await desk.createSecret(order);
      assert.ok(!isRefusal(made));
      if (secrets === 1) continue;
      const request = testRequest(testKey());
      await house.client.issueBySecret({ secret: made.secret, request, profile: 'ldevid' });
    }
    desk.close();
  });
  // Lists are signed at every start.
  await installation.serve(async () => undefined);
}

async function populateDoors(folder: string): Promise<void> {
  const place = join(folder, 'provisioner');
  const stores = await openStores(place, 10);
  await stores.registry.importDevices(
    [1, 2, 3].map((number) => importedDevice(number)),
    1,
  );
  const { identity } = importedDevice(1);
  await stores.registry.enrolDevice(
    {
      kind: 'ldevid',
      holder: identity.deviceId,
      sha256: sha256Of('ldevid 1'),
      notAfterMs: fixtureMs,
    },
    2,
  );
  await stores.registry.revokeDevices([importedDevice(3).identity.deviceId], 'lost', 3);
  const payload = Uint8Array.of(1, 2, 3);
  await stores.telemetry.append(identity.deviceId, { receivedMs: 4, path: 'mqtt', payload });
  await stores.close();
  const keys = await KeyFolder.open({ folder: place, passphrase, costLog2: 4 });
  await keys.create('edhoc', 'p256-agree');
}

/** Base64 by path, but for what a running process alone needs. */
function filesOf(folder: string): Readonly<Record<string, string>> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/(-lock|-lock\.pid|\.sock|-wal|-shm)$/.test(entry.name))
    .map(({ parentPath, name }) => join(parentPath, name))
    .toSorted();
  return Object.fromEntries(
    names.map((path) => [relative(folder, path), readFileSync(path).toString('base64')]),
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await makeFixture();
