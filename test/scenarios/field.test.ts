/**
 * The field with everything real but the radio waves: a provisioner with its doors, a gateway, an IP
 * sensor and sensors behind a radio, on sockets of the system's choice.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { connectAsync } from 'mqtt';
import { startIpSensor } from '../../src/apps/device/ipSensor.ts';
import { type NonIpSensorConfig, startNonIpSensor } from '../../src/apps/device/nonIpSensor.ts';
import type { SessionEnrollerEvent } from '../../src/device/enrolment/sessionEnroller.ts';
import { startGateway } from '../../src/apps/gateway/gateway.ts';
import { SqliteDatabase } from '../../src/drivers/store/sqlite/database.ts';
import { SqliteRegistryStore } from '../../src/drivers/store/sqlite/registryStore.ts';
import { provisionerMigrations } from '../../src/drivers/store/sqlite/provisionerTables.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { defaultAir } from '../../sim/radio/air.ts';
import { startUdpAir } from '../../sim/radio/udpAir.ts';
import { pki } from '../support/peers.ts';
import { testProvisioner, type TestProvisioner } from '../support/provisioner.ts';
import { type BornDevice, elementPassphrase, giveBirth } from '../support/softwareDevices.ts';

const host = '127.0.0.1';

/** Things that happen, as text, and whoever waits for them. */
class Log {
  readonly lines: string[] = [];
  #waiting: Array<() => void> = [];

