import assert from 'node:assert/strict';
import { test } from 'node:test';
import { extendAnchors } from '../../../src/device/enrolment/anchors.ts';
import { encodeAnchors } from '../../../src/wire/line/slotData.ts';
import { parseConfiguration } from '../../../src/device/enrolment/configuration.ts';
import {
  IpDevice,
  type IpDeviceEvent,
  type IpDeviceOptions,
} from '../../../src/device/enrolment/ipDevice.ts';
import { readAnchors } from '../../../src/device/enrolment/steps.ts';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import type {
  DeviceServer,
  ServerAnswer,
  UplinkEvents,
  UplinkTarget,
} from '../../../src/device/ports/server.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { VirtualTime } from '../../../sim/radio/virtualTime.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { encodeCertsOnly } from '../../../src/wire/est/certsOnly.ts';
import { parseCertificationRequest } from '../../../src/wire/x509/certificationRequest.ts';
import { p256Spki } from '../../../src/wire/x509/spki.ts';
import { MemoryDeviceStore, PowerCut } from '../../support/memoryDeviceStore.ts';
import { memoryElement, type MemoryElement } from '../../support/memoryElement.ts';
import {
  type Changes,
  forged,
  ldevidFields,
  testKey,
  testNowMs,
  testPki,
  testRoot,
  type TestPki,
} from '../../support/pki.ts';

const deviceId = 'abcdefgh01234567';
const answer = (body: Uint8Array): ServerAnswer => ({ kind: 'answer', body });

class World {
  readonly time = new VirtualTime();
  readonly pki: TestPki = testPki();
  readonly store = new MemoryDeviceStore();
  readonly element: MemoryElement;
  readonly events: IpDeviceEvent[] = [];
  readonly calls: string[] = [];
  readonly published: string[] = [];
  readonly answers = new Map<keyof DeviceServer, ServerAnswer | Error>();
  configuration: object = {
    deviceId,
    role: 'sensor',
    mqtt: { host: 'broker.example', port: 8883 },
    timeMs: testNowMs,
  };
  connections: Array<{ target: UplinkTarget; events: UplinkEvents }> = [];
  reachable = true;
  beforeAnswer: () => Promise<void> = () => Promise.resolve();

  constructor() {
    this.element = memoryElement({
      'device-id': utf8(deviceId),
      anchors: encodeAnchors([this.pki.server.certificate.der]),
    });
    const { privateKey, publicKey } = this.element.keys.sign;
    const key = { ...testKey(), privateKey, spki: p256Spki(publicKey) };
    this.element.certificates.set('idevid', this.pki.idevid(deviceId, { key }).chain);
  }

  issue(changes: Changes = {}, id = deviceId): Uint8Array {
    const spki = p256Spki(this.element.keys.sign.publicKey);
    return this.pki.operational.issue(ldevidFields(id), { spki, ...changes }).certificate.der;
  }

  start(options: Partial<IpDeviceOptions> = {}): Promise<IpDevice> {
    const { element, store, time } = this;
    return IpDevice.start(
      {
        element,
        store,
        timer: time,
        crypto: nodeCrypto,
        clock: { nowMs: () => testNowMs },
        server: this.#server(),
        uplink: {
          connect: (target, events) => {
            this.connections.push({ target, events });
            return {
              publish: async (channel, payload) => {
                if (!this.reachable) throw new DeviceFault('offline', { retryable: true });
                this.published.push(`${channel} ${Buffer.from(payload).toString()}`);
              },
              close: async () => undefined,
            };
          },
        },
      },
      (event) => this.events.push(event),
      { retry: { firstMs: 1_000, longestMs: 60_000 }, ...options },
    );
  }

  /** What an event loop does between the steps of virtual time. */
  async settle(): Promise<void> {
    for (let count = 0; count < 200; count++) await Promise.resolve();
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }

