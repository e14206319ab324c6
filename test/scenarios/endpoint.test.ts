/** The example of docs/sessions.md as it stands there, with a sensor that speaks to it over UDP. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openSessionEndpoint } from '../../src/apps/endpoint/endpoint.ts';
import { pinnedTrust } from '../../src/device/sessions/pinnedTrust.ts';
import { NonIpSensor } from '../../src/device/sessions/sensor.ts';
import type { SensorEvent } from '../../src/device/sessions/sensorOptions.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { systemTimer } from '../../src/drivers/links/systemTimer.ts';
import { openUdpLink } from '../../src/drivers/links/udp/udpLink.ts';
import { fromHex, toHex } from '../../src/wire/bytes/hex.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { Field } from '../support/field.ts';
import { MemoryDeviceStore } from '../support/memoryDeviceStore.ts';
import { memoryElement } from '../support/memoryElement.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const deviceId = 'abcdefgh01234567';
const linkAddress = fromHex('02005efffe000001');
const retry = { firstMs: 100, longestMs: 400 };

function folderFor(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-endpoint-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function example(): string {
  const page = readFileSync(join(root, 'docs/sessions.md'), 'utf8');
  const [, code] = /```ts\n([\s\S]*?)```/.exec(page) ?? [];
  assert.ok(code !== undefined);
  assert.ok(code.trimEnd().split('\n').length <= 30, 'the example has 30 lines at most');
  return code;
}

/** Lines of a process, one at a time. */
class Lines {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(process: ChildProcess) {
    assert.ok(process.stdout !== null);
    this.#process = process;
    this.#lines = createInterface({ input: process.stdout })[Symbol.asyncIterator]();
  }

  /** The next line that begins like this. Telemetry may come twice when a process was killed. */
  async after(start: string): Promise<string> {
    for (;;) {
      const line = await this.#lines.next();
      if (line.done === true) assert.fail(`ended with ${String(this.#process.exitCode)}`);
      if (line.value.startsWith(start)) return line.value.slice(start.length);
    }
  }
}

test('the example ends sessions of a sensor, again after a restart', async (context) => {
  const folder = folderFor(context);
  const element = memoryElement({ 'device-id': utf8(deviceId), eui64: linkAddress });
  const devices = join(folder, 'devices.json');
  const agreeKey = toHex(element.keys.agree.publicKey);
  writeFileSync(devices, JSON.stringify([{ deviceId, agreeKey }]));
  const start = async (): Promise<{ process: ChildProcess; lines: Lines; port: number }> => {
    const words = ['--input-type=module-typescript', '--no-warnings', '--eval', example()];
    const process = spawn(globalThis.process.execPath, words, {
      cwd: root,
      env: { DEVICES: devices, FOLDER: join(folder, 's'), PORT: '0', PASSPHRASE: 'correct horse' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    context.after(() => process.kill('SIGKILL'));
    const lines = new Lines(process);
    const [port, identity = ''] = (await lines.after('ready ')).split(' ');
    element.data.set('server-identity', fromHex(identity));
    return { process, lines, port: Number(port) };
  };
  const store = new MemoryDeviceStore();
  const events: SensorEvent[] = [];
  const speak = async (port: number, lines: Lines, text: string): Promise<void> => {
    const modem = { host: '127.0.0.1', port };
    const link = await openUdpLink({ modem, maximumFrameBytes: 51, linkAddress });
    const trust = await pinnedTrust(element, nodeCrypto);
    const ports = { element, link, store, timer: systemTimer, crypto: nodeCrypto, trust };
    const sensor = await NonIpSensor.start(ports, (event) => events.push(event), {
      confirmEvery: 1,
      retransmission: retry,
    });
    await sensor.submit(utf8(text));
    assert.equal(await lines.after(`${deviceId} ${text}`), '');
    await sensor.stop();
    await link.close();
  };
  const first = await start();
  await speak(first.port, first.lines, 'warm');
  first.process.kill('SIGKILL');
  await once(first.process, 'exit');
  const second = await start();
  await speak(second.port, second.lines, 'warmer');
  assert.equal(events.filter(({ kind }) => kind === 'session').length <= 1, true);
});

test('devices are admitted and revoked while it runs', async (context) => {
  const field = new Field();
  const device = field.addDevice(1);
  const texts: string[] = [];
  const sessions = await openSessionEndpoint({
    folder: folderFor(context),
    passphrase: 'x',
    costLog2: 10,
    name: 'greenhouse',
    devices: [],
    clock: { nowMs: () => Math.floor(field.time.nowMs()) },
    onTelemetry: async ({ payload }) => {
      texts.push(Buffer.from(payload).toString());
    },
  });
  context.after(() => sessions.close());
  device.element.data.set('server-identity', sessions.identity);
  field.gatewayTo((endpoint, frame) => sessions.take(endpoint, frame));
  await device.switchOn();
  await device.submit('stranger');
  await field.time.until(() => device.count('resting') === 1);
  sessions.admit({
    deviceId: device.deviceId,
    agreeKey: device.element.keys.agree.publicKey,
    linkAddress: device.linkAddress,
  });
  await field.time.until(() => device.count('telemetry') === 1);
  assert.deepEqual(texts, ['stranger']);
  assert.equal(await sessions.revoke(device.deviceId), 1);
  await device.submit('gone');
  await field.time.until(() => device.count('resting') === 2);
  assert.deepEqual(texts, ['stranger']);
});
