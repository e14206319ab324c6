/** Every door of a running provisioner, and every certificate that must not open it. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { type DoorName, doorNames } from '../../src/apps/provisioner/doorTrust.ts';
import type { CertificateKind } from '../../src/trust/ports/registryStore.ts';
import { pki } from '../support/peers.ts';
import { forged, type TestIdentity, testPki, validFromMs } from '../support/pki.ts';
import { type Entry, testProvisioner, type TestProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const one = deviceIdOf(1);
const two = deviceIdOf(2);
const past = { notAfterMs: validFromMs + 1 };

type Kind = Exclude<CertificateKind, 'server'> | 'server';

const good: Readonly<Record<Kind, TestIdentity>> = {
  idevid: pki.idevid(one),
  ldevid: pki.ldevid(one),
  station: pki.station('line 1'),
  application: pki.application('dashboard'),
  operator: pki.operator('ada'),
  server: pki.serverIdentity(),
};
const holders: Readonly<Record<Kind, string>> = {
  idevid: one,
  ldevid: one,
  station: 'line 1',
  application: 'dashboard',
  operator: 'ada',
  server: 'this server',
};
const kinds = Object.keys(good) as Kind[];

const opens: Readonly<Record<DoorName, readonly Kind[]>> = {
  device: ['idevid', 'ldevid'],
  station: ['station'],
  api: ['application', 'operator'],
  mqtt: ['ldevid', 'application'],
};

/** Each registered as what it claims to be, so that the registry alone would let it in. */
function badOnes(kind: Kind): Readonly<Record<string, TestIdentity>> {
  const elsewhere = testPki();
  const make = {
    idevid: (from: typeof pki, changes = {}) => from.idevid(one, changes),
    ldevid: (from: typeof pki, changes = {}) => from.ldevid(one, changes),
    station: (from: typeof pki, changes = {}) => from.station('line 1', changes),
    application: (from: typeof pki, changes = {}) => from.application('dashboard', changes),
    operator: (from: typeof pki, changes = {}) => from.operator('ada', changes),
    server: (from: typeof pki, changes = {}) => from.serverIdentity(undefined, changes),
  }[kind];
  return {
    'of an unknown authority': make(elsewhere),
    forged: forged(make(pki)),
    'forged and expired': forged(make(pki, past)),
    expired: make(pki, past),
    'not valid yet': make(pki, { notBeforeMs: Date.UTC(2090, 0, 1) }),
  };
}