  #server(): DeviceServer {
    const { root, operational } = this.pki;
    const call = async (
      name: keyof DeviceServer,
      credential: string,
      good: () => ServerAnswer,
    ): Promise<ServerAnswer> => {
      this.calls.push(`${name} ${credential}`);
      await this.beforeAnswer();
      const other = this.answers.get(name);
      if (other instanceof Error) throw other;
      return other ?? good();
    };
    return {
      caCertificates: (credential) =>
        call('caCertificates', credential, () =>
          answer(encodeCertsOnly([root.certificate.der, operational.certificate.der])),
        ),
      simpleEnroll: (credential, request) =>
        call('simpleEnroll', credential, () => {
          const { publicKey } = parseCertificationRequest(request);
          assert.deepEqual(publicKey.spki, p256Spki(this.element.keys.sign.publicKey));
          return answer(encodeCertsOnly([this.issue()]));
        }),
      configuration: () =>
        call('configuration', 'ldevid', () => answer(utf8(JSON.stringify(this.configuration)))),
      telemetry: (payload) =>
        call('telemetry', 'ldevid', () => {
          this.published.push(`https ${Buffer.from(payload).toString()}`);
          return answer(new Uint8Array(0));
        }),
    };
  }
}

test('first power-on with nothing but the element: enrolled, configured, connected, telemetry', async () => {
  const world = new World();
  const device = await world.start();
  await device.submit(utf8('early'));
  await world.settle();
  assert.deepEqual(world.calls, [
    'caCertificates idevid',
    'simpleEnroll idevid',
    'configuration ldevid',
  ]);
  const chain = world.element.certificates.get('ldevid');
  assert.equal(chain?.length, 2);
  assert.deepEqual(chain?.[1], world.pki.operational.certificate.der);
  const [connection] = world.connections;
  assert.deepEqual(connection?.target, {
    host: 'broker.example',
    port: 8883,
    deviceId,
    channels: ['commands'],
  });
  connection?.events.onState('online');
  await device.submit(utf8('late'));
  assert.deepEqual(world.published, ['telemetry early', 'telemetry late']);
  assert.deepEqual(world.kinds(), ['enrolled', 'configured', 'online', 'telemetry', 'telemetry']);
  await connection?.events.onMessage('commands', utf8('do'));
  assert.equal(world.events.at(-1)?.kind, 'message');
  await device.stop();
});

test('a gateway also listens for frames to send down, and hands envelopes up past its queue', async () => {
  const world = new World();
  world.configuration = { deviceId, role: 'gateway', mqtt: { host: 'b', port: 1 } };
  const device = await world.start();
  await assert.rejects(device.publish('up', utf8('x')), DeviceFault);
  await world.settle();
  assert.deepEqual(world.connections[0]?.target.channels, ['commands', 'down']);
  await device.publish('up', utf8('frame'));
  assert.deepEqual(world.published, ['up frame']);
});

test('a second start enrols no more; the stored configuration serves while the server is away', async () => {
  const world = new World();
  const first = await world.start();
  await world.settle();
  await first.stop();
  world.calls.length = 0;
  world.answers.set('configuration', new DeviceFault('no route', { retryable: true }));
  const second = await world.start();
  await world.settle();
  assert.deepEqual(world.calls, ['configuration ldevid']);
  assert.equal(world.connections.length, 2);
  await second.stop();
});

test('a loss of power at any write resumes where it stands', async () => {
  for (const moment of ['before', 'after'] as const) {
    const world = new World();
    world.store.onCommit = (when) => {
      if (when === moment) throw new PowerCut();
    };
    await world.start();
    await world.settle();
    assert.equal(world.events.at(-1)?.kind, 'failed');
    world.store.onCommit = () => undefined;
    await world.start();
    await world.settle();
    assert.equal(world.connections.length, 1);
    assert.equal(world.calls.filter((call) => call.startsWith('simpleEnroll')).length, 1);
  }
});

