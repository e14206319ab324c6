/** The broker: names and rights come from the certificate, and a refusal is never a CONNACK 0. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { MqttClient } from 'mqtt';
import { closed, mqttDoor, nextMessage } from '../../support/mqttDoor.ts';
import { enter, pki } from '../../support/peers.ts';
import { deviceIdOf, importedDevice } from '../../support/registrySamples.ts';

const [one, two, gateway] = [1, 2, 3].map(deviceIdOf);
assert.ok(one !== undefined && two !== undefined && gateway !== undefined);
const identities = {
  one: pki.ldevid(one),
  two: pki.ldevid(two),
  gateway: pki.ldevid(gateway),
  app: pki.application('dashboard'),
  other: pki.application('billing'),
};

async function setUp(context: TestContext, options: Parameters<typeof mqttDoor>[1] = {}) {
  const it = await mqttDoor(context, options);
  await it.store.importDevices(
    [1, 2, 3].map((n) => importedDevice(n)),
    1,
  );
  for (const [identity, holder] of [
    [identities.one, one],
    [identities.two, two],
    [identities.gateway, gateway],
  ] as const) {
    await enter(it.store, identity, 'ldevid', holder ?? '');
  }
  await enter(it.store, identities.app, 'application', 'dashboard');
  await enter(it.store, identities.other, 'application', 'billing');
  it.roles.set(gateway ?? '', 'gateway');
  return it;
}

const topic = (deviceId: string | undefined, kind: string): string => `devices/${deviceId}/${kind}`;

/** Publishes and waits until the server has either taken it or closed the connection. */
async function publish(client: MqttClient, name: string, payload: string | Buffer, options = {}) {
  const outcome = await Promise.race([
    client.publishAsync(name, payload, { qos: 1, ...options }).then(
      () => 'taken' as const,
      () => 'closed' as const,
    ),
    closed(client).then(() => 'closed' as const),
  ]);
  return outcome;
}

test('telemetry is taken, acknowledged and handed to applications', async (context) => {
  const it = await setUp(context);
  const app = await it.connect(identities.app);
  await app.subscribeAsync('devices/+/telemetry', { qos: 1 });
  const message = nextMessage(app);
  const device = await it.connect(identities.one);
  assert.equal(await publish(device, topic(one, 'telemetry'), '21.5'), 'taken');
  assert.equal(await message, `${topic(one, 'telemetry')} 21.5`);
  assert.deepEqual(it.telemetry, [{ from: one, payload: '21.5' }]);
});

test('what the server cannot keep it does not acknowledge', async (context) => {
  const it = await setUp(context);
  it.failing.telemetry = true;
  const device = await it.connect(identities.one);
  assert.equal(await publish(device, topic(one, 'telemetry'), '21.5'), 'closed');
  assert.deepEqual(it.refusals, ['not-taken']);
});

test('commands reach the device they are for', async (context) => {
  const it = await setUp(context);
  const device = await it.connect(identities.one);
  await device.subscribeAsync(topic(one, 'commands'), { qos: 1 });
  const message = nextMessage(device);
  const app = await it.connect(identities.app);
  assert.equal(await publish(app, topic(one, 'commands'), 'on'), 'taken');
  assert.equal(await message, `${topic(one, 'commands')} on`);
});

test('frames of a gateway go to the server, and the server sends down', async (context) => {
  const it = await setUp(context);
  const client = await it.connect(identities.gateway);
  assert.equal(await publish(client, `gateways/${gateway}/up`, 'frame'), 'taken');
  assert.deepEqual(it.frames, [{ from: gateway, payload: 'frame' }]);
  await client.subscribeAsync(`gateways/${gateway}/down`);
  const message = nextMessage(client);
  assert.equal(await it.broker.sendDown(gateway ?? '', new TextEncoder().encode('back')), true);
  assert.equal(await message, `gateways/${gateway}/down back`);
  assert.equal(await it.broker.sendDown(one ?? '', new Uint8Array(1)), false);
});