  add(line: string): void {
    this.lines.push(line);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  count(fits: (line: string) => boolean): number {
    return this.lines.filter(fits).length;
  }

  async until(fits: (line: string) => boolean, times = 1): Promise<void> {
    while (this.count(fits) < times) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** What an application with its own certificate hears. */
async function listen(context: TestContext, it: TestProvisioner, log: Log): Promise<void> {
  const { chainPem, privateKeyPem } = dashboard;
  const client = await connectAsync({
    protocol: 'mqtts',
    host,
    port: it.ports.mqtt,
    protocolVersion: 4,
    cert: chainPem,
    key: privateKeyPem,
    ca: pki.root.pem,
  });
  context.after(() => client.endAsync(true));
  client.on('message', (topic, payload) => log.add(`${topic} ${payload.toString()}`));
  await client.subscribeAsync('devices/+/telemetry', { qos: 1 });
}

const dashboard = pki.application('dashboard');
const ada = pki.operator('ada');
const retry = { firstMs: 40, longestMs: 400 };

/** An operational certificate through the session of a radio sensor. */
function enrolmentTo(log: Log): NonNullable<NonIpSensorConfig['enrolment']> {
  const onEvent = ({ kind }: SessionEnrollerEvent): void => log.add(`enrolment ${kind}`);
  return { options: { form: 'c509', retry }, onEvent };
}

/** What the import of the line's manifest does, and an operator's work. */
async function release(folder: string, devices: readonly BornDevice[]): Promise<void> {
  const database = new SqliteDatabase({
    path: join(folder, 'provisioner.sqlite'),
    migrations: provisionerMigrations,
  });
  const store = new SqliteRegistryStore(database);
  await store.importDevices(
    devices.map(({ imported }) => imported),
    1,
  );
  await store.setProductRole('gateway', 'gateway');
  for (const [kind, { sha256 }] of [
    ['application', dashboard],
    ['operator', ada],
  ] as const) {
    await store.addCertificate({ kind, holder: kind, sha256, notAfterMs: undefined }, 1);
  }
  database.close();
}

function heardFrom(device: BornDevice, text = ''): (line: string) => boolean {
  return (line) => line.startsWith(`devices/${device.deviceId}/telemetry ${text}`);
}

test('gateway, IP sensor and radio sensors switch on, report, and two of them are revoked', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-field-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const elements = join(folder, 'elements');
  // Its first start makes the identity that elements are born with.
  const config = { folder: join(folder, 'provisioner') };
  const before = await testProvisioner(context, { config });
  await before.close();
  const place = { folder: elements, pki, serverIdentity: before.serverIdentity };
  const [gatewayBorn, ipBorn, firstBorn, secondBorn] = await Promise.all([
    giveBirth(place, 1, 'gateway'),
    giveBirth(place, 2, 'thermometer'),
    giveBirth(place, 3, 'thermometer'),
    giveBirth(place, 4, 'thermometer'),
  ]);
  await release(config.folder, [gatewayBorn, ipBorn, firstBorn, secondBorn]);
  const it = await testProvisioner(context, { config });
  const application = new Log();
  await listen(context, it, application);

  const air = await startUdpAir({ ...defaultAir, seed: 7, sensorPort: 0, gatewayPort: 0 });
  context.after(() => air.close());
  const server = { host, port: it.ports.device };
  const filesOf = ({ elementFile }: BornDevice): { elementFile: string; passphrase: string } => ({
    elementFile,
    passphrase: elementPassphrase,
  });

  const frames: string[] = [];
  const gatewayLog = new Log();
  const gateway = await startGateway({
    ...filesOf(gatewayBorn),
    server,
    radio: { host, port: air.gatewayPort },
    maximumFrameBytes: 51,
    options: { retry },
    onEvent: ({ kind }) => gatewayLog.add(kind),
    onFrame: (_direction, _address, frame) => frames.push(toHex(frame)),
  });
  context.after(() => gateway.close());
  await gateway.device.submit(utf8('gateway is up'));
  await application.until(heardFrom(gatewayBorn, 'gateway is up'));
  assert.deepEqual(gatewayLog.lines, ['enrolled', 'configured', 'online', 'telemetry']);

  const ipLog = new Log();
  const ipSensor = await startIpSensor({
    ...filesOf(ipBorn),
    server,
    options: { retry },
    onEvent: ({ kind }) => ipLog.add(kind),
  });
  context.after(() => ipSensor.close());
  await ipSensor.device.submit(utf8('over TLS'));
  await application.until(heardFrom(ipBorn, 'over TLS'));

  const radioSensor = async (born: BornDevice, log: Log) => {
    const running = await startNonIpSensor({
      ...filesOf(born),
      modem: { host, port: air.sensorPort },
      maximumFrameBytes: 51,
      options: { retransmission: retry, transmissions: 4, rest: retry, confirmEvery: 1 },
      ...(born === secondBorn ? { enrolment: enrolmentTo(log) } : {}),
      onEvent: (event) =>
        log.add(event.kind === 'session' ? `session ${event.handshakeBytes.join()}` : event.kind),
    });
    context.after(() => running.close());
    return running;
  };
  const firstLog = new Log();
  const secondLog = new Log();
  const first = await radioSensor(firstBorn, firstLog);
  let second = await radioSensor(secondBorn, secondLog);
  const readings = Array.from({ length: 5 }, (_, index) => `21.${index} degrees`);
  for (const reading of readings) {
    await Promise.all([first, second].map(({ sensor }) => sensor.submit(utf8(reading))));
  }
  for (const born of [firstBorn, secondBorn]) {
    for (const reading of readings) await application.until(heardFrom(born, reading));
  }
  await firstLog.until((line) => line === 'telemetry', 5);
  assert.equal(
    firstLog.count((line) => line === 'session 37,45,19'),
    1,
  );

  // What the gateway saw is opaque, and none of it is longer than the radio allows.
  const seen = frames.join(' ');
  assert.ok(frames.length >= 20);
  for (const reading of readings) assert.ok(!seen.includes(toHex(utf8(reading))));
  assert.ok(frames.every((frame) => frame.length <= 102));

  // A sensor that is switched off and on again goes on in its session.
  await secondLog.until((line) => line === 'telemetry', 5);
  // Its operational certificate came through the session, sixteen bytes at a time.
  await secondLog.until((line) => line === 'enrolment enrolled');
  await second.close();
  second = await radioSensor(secondBorn, secondLog);
  await second.sensor.submit(utf8('back again'));
  await application.until(heardFrom(secondBorn, 'back again'));
  assert.equal(
    secondLog.count((line) => line.startsWith('session')),
    1,
  );

  for (const { deviceId } of [ipBorn, firstBorn]) {
    const path = `/api/v1/devices/${deviceId}/revoke`;
    const body = JSON.stringify({ reason: 'lost' });
    const answer = await it.request('api', ada, {
      path,
      method: 'POST',
      type: 'application/json',
      body,
    });
    assert.equal(answer.status, 200, answer.body.toString());
  }
  await ipLog.until((line) => line === 'offline');
  const heard = application.lines.length;
  await ipSensor.device.submit(utf8('revoked'));
  await first.sensor.submit(utf8('revoked'));
  await firstLog.until((line) => line === 'resting', 2);
  await second.sensor.submit(utf8('still here'));
  await application.until(heardFrom(secondBorn, 'still here'));
  assert.ok(!application.lines.slice(heard).some((line) => line.endsWith('revoked')));
  assert.equal(ipLog.lines.at(-1), 'offline');

  // Neither keys nor readings are anywhere in what the devices wrote.
  const written = readdirSync(elements).map((name) => readFileSync(join(elements, name), 'latin1'));
  for (const reading of readings) assert.ok(!written.some((text) => text.includes(reading)));
  assert.ok(!written.some((text) => text.includes('PRIVATE KEY')));
  assert.deepEqual(it.troubles, []);
});
