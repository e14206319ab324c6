/** `birthmark sensor run` and `gateway run` as processes. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { generateP256 } from '../../../src/drivers/elements/software/p256.ts';
import { encodeServerIdentity } from '../../../src/wire/edhoc/agreeCredential.ts';
import { readModemDatagram } from '../../../src/wire/relay/modem.ts';
import { testPki } from '../../support/pki.ts';
import { type BornDevice, elementPassphrase, giveBirth } from '../../support/softwareDevices.ts';

const command = fileURLToPath(new URL('../../../src/apps/cli/main.ts', import.meta.url));
const environment = { ...process.env, BIRTHMARK_PASSPHRASE: elementPassphrase };
let folder = '';
let born: BornDevice;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'birthmark-commands-'));
  const serverIdentity = encodeServerIdentity(nodeCrypto, 'server', generateP256().publicKey);
  born = await giveBirth({ folder, pki: testPki(), serverIdentity }, 1, 'thermometer');
});

after(() => rmSync(folder, { recursive: true, force: true }));

async function run(...words: readonly string[]): Promise<{ status: number; stderr: string }> {
  const child = spawn(process.execPath, ['--no-warnings', command, ...words], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const [status] = (await once(child, 'close')) as [number];
  return { status, stderr };
}

test('a radio sensor says what it does, line by line, and ends when it is told to', async () => {
  const modem = createSocket('udp4');
  modem.bind(0, '127.0.0.1');
  await once(modem, 'listening');
  const words = ['sensor', 'run', '--kind', 'non-ip', '--element', born.elementFile, '--json'];
  const radio = `127.0.0.1:${modem.address().port}`;
  const child = spawn(
    process.execPath,
    ['--no-warnings', command, ...words, '--radio', radio, '--retry', '20'],
    { env: environment, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const events: Array<Record<string, unknown>> = [];
  const seen = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on('line', (line) => {
    events.push(JSON.parse(line) as Record<string, unknown>);
    if (events.some(({ attempt }) => attempt === 1)) seen.resolve();
  });
  const [datagram] = (await once(modem, 'message')) as [Uint8Array];
  assert.equal(readModemDatagram(datagram).kind, 'attach');
  await seen.promise;

  const second = await run(...words, '--radio', radio);
  assert.equal(second.status, 3, second.stderr);
  assert.match(second.stderr, /in use by process \d+/);

  child.kill('SIGTERM');
  const [status] = (await once(child, 'exit')) as [number];
  modem.close();
  assert.equal(status, 0);
  const kinds = events.map(({ event }) => event);
  assert.ok(kinds.includes('sent') && kinds.includes('started') && kinds.at(-1) === 'stopped');
  const started = events.find(({ event }) => event === 'started');
  assert.equal(started?.['deviceId'], born.deviceId);
  assert.equal(started?.['kind'], 'non-ip-sensor');
  assert.ok(events.every(({ ms }) => typeof ms === 'number'));
});

test('a command line that is wrong ends with 2, an element that does not open with 3', async () => {
  const { elementFile } = born;
  const sensor = (kind: string): string[] => [
    'sensor',
    'run',
    '--kind',
    kind,
    '--element',
    elementFile,
  ];
  const gateway = ['gateway', 'run', '--server', 'a:1', '--element'];
  const cases = [
    [2, /--server takes host:port/, sensor('ip')],
    [
      2,
      /--renew-by is update, resumption or handshake/,
      [...sensor('non-ip'), '--radio', 'b:1', '--renew-by', 'magic'],
    ],
    [2, /--radio takes host:port/, [...gateway, elementFile, '--radio', 'b:99999']],
    [3, /cannot be read/, [...gateway, join(folder, '00.element'), '--radio', '[::1]:2']],
  ] as const;
  await Promise.all(
    cases.map(async ([status, message, words]) => {
      const outcome = await run(...words);
      assert.equal(outcome.status, status, outcome.stderr);
      assert.match(outcome.stderr, message);
    }),
  );
});
