/** `birthmark ca init`, `ca add`, `ca rollover` and `crl sign-root`: a dry run refuses what the act refuses. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  authorityPaths,
  readCertificateFile,
} from '../../../src/apps/authority/authorityFolder.ts';
import { initializeAuthority } from '../../../src/apps/authority/initialize.ts';
import { openStores } from '../../../src/apps/provisioner/stores.ts';
import { openTold } from '../../../src/apps/provisioner/told.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { documentIn, run } from '../../support/commandLine.ts';
import { deviceIdOf, importedDevice } from '../../support/registrySamples.ts';
import { housePassphrase } from '../../support/statusHouse.ts';

type Case = readonly [status: number, message: RegExp, words: readonly string[]];

function emptyFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-authorities-'));
  context.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function installation(context: TestContext): Promise<string> {
  const dataFolder = emptyFolder(context);
  await initializeAuthority({
    dataFolder,
    passphrase: housePassphrase,
    organization: 'Test',
    clock: { nowMs: Date.now },
    costLog2: 4,
  });
  return dataFolder;
}

/** The same message with `--dry-run` and without; what acts has the folder for itself. */
async function refusedAlike(folder: string, cases: readonly Case[]): Promise<void> {
  const refused = async ([status, message, words]: Case, ...more: readonly string[]) => {
    const ran = await run(...words, ...more, '--data', folder);
    assert.deepEqual([ran.status, ran.stdout], [status, ''], words.join(' '));
    assert.match(ran.stderr, message);
    assert.doesNotMatch(ran.stderr, /authorities\.json|at byte/);
  };
  await Promise.all(cases.map((one) => refused(one, '--dry-run')));
  for (const one of cases) await refused(one);
}

test('what is planned for an installation is held against itself before anything is made', async (context) => {
  const folder = emptyFolder(context);
  const init = ['ca', 'init', '--organization', 'Test'];
  const url = ['--status-url', 'http://status.example'];
  await refusedAlike(folder, [
    [2, /power of two/, [...init, ...url, '--shards', '3']],
    [2, /power of two/, [...init, ...url, '--shards', '65536']],
    [2, /same devices/, [...init, '--factory', 'a=pump', '--factory', 'b=pump,valve']],
  ]);
  assert.deepEqual(readdirSync(folder), []);
  const more = ['--factory', 'pumps=pump', '--more-root', 'pq=ML-DSA-65'];
  const ran = await run(...init, ...more, '--dry-run', '--json', '--data', folder);
  assert.deepEqual(documentIn(ran)['authorities'], [
    'root',
    'root-pq',
    'factory',
    'operational',
    'server',
    'factory-pumps',
  ]);
  const text = await run(...init, ...more, '--dry-run', '--data', folder);
  assert.match(text.stdout, /Would make 6 authorities of Test/);
  assert.deepEqual(readdirSync(folder), []);
});

test('authorities that cannot be added, and steps that cannot be taken', async (context) => {
  const folder = await installation(context);
  const add = ['ca', 'add', 'factory'];
  const pumps = [...add, 'pumps', '--products', 'pump', '--data', folder];
  assert.equal((await run(...pumps, '--dry-run')).status, 0);
  const added = await run(...pumps);
  assert.equal(added.status, 0, added.stderr);
  const rollover = (verb: string) => ['ca', 'rollover', verb, 'operational'];
  await refusedAlike(folder, [
    [3, /four hexadecimal digits/, ['ca', 'add', 'chip-signer', 'xyz']],
    [3, /are for the same devices/, [...add, 'pumps2', '--products', 'pump']],
    [3, /there is no profile/, [...add, 'wells', '--products', 'well', '--profile', 'nothing']],
    [3, /called root-NAME/, ['ca', 'add', 'root', '2', '--algorithm', 'Ed25519']],
    [3, /no operational authority is announced/, rollover('switch')],
    [3, /no operational authority is retired/, rollover('remove')],
  ]);
  const announce = await run(...rollover('announce'), '--dry-run', '--data', folder);
  assert.match(announce.stdout, /Would make operational-2/);
  assert.equal((await run(...rollover('announce'), '--data', folder)).status, 0);
  const early = await run(...rollover('remove'), '--dry-run', '--data', folder);
  assert.match(early.stderr, /no operational authority is retired/);
});

test('the lists of the roots, and which of them are due', async (context) => {
  const folder = await installation(context);
  const sign = ['crl', 'sign-root', '--dry-run', '--data', folder];
  const ran = await run(...sign, '--json');
  assert.deepEqual(documentIn(ran)['lists'], [{ authority: 'root', entries: 0, due: false }]);
  assert.match((await run(...sign)).stdout, /its time has not come/);
});

test('an authority takes over when devices know it, or when a person insists', async (context) => {
  const folder = await installation(context);
  const provisioner = join(folder, 'provisioner');
  const take = (verb: string, role: string, ...words: readonly string[]) =>
    run('ca', 'rollover', verb, role, ...words, '--data', folder);
  for (const role of ['operational', 'server']) {
    assert.equal((await take('announce', role)).status, 0);
  }
  const nobody = await take('switch', 'server', '--dry-run');
  assert.deepEqual(
    [nobody.status, nobody.stdout.split('\n')[1]],
    [0, '0 of 0 devices know server-2.'],
  );
  const stores = await openStores(provisioner, 10);
  await stores.registry.importDevices([importedDevice(1), importedDevice(2)], 1);
  await stores.close();
  for (const dryRun of [['--dry-run'], []]) {
    const refused = await take('switch', 'operational', ...dryRun);
    assert.deepEqual([refused.status, refused.stdout], [1, '']);
    assert.match(refused.stderr, /0 of 2 devices know operational-2\..*--force/);
  }
  const { spki } = parseCertificate(
    await readCertificateFile(authorityPaths(folder), 'operational-2'),
  ).publicKey;
  const told = openTold(provisioner, { nowMs: Date.now }, assert.ifError);
  await told.store.noteTold(deviceIdOf(1), [nodeCrypto.hash('SHA-256', spki)], 1);
  told.close();
  const switched = await take('switch', 'operational', '--json');
  assert.equal(switched.status, 0, switched.stderr);
  const known = { knownTo: 1, devices: 2 };
  assert.deepEqual(documentIn(switched), { from: 'operational', to: 'operational-2', ...known });
  assert.match((await take('remove', 'operational')).stdout, /1 of 2 devices know operational-2/);
  assert.equal((await take('switch', 'server', '--force')).status, 0);
  const early = await take('remove', 'server');
  assert.match(early.stderr, /0 of 2 devices know server-2\..*--force/);
  assert.equal((await take('remove', 'server', '--force')).status, 0);
});