/** Whether the server stays on the line: the first byte of its own protocol is what it would say. */
async function isAdmitted(
  it: TestProvisioner,
  door: DoorName,
  identity: TestIdentity | undefined,
): Promise<boolean> {
  const socket = dial(it, door, identity);
  socket.write(door === 'mqtt' ? mqttConnect : 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n');
  const answer = await Promise.race([
    once(socket, 'data').then(([data]) => data as Buffer),
    once(socket, 'close').then(() => undefined),
  ]);
  socket.destroy();
  // A refused MQTT client may be told so in a CONNACK; what counts is that it is not a zero.
  return answer !== undefined && (door !== 'mqtt' || (answer[0] === 0x20 && answer[3] === 0));
}

/** CONNECT of MQTT 3.1.1 with a clean session and no client identifier. */
const mqttConnect = Buffer.from('100c00044d5154540402003c0000', 'hex');

function dial(
  it: TestProvisioner,
  door: DoorName,
  identity: TestIdentity | undefined,
  session?: Buffer,
): TLSSocket {
  const socket = connect({
    host: '127.0.0.1',
    port: it.ports[door],
    ca: pki.root.pem,
    ...(session === undefined ? {} : { session }),
    ...(identity === undefined ? {} : { key: identity.privateKeyPem, cert: identity.chainPem }),
  });
  socket.on('error', () => {});
  return socket;
}

function registered(): Entry[] {
  return kinds.map((kind) => ({ identity: good[kind], kind, holder: holders[kind] }));
}

test('each door opens to the kinds that belong there, and to no other', async (context) => {
  const it = await testProvisioner(context, { devices: [1], entries: registered() });
  for (const door of doorNames) {
    for (const kind of kinds) {
      const expected = opens[door].includes(kind);
      assert.equal(await isAdmitted(it, door, good[kind]), expected, `${kind} at ${door}`);
    }
    // Whoever shows no certificate may come to the API with a token, and gets nothing without one.
    assert.equal(await isAdmitted(it, door, undefined), door === 'api', `nobody at ${door}`);
  }
});

for (const door of doorNames) {
  test(`${door}: nothing forged, expired or foreign, even when the registry knows it`, async (context) => {
    const bad = opens[door].flatMap((kind) =>
      Object.entries(badOnes(kind)).map(([words, identity]) => ({ kind, words, identity })),
    );
    const entries = bad.map(({ kind, identity }) => ({ identity, kind, holder: holders[kind] }));
    const it = await testProvisioner(context, { devices: [1], entries });
    for (const { kind, words, identity } of bad) {
      assert.equal(await isAdmitted(it, door, identity), false, `${kind} ${words}`);
    }
  });

  test(`${door}: a good certificate that was never registered is refused`, async (context) => {
    const it = await testProvisioner(context, { devices: [1] });
    for (const kind of opens[door]) {
      assert.equal(await isAdmitted(it, door, good[kind]), false, kind);
    }
  });
}

test('the device certificate does not pass for the server', async (context) => {
  const it = await testProvisioner(context, { devices: [1], entries: registered() });
  const socket = connect({ port: it.ports.device, ca: [pki.factory.pem, pki.operational.pem] });
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
  assert.match(error.code ?? '', /UNABLE_TO_|SELF_SIGNED|ISSUER/);
});

async function revokeOverApi(it: TestProvisioner, deviceId: string): Promise<unknown> {
  const answer = await it.request('api', good.operator, {
    method: 'POST',
    path: `/api/v1/devices/${deviceId}/revoke`,
    type: 'application/json',
    body: '{"reason":"lost"}',
  });
  assert.equal(answer.status, 200, answer.body.toString());
  return JSON.parse(answer.body.toString());
}

async function sessionAt(it: TestProvisioner, door: DoorName, identity: TestIdentity) {
  const socket = dial(it, door, identity);
  const [session] = (await once(socket, 'session')) as [Buffer];
  return { socket, session };
}

async function setUpRevocation(context: TestContext) {
  const other = pki.ldevid(two);
  const it = await testProvisioner(context, {
    devices: [1, 2],
    entries: [...registered(), { identity: other, kind: 'ldevid', holder: two }],
  });
  return { it, other };
}

for (const door of ['device', 'mqtt'] as const) {
  test(`${door}: revocation ends what lives, and what comes back is refused`, async (context) => {
    const { it, other } = await setUpRevocation(context);
    const mine = await sessionAt(it, door, good.ldevid);
    const theirs = await sessionAt(it, door, other);
    const closed = once(mine.socket, 'close');
    const report = await revokeOverApi(it, one);
    await closed;
    assert.equal((report as { devices: Array<{ changed: boolean }> }).devices[0]?.changed, true);
    assert.equal(await isAdmitted(it, door, good.ldevid), false);
    assert.equal(await isAdmitted(it, 'device', good.idevid), false);
    const again = dial(it, door, good.ldevid, mine.session);
    await once(again, 'close');
    assert.equal(theirs.socket.destroyed, false);
    assert.equal(await isAdmitted(it, door, other), true);
  });
}

test('the authority is told of a revocation, at once or when it is back', async (context) => {
  const { it } = await setUpRevocation(context);
  it.authority.away = true;
  await revokeOverApi(it, one);
  assert.deepEqual(it.authority.told, []);
  it.authority.away = false;
  await revokeOverApi(it, two);
  await it.close();
  const told = it.authority.told.map(({ act, subject }) => [act, subject]);
  assert.deepEqual(told, [
    ['revoke-device', one],
    ['revoke-device', two],
  ]);
});
