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
import { toHex } from '../../src/wire/bytes/hex.ts';

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
