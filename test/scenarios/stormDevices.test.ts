/** Devices that all come back at once, with real handshakes, and one of them that is revoked meanwhile. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect, createSecureContext, type TLSSocket } from 'node:tls';
import { openHttpDoor } from '../../src/servers/http/httpDoor.ts';
import { TlsDoor } from '../../src/servers/tls/door.ts';
import { LiveIndex } from '../../src/servers/tls/liveIndex.ts';
import { Revocation } from '../../src/trust/revocation/revocation.ts';
import { MemoryRegistryStore } from '../support/memoryRegistryStore.ts';
import { enter, pki, verifierOf } from '../support/peers.ts';
import { deviceIdOf, importedDevice } from '../support/registrySamples.ts';
import { until } from '../support/statusHouse.ts';

const numbers = Array.from({ length: 41 }, (_, index) => index + 1);
const devices = numbers.map((number) => pki.ldevid(deviceIdOf(number)));
const contexts = devices.map(({ privateKeyPem: key, chainPem: cert }) =>
  createSecureContext({ key, cert, ca: pki.root.pem }),
);
const victim = 41;
const app = pki.application('dashboard');
/** Of forty devices, from ten addresses; each comes again until the revocation is done. */
const comers = 300;
const limits = { handshakes: 16, handshakesPerAddress: 4 };

type Told = 'in' | 'revoked';

async function setUp(context: TestContext) {
  const store = new MemoryRegistryStore();
  await store.importDevices(
    numbers.map((number) => importedDevice(number)),
    1,
  );
  await enter(store, app, 'application', 'dashboard');
  for (const [index, identity] of devices.entries()) {
    await enter(store, identity, 'ldevid', deviceIdOf(index + 1));
  }
  const live = new LiveIndex();
  const clock = { nowMs: () => 1 };
  const monotonicMs = (): number => performance.now();
  const revocation = new Revocation({ store, clock, monotonicMs, live: [live] });
  const gate = { opened: Promise.resolve() };
  const events: Told[] = [];
  const inFlight: number[] = [];
  const refusals: string[] = [];
  const http = await openHttpDoor({
    onRefusal: (code) => refusals.push(code),
    routes: (routes) => {
      routes.post('/revoke', async () => {
        const report = await revocation.revokeDevices([deviceIdOf(victim)], 'lost');
        events.push('revoked');
        return { report, waiting: door.pressure.waiting };
      });
    },
  });
  const shared = { identity: pki.serverIdentity(), live };
  const judge = verifierOf(store, [{ authority: pki.operational, kinds: ['ldevid'] }]);
  const door = new TlsDoor({
    ...shared,
    name: 'device',
    anchorsPem: [pki.operational.pem],
    verify: async (chain) => {
      await gate.opened;
      inFlight.push(door.pressure.handshakes);
      return judge(chain);
    },
    accept: ({ socket }) => {
      events.push('in');
      socket.on('error', () => {});
      socket.write('in');
    },
    onRefusal: (code) => refusals.push(code),
    limits,
  });
  const api = new TlsDoor({
    ...shared,
    name: 'api',
    anchorsPem: [pki.server.pem],
    alpn: ['http/1.1'],
    verify: verifierOf(store, [{ authority: pki.server, kinds: ['application'] }]),
    accept: (connection) => http.accept(connection),
    onRefusal: (code) => refusals.push(code),
  });
  const ports = {
    device: await door.listen(0, '127.0.0.1'),
    api: await api.listen(0, '127.0.0.1'),
  };
  context.after(async () => {
    await Promise.all([door.close(), api.close()]);
    await http.close();
  });
  return { door, gate, ports, events, inFlight, refusals };
}

/** Admitted, and told so: the handshake of the client alone proves nothing. */
async function come(port: number, number: number): Promise<TLSSocket> {
  const secureContext = contexts[number - 1];
  const localAddress = `127.0.2.${1 + (number % 10)}`;
  const tcp = connectTcp({ port, host: '127.0.0.1', localAddress });
  const socket = connect({
    socket: tcp,
    ...(secureContext === undefined ? {} : { secureContext }),
  });
  await once(socket, 'data');
  socket.on('error', () => {});
  return socket;
}

function revoke(port: number): Promise<{ readonly waiting: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ readonly waiting: number }>();
  const request = httpsRequest(
    {
      host: '127.0.0.1',
      port,
      path: '/revoke',
      method: 'POST',
      agent: false,
      ca: pki.root.pem,
      key: app.privateKeyPem,
      cert: app.chainPem,
    },
    (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString()));
      response.on('end', () => resolve(JSON.parse(text) as { readonly waiting: number }));
    },
  );
  request.on('error', reject);
  request.end();
  return promise;
}

test('devices come back in turns, and one is revoked before all of them had theirs', async (context) => {
  const { door, gate, ports, events, inFlight, refusals } = await setUp(context);
  const lost = await come(ports.device, victim);
  const ended = once(lost, 'close');
  events.length = 0;
  // Nobody is let in until everybody stands there.
  const { promise, resolve: open } = Promise.withResolvers<void>();
  gate.opened = promise;
  const returning = async (number: number): Promise<void> => {
    do {
      const socket = await come(ports.device, number);
      socket.destroy();
    } while (!events.includes('revoked'));
  };
  const all = Array.from({ length: comers }, (_, index) => returning(1 + (index % 40)));
  await until(async () => door.pressure.waiting === comers - limits.handshakes);
  assert.equal(door.pressure.handshakes, limits.handshakes);
  open();
  const { waiting } = await revoke(ports.api);
  await ended;
  // They were coming all the while, and had not even had a turn each.
  assert.ok(waiting > 0, `${waiting} waiting`);
  const before = events.indexOf('revoked');
  assert.ok(before > 0 && before < comers, `${before} let in before`);
  await Promise.all(all);
  assert.ok(events.length - 1 >= comers);
  // Full, and never beyond.
  assert.equal(Math.max(...inFlight), limits.handshakes);
  assert.deepEqual(refusals, []);
  assert.deepEqual(door.pressure, { handshakes: 0, waiting: 0 });
});
