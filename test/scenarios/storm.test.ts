/** Everybody comes at once: the doors of devices are full, and the API answers and revokes all the same. */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { doorLimits } from '../../src/servers/tls/door.ts';
import { pki } from '../support/peers.ts';
import { type HttpAnswer, testProvisioner, type TestProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';
import { until } from '../support/statusHouse.ts';

const one = deviceIdOf(1);
const device = pki.ldevid(one);
const app = pki.application('dashboard');
const entries = [
  { identity: device, kind: 'ldevid', holder: one },
  { identity: app, kind: 'application', holder: 'dashboard' },
] as const;

/** More than a door has places for handshakes, and from more addresses than one may have all of them. */
const comers = doorLimits.handshakes + 72;
const addresses = 8;

/** Connected, and silent: what a device is to the door until its ClientHello is there. */
function come(context: TestContext, port: number, number: number): Promise<Socket> {
  const localAddress = `127.0.1.${1 + (number % addresses)}`;
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  context.after(() => socket.destroy());
  socket.on('error', () => {});
  return new Promise((resolve) => socket.once('connect', () => resolve(socket)));
}

async function metric(it: TestProvisioner, name: string): Promise<number> {
  const { body } = await it.request('api', app, { path: '/metrics' });
  const [, value = ''] = new RegExp(`^${name} (\\d+)$`, 'm').exec(body.toString()) ?? [];
  return Number(value);
}

test('the API answers and a device is revoked while the doors of devices are full', async (context) => {
  const it = await testProvisioner(context, { devices: [1], entries });
  const sockets = await Promise.all(
    Array.from({ length: comers }, (_, number) => come(context, it.ports.device, number)),
  );
  // The request that asks is itself past its handshake.
  const beyond = comers - doorLimits.handshakes;
  await until(async () => (await metric(it, 'birthmark_handshakes_waiting')) === beyond);
  assert.equal(await metric(it, 'birthmark_handshakes'), doorLimits.handshakes);
  const path = `/api/v1/devices/${one}/revoke`;
  const revoked = await it.request('api', app, {
    method: 'POST',
    path,
    type: 'application/json',
    body: '{"reason":"lost"}',
  });
  assert.equal(revoked.status, 200, revoked.body.toString());
  // A device that waits gets its turn when others have gone, and is refused by what it finds then.
  const waiting: Promise<HttpAnswer> = it.request('device', device, { path: '/v1/configuration' });
  for (const socket of sockets) socket.destroy();
  assert.equal((await waiting).status, 0);
  await until(async () => (await metric(it, 'birthmark_handshakes')) === 0);
  assert.equal(await metric(it, 'birthmark_handshakes_waiting'), 0);
});
