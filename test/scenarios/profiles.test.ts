/** A maker's own profile, from a file to the certificate that names it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { ProfileClient } from '../../src/drivers/links/local/profileClient.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { EstDoorClient, type Held } from '../support/estDoorClient.ts';
import { encodeBody } from '../../src/wire/est/body.ts';
import { testKey, testRequest } from '../support/pki.ts';
import { housePassphrase, statusHouse } from '../support/statusHouse.ts';

const folder = mkdtempSync(join(tmpdir(), 'birthmark-profiles-'));
after(() => rmSync(folder, { recursive: true }));
const data = join(folder, 'data');
const file = join(folder, 'meter.json');
const main = join(import.meta.dirname, '../../src/apps/cli/main.ts');

function birthmark(...words: readonly string[]): Promise<{ code: number; out: string }> {
  const node = ['--disable-warning=ExperimentalWarning', main, ...words];
  return new Promise((resolve) => {
    execFile(process.execPath, node, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), out: stdout + stderr });
    });
  });
}

test('a profile is shown, changed, checked, added, and used', async () => {
  const passphrase = 'of a test';
  const clock = { nowMs: Date.now };
  await initializeAuthority({
    dataFolder: data,
    passphrase,
    organization: 'Maker',
    clock,
    costLog2: 4,
  });
  const authority = await startAuthority({ dataFolder: data, passphrase, clock });
  try {
    const shown = await birthmark('profile', 'show', 'ldevid', '--data', data);
    assert.equal(shown.code, 0, shown.out);
    const meter = shown.out.replace('"ldevid"', '"meter"').replace('365', '30');
    writeFileSync(file, meter.replace('"device"', '"nobody"'));
    const wrong = await birthmark('profile', 'check', file);
    assert.deepEqual(
      [wrong.code, /\/subject must be equal to one of.*device/.test(wrong.out)],
      [1, true],
    );
    writeFileSync(file, meter);
    const checked = await birthmark('profile', 'check', file, '--json');
    assert.equal(checked.code, 0, checked.out);
    const dry = await birthmark('profile', 'add', file, '--dry-run', '--data', data);
    assert.match(dry.out, /Would add meter@1/);
    const added = await birthmark('profile', 'add', file, '--data', data);
    assert.equal(added.code, 0, added.out);
    const again = await birthmark('profile', 'add', file, '--data', data);
    assert.deepEqual([again.code, /version-not-next/.test(again.out)], [1, true]);
    const listed = await birthmark('profile', 'list', '--data', data);
    assert.match(listed.out, /meter@1 +operational +30 days/);
    assert.match(listed.out, /chip-idevid@1 +chip-signer +28 years +built in/);

    const client = new ProfileClient(socketPathFor(data, 'authority'));
    const views = await client.profiles();
    client.close();
    const view = views.find(({ name }) => name === 'meter');
    assert.ok(view && checked.out.includes(toHex(view.sha256)) && !view.builtIn);
    // Devices are given it from now on, without a restart.
    const desk = new DeskClient(socketPathFor(data, 'authority'));
    const secret = await desk.createSecret({ product: 'm', profile: 'meter', lifetimeMs: 60_000 });
    desk.close();
    assert.ok(!isRefusal(secret));
    assert.equal(secret.profile, 'meter');
  } finally {
    await authority.close();
  }
});

const dayMs = 86_400_000;

test('every profile of devices is had over EST, by its label or by a secret at the empty one', async (context) => {
  const added = async (dataFolder: string, name: string, days: number): Promise<void> => {
    const shown = await birthmark('profile', 'show', 'ldevid', '--data', dataFolder);
    const own = join(folder, `${name}.json`);
    writeFileSync(own, shown.out.replace('"ldevid"', `"${name}"`).replace('365', String(days)));
    const { code, out } = await birthmark('profile', 'add', own, '--data', dataFolder);
    assert.equal(code, 0, out);
  };
  const house = await statusHouse(context, {}, async (dataFolder) => {
    const clock = { nowMs: Date.now };
    const alone = await startAuthority({ dataFolder, passphrase: housePassphrase, clock });
    await added(dataFolder, 'meter', 30);
    await added(dataFolder, 'linked', 31);
    await alone.close();
  });
  const client = await EstDoorClient.create(house);
  const days = ({ certificate }: Held): number => {
    const { notBeforeMs, notAfterMs } = parseCertificate(certificate);
    return Math.round((notAfterMs - notBeforeMs) / dayMs);
  };
  const meter = await client.enrolBySecret('simpleenroll', 'meter');
  assert.equal(days(meter), 30);
  assert.equal(days(await client.enrolBySecret('meter/simpleenroll', 'meter')), 30);
  assert.equal(days(await client.enrolBySecret('wrapped/simpleenroll', 'ldevid-short')), 7);
  const gateway = await client.enrolBySecret('gateway/simpleenroll', 'gateway');
  assert.equal(days(gateway), 365);
  assert.equal(days(await client.enrolBySecret('simpleenroll', 'gateway')), 365);
  assert.equal(days(await client.enrol('meter/simplereenroll', gateway, testKey())), 30);
  // A label that chooses another profile than the secret was made for; and what is none.
  const body = encodeBody(testRequest(testKey()));
  const secret = await client.secret('gateway');
  const status = async (path: string): Promise<number> =>
    (await client.ask(path, undefined, { body, secret })).status;
  assert.equal(await status('meter/simpleenroll'), 400);
  assert.equal(await status('server/simpleenroll'), 404);
  assert.equal(await status('nothing/simpleenroll'), 404);
  assert.equal(await status('gateway/simpleenroll'), 200);
  const attributes = await Promise.all(
    ['csrattrs', 'meter/csrattrs', 'gateway/csrattrs', 'linked/csrattrs'].map((path) =>
      client.ask(path, undefined),
    ),
  );
  const [plain, ofMeter, ofGateway, linked] = attributes.map((one) => toHex(one.body));
  assert.deepEqual([ofMeter, ofGateway], [plain, plain]);
  assert.notEqual(linked, plain);
  assert.equal((await client.ask('nothing/csrattrs', undefined)).status, 404);
  // What is added while the server runs is had by a secret at once.
  await added(house.dataFolder, 'late', 20);
  assert.equal(days(await client.enrolBySecret('simpleenroll', 'late')), 20);
  await assert.rejects(client.secret('linked'), /No label of EST gives profile linked/);
});
