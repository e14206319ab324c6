/** Where the provisioner's database is, and which life of it: on a server as in a file. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, test, type TestContext } from 'node:test';
import { openStores, type Stores } from '../../src/apps/provisioner/stores.ts';
import { countKnowing } from '../../src/apps/provisioner/told.ts';
import { readStoreSetting } from '../../src/apps/storeSetting.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import { importedDevice } from '../support/registrySamples.ts';
import { postgresMissing } from '../support/postgres.ts';
import { testServer } from '../support/storeBackends.ts';

const server = testServer();
const open = (folder: string) => openStores(folder, 10, readStoreSetting(server().url, {}));
const refused = (message: RegExp) => (error: unknown) =>
  error instanceof EnvironmentError && message.test(error.message);

beforeEach(async () => {
  if (postgresMissing === false) {
    await server().query('DROP SCHEMA IF EXISTS birthmark_provisioner CASCADE');
  }
});

function newFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** One write that counts. */
async function write({ sessions }: Stores): Promise<void> {
  await sessions.lease({ holder: 'test', nowMs: 1, untilMs: 2, takeOver: true });
  await sessions.updateHandshake('none', 1, Uint8Array.of(1));
}

test('a folder and its database', { skip: postgresMissing }, async (context) => {
  const [ours, theirs, onFile] = [newFolder(context), newFolder(context), newFolder(context)];
  const setting = readStoreSetting(server().url, {});
  const knowing = (place: string) => countKnowing(place, setting, new Uint8Array(32));
  assert.deepEqual(await knowing(ours), { told: 0, devices: 0 });
  const stores = await open(ours);
  await stores.registry.importDevices([importedDevice(1)], 1);
  await stores.close();
  await assert.rejects(open(theirs), refused(/are not of one installation/));
  await assert.rejects(openStores(ours, 10), refused(/has its database on a server: give --store/));
  await (await openStores(onFile, 10)).close();
  await assert.rejects(open(onFile), refused(/provisioner.sqlite: leave --store away/));
  assert.deepEqual(await knowing(ours), { told: 0, devices: 1 });
  await assert.rejects(knowing(onFile), refused(/provisioner.sqlite: leave --store away/));
  await assert.rejects(
    countKnowing(ours, undefined, new Uint8Array(32)),
    refused(/has its database on a server: give --store/),
  );
  const again = await open(ours);
  assert.equal((await again.registry.countDevices()).released, 1);
  await again.close();
  // An empty database in place of its own is not taken for it.
  await server().query('DROP SCHEMA birthmark_provisioner CASCADE');
  await assert.rejects(open(ours), refused(/are not of one installation/));
});

test('a database that was put back gets a new life', { skip: postgresMissing }, async (context) => {
  const folder = newFolder(context);
  const incarnations: number[] = [];
  const live = async (): Promise<void> => {
    const stores = await open(folder);
    incarnations.push(stores.sessions.incarnation);
    await write(stores);
    await stores.close();
  };
  await live();
  await live();
  await server().query('UPDATE birthmark_provisioner.session_life SET written = 1');
  await live();
  await live();
  // A mark that does not come along ends sessions, and counts from the beginning.
  rmSync(join(folder, 'sessions.life'));
  await live();
  assert.deepEqual(incarnations, [0, 0, 1, 1, 0]);
});