const forbiddenPublications: ReadonlyArray<readonly [keyof typeof identities, string, string]> = [
  ['one', topic(two, 'telemetry'), "another device's telemetry"],
  ['one', topic(one, 'commands'), 'its own commands'],
  ['one', `gateways/${one}/up`, 'frames, not being a gateway'],
  ['gateway', `gateways/${one}/up`, "another gateway's frames"],
  ['gateway', `gateways/${gateway}/down`, 'down frames'],
  ['one', '$SYS/x', 'below $SYS'],
  ['one', 'anything', 'elsewhere'],
  ['app', topic(one, 'telemetry'), 'telemetry'],
  ['app', `gateways/${gateway}/down`, 'down frames'],
];
for (const [who, name, words] of forbiddenPublications) {
  test(`${who} may not publish ${words}`, async (context) => {
    const it = await setUp(context);
    const client = await it.connect(identities[who]);
    assert.equal(await publish(client, name, 'x'), 'closed');
    assert.deepEqual(it.refusals, ['topic-forbidden']);
    assert.deepEqual([it.telemetry, it.frames], [[], []]);
  });
}

const forbiddenFilters: ReadonlyArray<readonly [keyof typeof identities, string]> = [
  ['one', topic(two, 'commands')],
  ['one', topic(one, 'telemetry')],
  ['one', 'devices/+/telemetry'],
  ['one', '#'],
  ['one', `gateways/${one}/down`],
  ['gateway', `gateways/${one}/down`],
  ['gateway', `gateways/${gateway}/up`],
  ['app', '$SYS/#'],
  ['app', '#'],
  ['app', 'devices/#'],
  ['app', 'devices/+/+'],
  ['app', 'devices/+/commands'],
  ['app', `gateways/${gateway}/up`],
];
for (const [who, filter] of forbiddenFilters) {
  test(`${who} may not subscribe to ${filter}`, async (context) => {
    const it = await setUp(context);
    const client = await it.connect(identities[who]);
    const granted = await client.subscribeAsync(filter).catch((error: Error) => error);
    const refused = granted instanceof Error || granted.every(({ qos }) => qos === 128);
    assert.ok(refused);
    assert.deepEqual(it.refusals, ['filter-forbidden']);
  });
}

test('a forbidden filter beside a good one is not smuggled into a remembered session', async (context) => {
  const it = await setUp(context);
  const options = { clean: false, clientId: 'x' };
  const device = await it.connect(identities.one, options);
  await device
    .subscribeAsync({ [topic(one, 'commands')]: { qos: 1 }, [topic(two, 'commands')]: { qos: 1 } })
    .catch(() => {});
  await device.endAsync();
  await it.broker.publishCommand(two ?? '', Buffer.from('secret'));
  await it.broker.publishCommand(one ?? '', Buffer.from('mine'));
  const again = it.dial(identities.one, options);
  assert.equal(await nextMessage(again), `${topic(one, 'commands')} mine`);
});

test('a client id of somebody else neither takes over nor gives a name', async (context) => {
  const it = await setUp(context);
  const victim = await it.connect(identities.one, { clientId: one ?? '' });
  const thief = await it.connect(identities.two, { clientId: one ?? '' });
  const app = await it.connect(identities.app, { clientId: one ?? '' });
  assert.equal(await publish(victim, topic(one, 'telemetry'), 'still here'), 'taken');
  assert.equal(await publish(thief, topic(two, 'telemetry'), 'as two'), 'taken');
  assert.ok(app.connected);
  assert.deepEqual(
    it.telemetry.map(({ from }) => from),
    [one, two],
  );
});

test('the same identity takes over its own connection', async (context) => {
  const it = await setUp(context);
  const first = await it.connect(identities.one, { clientId: 'a' });
  const gone = closed(first);
  const second = await it.connect(identities.one, { clientId: 'b' });
  await gone;
  assert.equal(await publish(second, topic(one, 'telemetry'), 'x'), 'taken');
});

test('applications keep their client ids apart, each below its own name', async (context) => {
  const it = await setUp(context);
  const mine = await it.connect(identities.app, { clientId: 'a' });
  const also = await it.connect(identities.app, { clientId: 'b' });
  const theirs = await it.connect(identities.other, { clientId: 'a' });
  await Promise.all([mine, also, theirs].map((app) => app.subscribeAsync('devices/+/telemetry')));
  const gone = closed(mine);
  await it.connect(identities.app, { clientId: 'a' });
  await gone;
  assert.ok(also.connected && theirs.connected);
});

test('a will is published under the rights of its client', async (context) => {
  const it = await setUp(context);
  const app = await it.connect(identities.app);
  await app.subscribeAsync('devices/+/telemetry');
  const message = nextMessage(app);
  const will = { topic: topic(one, 'telemetry'), payload: Buffer.from('gone'), qos: 1 as const };
  const device = await it.connect(identities.one, { will });
  device.stream.destroy();
  assert.equal(await message, `${topic(one, 'telemetry')} gone`);
});

