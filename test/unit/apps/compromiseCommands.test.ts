/** `birthmark ca compromise` against a running and a stopped server. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
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