test('an element, a network or a server that fails is tried again, with growing pauses', async () => {
  const world = new World();
  world.answers.set('caCertificates', new DeviceFault('no route', { retryable: true }));
  await world.start();
  await world.settle();
  for (let count = 0; count < 5; count++) {
    await world.time.step();
    await world.settle();
  }
  const pauses = world.events.flatMap((event) => (event.kind === 'waiting' ? [event.pauseMs] : []));
  assert.equal(pauses.length, 6);
  for (const [index, pauseMs] of pauses.entries()) {
    const least = 1_000 * 2 ** index;
    assert.ok(pauseMs >= least && pauseMs <= least * 1.5, `${pauseMs}`);
  }
  world.answers.clear();
  world.element.failures = 1;
  await world.time.step();
  await world.settle();
  assert.deepEqual(
    world.kinds().filter((kind) => kind !== 'waiting'),
    [],
  );
  await world.time.step();
  await world.settle();
  assert.deepEqual(world.kinds().slice(-2), ['enrolled', 'configured']);
});

test('switched off in the middle of a step, nothing is left: no timer, no connection', async () => {
  const waiting = new World();
  const answered = Promise.withResolvers<void>();
  waiting.answers.set('configuration', new DeviceFault('away', { retryable: true }));
  waiting.beforeAnswer = () => answered.promise;
  const device = await waiting.start();
  await waiting.settle();
  const stopped = device.stop();
  answered.resolve();
  await stopped;
  assert.equal(await waiting.time.step(), false);
});

test('the server may ask for patience', async () => {
  const world = new World();
  world.answers.set('simpleEnroll', { kind: 'later', retryAfterMs: 3_600_000 });
  await world.start();
  await world.settle();
  const [waiting] = world.events;
  assert.ok(waiting?.kind === 'waiting' && waiting.pauseMs === 3_600_000);
});

test('a refused device goes on asking and never connects', async () => {
  const world = new World();
  world.answers.set('simpleEnroll', { kind: 'refused', status: 403 });
  await world.start();
  await world.settle();
  for (let count = 0; count < 3; count++) {
    await world.time.step();
    await world.settle();
  }
  assert.deepEqual(new Set(world.kinds()), new Set(['waiting']));
  assert.equal(world.connections.length, 0);
});

const unacceptable: ReadonlyArray<readonly [string, (world: World) => ServerAnswer]> = [
  ['malformed', () => answer(utf8('no CMS'))],
  ['unreadable', () => answer(encodeCertsOnly([]))],
  ['another-key', (world) => answer(encodeCertsOnly([world.pki.ldevid(deviceId).certificate.der]))],
  ['another-device', (world) => answer(encodeCertsOnly([world.issue({}, '0000000000000000')]))],
  [
    'not-in-force',
    (world) => answer(encodeCertsOnly([world.issue({ notAfterMs: testNowMs - 1000 })])),
  ],
  [
    'an-authority',
    (world) => {
      const { extensions } = world.pki.operational.certificate;
      return answer(encodeCertsOnly([world.issue({ extensions })]));
    },
  ],
  [
    'no-chain',
    (world) => {
      const spki = p256Spki(world.element.keys.sign.publicKey);
      const stranger = testPki().operational.issue(ldevidFields(deviceId), { spki });
      return answer(encodeCertsOnly([stranger.certificate.der]));
    },
  ],
  [
    'no-chain',
    (world) => {
      const spki = p256Spki(world.element.keys.sign.publicKey);
      const issued = world.pki.operational.issue(ldevidFields(deviceId), { spki });
      return answer(encodeCertsOnly([forged(issued).certificate.der]));
    },
  ],
];

for (const [fault, make] of unacceptable) {
  test(`an LDevID that is not ours is not written: ${fault}`, async () => {
    const world = new World();
    world.answers.set('simpleEnroll', make(world));
    await world.start();
    await world.settle();
    const [event] = world.events;
    assert.ok(event?.kind === 'waiting' && event.reason.endsWith(fault), JSON.stringify(event));
    assert.equal(world.element.certificates.get('ldevid'), undefined);
  });
}

