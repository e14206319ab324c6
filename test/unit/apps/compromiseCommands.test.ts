/** `birthmark ca compromise` against a running and a stopped server. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { authorityPaths } from '../../../src/apps/authority/authorityFolder.ts';
import { SnapshotIssuingReader } from '../../../src/drivers/store/issuingReader.ts';
import { openSqliteSnapshot } from '../../../src/drivers/store/sqlite/snapshot.ts';
import { serialMagnitude } from '../../../src/trust/issuance/certification.ts';
import { equal } from '../../../src/wire/bytes/bytes.ts';
import { revocationReasons } from '../../../src/wire/crl/reason.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { House, Installation } from '../../support/installation.ts';
import { testSigner } from '../../support/issuing/world.ts';
import { housePassphrase, statusHouse } from '../../support/statusHouse.ts';

const command = fileURLToPath(new URL('../../../src/apps/cli/main.ts', import.meta.url));

interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(...words: readonly string[]): Promise<Ran> {
  return birthmark('ca', 'compromise', ...words);
}

async function birthmark(...words: readonly string[]): Promise<Ran> {
  const child = spawn(process.execPath, ['--no-warnings', command, ...words], {
    env: { ...process.env, BIRTHMARK_PASSPHRASE: housePassphrase },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  await once(child, 'close');
  return { status: child.exitCode, stdout, stderr };
}

test('against a server: a station falls while it runs, an authority when it is stopped', async (context) => {
  const house = await statusHouse(context);
  const data = ['--data', house.dataFolder];
  const station = ['--name', 'line-7', '--station', join(house.dataFolder, 'station')];
  const enrolled = await birthmark('station', 'enrol', ...station, ...data);
  assert.equal(enrolled.status, 0, enrolled.stderr);
  const said = async (...words: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await run(...words, ...data);
    assert.equal(status, 0, stderr);
    return stdout;
  };
  assert.match(await said('status'), /No key is lost/);
  assert.match(await said('ocsp', '--dry-run'), /responders that would be revoked: \d+\./);
  assert.match(await said('log', '--dry-run'), /The log \S+ ends with \d+ entries/);
  assert.match(await said('station', 'line-7', '--dry-run'), /1 would be revoked/);
  assert.match(await said('station', 'line-7', '--reason', 'stolen'), /1 revoked/);
  assert.match(await said('status'), /station-line-7 \(station line-7\): all is done\. stolen/);
  // A name that nobody knows is a typing error: no case says afterwards that all is done.
  for (const whose of [
    ['station', 'line-8'],
    ['family', 'tpm'],
  ]) {
    const unknown = await run(...whose, '--reason', 'stolen', ...data);
    assert.equal(unknown.status, 1, unknown.stdout);
    assert.match(unknown.stderr, /is known here or at the authority \[unknown-name\]/);
  }
  assert.doesNotMatch(await said('status'), /line-8|tpm/);
  for (const words of [
    ['operational'],
    ['station', '--reason', 'x'],
    ['operational', '--reason', 'x', '--per-second', '0'],
  ]) {
    assert.equal((await run(...words, ...data)).status, 2, words.join(' '));
  }
  const paa = await run('matter-paa', '--reason', 'x', ...data);
  assert.match(paa.stderr, /answered for by people/);

  // Beside a running server the case is opened, and goes on when that is stopped.
  const beside = await run('factory', '--reason', 'stolen', ...data);
  assert.equal(beside.status, 3);
  assert.match(
    beside.stderr,
    /the case factory is open: stop the server, then give the command again/,
  );
  await house.closeAuthority();
  await assert.rejects(house.startAuthority(), /the key of factory is lost/);
  assert.match(
    await said('factory', '--reason', 'stolen'),
    /listed: factory on the list of its root/,
  );
  assert.match(await said('close', 'factory'), /factory is closed/);
  await house.startAuthority();
});

test('an element family: what was born is revoked and listed, and no other is born meanwhile', async (context) => {
  const house = await statusHouse(context);
  const data = ['--data', house.dataFolder];
  const clock = { nowMs: Date.now };
  const people = new House(Installation.open(house.dataFolder, testSigner(), clock), house.issuing);
  const ticket = await people.ticket('reel-7', 4);
  const [born] = await people.births(ticket, ['one']);
  assert.ok(born !== undefined);
  const { deviceId } = born;
  const family = (...words: readonly string[]): Promise<Ran> =>
    run('family', 'software', ...words, ...data);

  // A firmware that no element was born with is a typing error.
  const other = await family('--firmware', '2.0', '--reason', 'weak random');
  assert.equal(other.status, 1, other.stdout);
  const planned = await family('--firmware', '1.0', '--dry-run');
  // The unit was born and has not come to the registry yet.
  assert.match(planned.stdout, /^1 devices with .* 1 of the devices never came here/);
  assert.match(planned.stdout, new RegExp(`cannot follow:\n +${deviceId}`));
  assert.match((await run('status', ...data)).stdout, /No key is lost/);

  const done = await family('--firmware', '1.0', '--reason', 'weak random');
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, new RegExp(`cannot follow:\n +${deviceId}`));
  const { serialNumber } = parseCertificate(born.certificate);
  const stores = openSqliteSnapshot(authorityPaths(house.dataFolder).database);
  const codes: number[] = [];
  for await (const one of new SnapshotIssuingReader(stores).listed('factory')) {
    if (equal(one.serialNumber, serialMagnitude(serialNumber) ?? serialNumber))
      codes.push(one.code);
  }
  await stores.close();
  assert.deepEqual(codes, [revocationReasons.keyCompromise]);
  await assert.rejects(people.births(ticket, ['two']), /family-lost/);
  const { stdout } = await run('status', ...data);
  assert.match(stdout, /family-software-1\.0 .*all is done\. weak random/);
  assert.match(stdout, /revoked: 1 devices/);
  // Once more: nothing is left to do.
  assert.match((await family('--firmware', '1.0', '--reason', 'weak random')).stdout, /0 revoked/);
  assert.equal((await run('close', 'family-software-1.0', ...data)).status, 0);
  assert.equal((await people.births(ticket, ['two'])).length, 1);
});