test('a will on a foreign topic, retained or of QoS 2 is refused at CONNECT', async (context) => {
  const it = await setUp(context);
  const wills = [
    { topic: topic(two, 'telemetry'), payload: Buffer.from('x') },
    { topic: topic(one, 'telemetry'), payload: Buffer.from('x'), retain: true },
    { topic: topic(one, 'telemetry'), payload: Buffer.from('x'), qos: 2 as const },
  ];
  for (const will of wills) {
    await assert.rejects(it.connect(identities.one, { will }), /Not authorized/);
  }
  assert.deepEqual(it.refusals, ['will-forbidden', 'will-forbidden', 'will-forbidden']);
});

test('retained messages, QoS 2 and large payloads are refused', async (context) => {
  const it = await setUp(context, { limits: { payloadBytes: 100 } });
  const attempts = [
    { payload: 'x', options: { retain: true }, code: 'retain-forbidden' },
    { payload: 'x', options: { qos: 2 }, code: 'qos-2-not-offered' },
    { payload: 'x'.repeat(101), options: {}, code: 'payload-too-large' },
  ];
  for (const { payload, options, code } of attempts) {
    const device = await it.connect(identities.one);
    assert.equal(await publish(device, topic(one, 'telemetry'), payload, options), 'closed');
    assert.equal(it.refusals.at(-1), code);
  }
  assert.deepEqual(it.telemetry, []);
});

test('a packet beyond the limit is cut off at its head', async (context) => {
  const it = await setUp(context, { limits: { packetBytes: 1000 } });
  const device = await it.connect(identities.one);
  assert.equal(await publish(device, topic(one, 'telemetry'), Buffer.alloc(2000)), 'closed');
  assert.deepEqual(it.refusals, ['packet-too-large']);
});

test('MQTT 5 is answered with an error', async (context) => {
  const it = await setUp(context);
  await assert.rejects(it.connect(identities.one, { protocolVersion: 5 }));
});

test('an IDevID and a station have no business here', async (context) => {
  const it = await setUp(context);
  const idevid = pki.idevid(one ?? '');
  const station = pki.station('line 1');
  await enter(it.store, idevid, 'idevid', one ?? '');
  await enter(it.store, station, 'station', 'line 1');
  await assert.rejects(it.connect(idevid));
  await assert.rejects(it.connect(station));
});

test('a dropped holder loses connection, will and queue at once', async (context) => {
  const it = await setUp(context);
  const app = await it.connect(identities.app, { clientId: 'watcher' });
  await app.subscribeAsync('devices/+/telemetry', { qos: 1 });
  const will = { topic: topic(one, 'telemetry'), payload: Buffer.from('gone'), qos: 1 as const };
  const device = await it.connect(identities.one, { will, clean: false, clientId: 'd' });
  await device.subscribeAsync(topic(one, 'commands'), { qos: 1 });
  const bystander = await it.connect(identities.two);
  const holders = new Set([one ?? '']);
  const gone = closed(device);
  const [tls, mqtt] = await Promise.all([it.live.drop(holders), it.broker.drop(holders)]);
  await gone;
  assert.deepEqual([tls, mqtt], [1, 1]);
  assert.equal(it.live.countOf(one ?? ''), 0);
  await it.broker.publishCommand(one ?? '', Buffer.from('too late'));
  // The will would have come before this message.
  const message = nextMessage(app);
  assert.equal(await publish(bystander, topic(two, 'telemetry'), 'alive'), 'taken');
  assert.equal(await message, `${topic(two, 'telemetry')} alive`);
  assert.deepEqual(
    it.telemetry.map(({ payload }) => payload),
    ['alive'],
  );
});

test('subscriptions and remembered sessions are bounded', async (context) => {
  const it = await setUp(context, { limits: { subscriptions: 2, sessions: 2 } });
  const app = await it.connect(identities.app, { clean: false, clientId: 'a' });
  const filters = [1, 2, 3].map((n) => topic(deviceIdOf(n), 'telemetry'));
  for (const filter of filters.slice(0, 2)) await app.subscribeAsync(filter, { qos: 1 });
  await app.subscribeAsync(filters[2] ?? '', { qos: 1 }).catch(() => {});
  assert.deepEqual(it.refusals, ['too-many-subscriptions']);
  const second = await it.connect(identities.app, { clean: false, clientId: 'b' });
  await second.subscribeAsync(filters[0] ?? '', { qos: 1 });
  await assert.rejects(it.connect(identities.app, { clean: false, clientId: 'c' }));
  await it.connect(identities.app, { clean: true, clientId: 'c' });
});