test('cacerts widens trust by what a present anchor has signed, and by nothing else', async () => {
  const pki = testPki();
  const present = [pki.server.certificate.der];
  const next = pki.server.issueAuthority('Next Server');
  const afterNext = next.issueAuthority('After Next');
  const sister = pki.root.issueAuthority('Sister');
  const stranger = testRoot('Test Server');
  const leaf = pki.serverIdentity();
  const offered = [sister, stranger, pki.root, leaf, forged(next), next, afterNext].map(
    ({ certificate }) => certificate.der,
  );
  assert.deepEqual(extendAnchors(nodeCrypto, present, [...offered, utf8('?')]), [
    ...present,
    next.certificate.der,
    afterNext.certificate.der,
  ]);

  const world = new World();
  const newer = world.pki.server.issueAuthority('Newer').certificate.der;
  const { root, operational } = world.pki;
  const all = [newer, root.certificate.der, operational.certificate.der];
  world.answers.set('caCertificates', answer(encodeCertsOnly(all)));
  await world.start();
  await world.settle();
  assert.deepEqual(await readAnchors(world.element, world.store), [
    world.pki.server.certificate.der,
    newer,
  ]);
});

test('telemetry over HTTPS, where no broker is wanted', async () => {
  const world = new World();
  const device = await world.start({ telemetryBy: 'https' });
  await world.settle();
  world.answers.set('telemetry', { kind: 'later', retryAfterMs: 60_000 });
  await device.submit(utf8('one'));
  assert.deepEqual(world.published, []);
  world.answers.clear();
  await world.time.step();
  await world.settle();
  assert.deepEqual(world.published, ['https one']);
  assert.equal(world.connections.length, 0);
});

test('what cannot be published waits; beyond the limit the oldest is dropped', async () => {
  const world = new World();
  const device = await world.start({ maximumQueued: 3 });
  await world.settle();
  world.reachable = false;
  world.connections[0]?.events.onState('online');
  for (const text of ['1', '2', '3', '4', '5']) await device.submit(utf8(text));
  assert.deepEqual(world.published, []);
  world.reachable = true;
  world.connections[0]?.events.onState('online');
  await world.settle();
  assert.deepEqual(world.published, ['telemetry 3', 'telemetry 4', 'telemetry 5']);
  assert.equal(world.kinds().filter((kind) => kind === 'telemetry-dropped').length, 2);
});

test('an element that was not personalized is refused at the start', async () => {
  const world = new World();
  world.element.certificates.delete('idevid');
  await assert.rejects(world.start(), /no IDevID/);
});

test('an LDevID in the slot that belongs to another key is as good as none', async () => {
  const world = new World();
  world.element.certificates.set('ldevid', world.pki.ldevid(deviceId).chain);
  await world.start();
  await world.settle();
  assert.equal(world.calls[0], 'caCertificates idevid');
});

test('only a whole configuration for this device is one', () => {
  const good = { deviceId, role: 'sensor', mqtt: { host: '127.0.0.1', port: 8883 } };
  const parse = (value: unknown): unknown =>
    parseConfiguration(utf8(JSON.stringify(value)), deviceId);
  assert.deepEqual(parse({ ...good, later: true }), { role: 'sensor', mqtt: good.mqtt });
  for (const bad of [
    null,
    [],
    'text',
    {},
    { ...good, deviceId: 'another' },
    { ...good, role: 'admin' },
    { ...good, mqtt: undefined },
    { ...good, mqtt: { host: 'a b', port: 1 } },
    { ...good, mqtt: { host: '', port: 1 } },
    { ...good, mqtt: { host: 'a', port: 0 } },
    { ...good, mqtt: { host: 'a', port: 1.5 } },
    { ...good, mqtt: { host: 'a', port: '1' } },
  ]) {
    assert.equal(parse(bad), undefined, JSON.stringify(bad));
  }
  assert.equal(parseConfiguration(Uint8Array.of(0xff), deviceId), undefined);
  assert.equal(parseConfiguration(utf8('{'), deviceId), undefined);
});
