/** The TLS door: every connection is judged, resumed or not, before the first application byte. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import type { Connection } from '../../../src/servers/tls/connection.ts';
import { type DoorLimits, TlsDoor, type VerifyPeer } from '../../../src/servers/tls/door.ts';
import { LiveIndex } from '../../../src/servers/tls/liveIndex.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { enter, pki, verifierOf } from '../../support/peers.ts';
import { forged, type TestIdentity, testPki, validFromMs } from '../../support/pki.ts';
import { deviceIdOf, importedDevice } from '../../support/registrySamples.ts';

const one = deviceIdOf(1);
const device = pki.ldevid(one);

interface Setting {
  readonly store: MemoryRegistryStore;
  readonly live: LiveIndex;
  readonly door: TlsDoor;
  readonly refusals: string[];
  readonly accepted: Connection[];
  readonly port: number;
  /** Resolves with what the server said, or with `closed` when it hung up without a word. */
  dial(identity: TestIdentity | undefined, options?: DialOptions): Promise<Dialled>;
}

type DialOptions = ConnectionOptions & { readonly localAddress?: string };

interface Dialled {
  readonly answer: string;
  readonly socket: TLSSocket;
  readonly session: Buffer | undefined;
  readonly resumed: boolean;
}

/** A door that greets whom it admits. */
async function setUp(
  context: TestContext,
  options: { limits?: Partial<DoorLimits>; verify?: (inner: VerifyPeer) => VerifyPeer } = {},
): Promise<Setting> {
  const store = new MemoryRegistryStore();
  await store.importDevices([importedDevice(1), importedDevice(2)], 1);
  const live = new LiveIndex();
  const refusals: string[] = [];
  const accepted: Connection[] = [];
  const anchors = [{ authority: pki.operational, kinds: ['ldevid'] }] as const;
  const verify = verifierOf(store, anchors);
  const door = new TlsDoor({
    name: 'test',
    identity: pki.serverIdentity(),
    anchorsPem: [pki.operational.pem],
    verify: options.verify?.(verify) ?? verify,
    live,
    accept: (connection) => {
      accepted.push(connection);
      connection.socket.write(`hello ${connection.peer.holder}`);
    },
    onRefusal: (code) => refusals.push(code),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const port = await door.listen(0, '127.0.0.1');
  context.after(() => door.close());
  const dial: Setting['dial'] = (identity, more = {}) =>
    new Promise((resolve) => {
      const socket = connect({
        host: '127.0.0.1',
        port,
        ca: pki.root.pem,
        ...(identity === undefined ? {} : { key: identity.privateKeyPem, cert: identity.chainPem }),
        ...more,
      });
      // A resumed session brings no new ticket.
      let session = more.session;
      let answer: string | undefined;
      let resumed = false;
      const settle = (): void => {
        if (answer !== undefined && session !== undefined)
          resolve({ answer, socket, session, resumed });
      };
      context.after(() => socket.destroy());
      socket.on('error', () => {});
      socket.once('close', () => resolve({ answer: 'closed', socket, session, resumed }));
      socket.once('secureConnect', () => (resumed = socket.isSessionReused()));
      socket.on('session', (ticket: Buffer) => {
        session = ticket;
        settle();
      });
      socket.once('data', (data: Buffer) => {
        answer = data.toString();
        settle();
      });
    });
  return { store, live, door, refusals, accepted, port, dial };
}

function closed(socket: Socket): Promise<void> {
  return socket.closed
    ? Promise.resolve()
    : new Promise((resolve) => socket.once('close', () => resolve()));
}

test('a registered certificate of the right authority opens the door', async (context) => {
  const it = await setUp(context);
  await enter(it.store, device, 'ldevid', one);
  const { answer, socket } = await it.dial(device);
  assert.equal(answer, `hello ${one}`);
  assert.equal(socket.getProtocol(), 'TLSv1.3');
  assert.equal(it.live.countOf(one), 1);
  assert.deepEqual(it.refusals, []);
});

const elsewhere = testPki();
const strangers: ReadonlyArray<readonly [string, TestIdentity | undefined, string]> = [
  ['no certificate', undefined, 'no-certificate'],
  ['one of an unknown authority', elsewhere.ldevid(one), 'unknown-issuer'],
  ['a forged one', forged(device), 'bad-signature'],
  [
    'a forged and expired one',
    forged(pki.ldevid(one, { notAfterMs: validFromMs + 1 })),
    'bad-signature',
  ],
  ['an expired one', pki.ldevid(one, { notAfterMs: validFromMs + 1 }), 'expired'],
  ['one of the factory', pki.idevid(one), 'unknown-issuer'],
  ['one of a station', pki.station('line 1'), 'unknown-issuer'],
  ["the server's own", pki.serverIdentity(), 'unknown-issuer'],
  ['one that was never registered', pki.ldevid(one), 'unknown-certificate'],
];
for (const [words, identity, code] of strangers) {
  test(`closed to ${words}`, async (context) => {
    const it = await setUp(context);
    await enter(it.store, device, 'ldevid', one);
    const { answer } = await it.dial(identity);
    assert.equal(answer, 'closed');
    assert.deepEqual(it.refusals, [code]);
    assert.deepEqual([it.accepted.length, it.live.size], [0, 0]);
  });
}

test('TLS 1.2 does not get a word in', async (context) => {
  const it = await setUp(context);
  await enter(it.store, device, 'ldevid', one);
  assert.equal((await it.dial(device, { maxVersion: 'TLSv1.2' })).answer, 'closed');
  assert.deepEqual(it.refusals, ['handshake-failed']);
});

test('what is no TLS at all is closed and counted', async (context) => {
  const it = await setUp(context);
  const socket = connectTcp(it.port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
  socket.on('error', () => {});
  socket.resume();
  await closed(socket);
  assert.deepEqual(it.refusals, ['handshake-failed']);
});

test('a session resumes, and is judged like a new one', async (context) => {
  const it = await setUp(context);
  await enter(it.store, device, 'ldevid', one);
  const { session } = await it.dial(device);
  assert.ok(session !== undefined);
  const again = await it.dial(device, { session });
  assert.equal(again.answer, `hello ${one}`);
  assert.ok(again.resumed);
  await it.store.revokeDevices([one], 'lost', 2);
  const refused = await it.dial(device, { session });
  assert.ok(refused.resumed);
  assert.equal(refused.answer, 'closed');
  assert.deepEqual(it.refusals, ['revoked']);
});

test('after the ticket keys turn, nobody resumes', async (context) => {
  const it = await setUp(context);
  await enter(it.store, device, 'ldevid', one);
  const { session } = await it.dial(device);
  assert.ok(session !== undefined);
  it.door.rotateTickets();
  const again = await it.dial(device, { session });
  assert.equal(again.resumed, false);
  assert.equal(again.answer, `hello ${one}`);
});

test('a renewed server identity is shown to new connections', async (context) => {
  const it = await setUp(context);
  await enter(it.store, device, 'ldevid', one);
  const renewed = pki.serverIdentity();
  it.door.renew(renewed, [pki.operational.pem]);
  const { socket } = await it.dial(device);
  const shown = createHash('sha256').update(socket.getPeerCertificate().raw).digest();
  assert.deepEqual(new Uint8Array(shown), renewed.sha256);
});

test('a dropped holder is closed, others stay', async (context) => {
  const it = await setUp(context);
  const other = pki.ldevid(deviceIdOf(2));
  await enter(it.store, device, 'ldevid', one);
  await enter(it.store, other, 'ldevid', deviceIdOf(2));
  const mine = await Promise.all([it.dial(device), it.dial(device)]);
  const theirs = await it.dial(other);
  assert.equal(await it.live.drop(new Set([one])), 2);
  await Promise.all(mine.map(({ socket }) => closed(socket)));
  assert.equal(theirs.socket.destroyed, false);
  assert.deepEqual([it.live.countOf(one), it.live.size], [0, 1]);
});

test('dropping one certificate leaves what another of its holder opened', async (context) => {
  const it = await setUp(context);
  const renewed = pki.ldevid(one);
  await enter(it.store, device, 'ldevid', one);
  await enter(it.store, renewed, 'ldevid', one);
  const [old, fresh] = await Promise.all([it.dial(device), it.dial(renewed)]);
  assert.equal(await it.live.dropCertificate(device.sha256), 1);
  await closed(old.socket);
  assert.equal(fresh.socket.destroyed, false);
});

test('a revocation between the look-up and the admission is not missed', async (context) => {
  const asked = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  let calls = 0;
  const it = await setUp(context, {
    verify: (inner) => async (chain) => {
      const peer = await inner(chain);
      calls += 1;
      if (calls === 1) {
        asked.resolve();
        await goOn.promise;
      }
      return peer;
    },
  });
  await enter(it.store, device, 'ldevid', one);
  const outcome = it.dial(device);
  await asked.promise;
  await it.store.revokeDevices([one], 'lost', 2);
  assert.equal(await it.live.drop(new Set([one])), 0);
  goOn.resolve();
  assert.equal((await outcome).answer, 'closed');
  assert.deepEqual([it.refusals, it.live.size], [['revoked'], 0]);
});

test('a registry that fails lets nobody in', async (context) => {
  const it = await setUp(context, {
    verify: () => () => Promise.reject(new Error('the disk is gone')),
  });
  assert.equal((await it.dial(device)).answer, 'closed');
  assert.deepEqual(it.refusals, ['verification-failed']);
});

test('connections and connections of one holder are bounded', async (context) => {
  const it = await setUp(context, { limits: { perHolder: 1, connections: 2 } });
  await enter(it.store, device, 'ldevid', one);
  assert.equal((await it.dial(device)).answer, `hello ${one}`);
  assert.equal((await it.dial(device)).answer, 'closed');
  assert.deepEqual(it.refusals.splice(0), ['too-many-of-holder']);
  await silent(context, it, '127.0.0.1');
  await closed(await silent(context, it, '127.0.0.1'));
  assert.deepEqual(it.refusals, ['too-many-connections']);
});

/** Somebody who connects and says nothing. */
async function silent(context: TestContext, { port }: Setting, from: string): Promise<Socket> {
  const socket = connectTcp({ port, host: '127.0.0.1', localAddress: from });
  context.after(() => socket.destroy());
  socket.on('error', () => {});
  socket.resume();
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  return socket;
}

/** Resolves when the door has so many. */
async function pressed({ door }: Setting, handshakes: number, waiting: number): Promise<void> {
  while (door.pressure.handshakes !== handshakes || door.pressure.waiting !== waiting) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test('handshakes in flight are bounded by address and in all; the others wait for their turn', async (context) => {
  const limits = { handshakes: 2, handshakesPerAddress: 1, waiting: 3, waitingPerAddress: 2 };
  const it = await setUp(context, { limits });
  await enter(it.store, device, 'ldevid', one);
  const first = await silent(context, it, '127.0.0.1');
  await pressed(it, 1, 0);
  const waits = it.dial(device);
  await pressed(it, 1, 1);
  // From elsewhere it goes on, as if nobody waited.
  const other = await it.dial(device, { localAddress: '127.0.0.2' });
  assert.equal(other.answer, `hello ${one}`);
  const second = await silent(context, it, '127.0.0.3');
  await pressed(it, 2, 1);
  // In all: nobody else begins, from wherever.
  const last = it.dial(device, { localAddress: '127.0.0.4' });
  await pressed(it, 2, 2);
  const third = await silent(context, it, '127.0.0.1');
  await pressed(it, 2, 3);
  // No place left for anybody.
  await closed(await silent(context, it, '127.0.0.5'));
  assert.deepEqual(it.refusals.splice(0), ['too-many-handshakes']);
  second.destroy();
  assert.equal((await last).answer, `hello ${one}`);
  assert.deepEqual(it.door.pressure, { handshakes: 1, waiting: 2 });
  // Too many of one address are turned away though there is room for others.
  await closed(await silent(context, it, '127.0.0.1'));
  first.destroy();
  assert.equal((await waits).answer, `hello ${one}`);
  await pressed(it, 1, 0);
  third.destroy();
  await pressed(it, 0, 0);
  assert.deepEqual(new Set(it.refusals), new Set(['handshake-failed', 'too-many-handshakes']));
});

test('who waits too long is turned away, and the place is free', async (context) => {
  const limits = { handshakes: 1, handshakeTimeoutMs: 200 };
  const it = await setUp(context, { limits });
  await silent(context, it, '127.0.0.1');
  await pressed(it, 1, 0);
  await closed(await silent(context, it, '127.0.0.1'));
  await pressed(it, 0, 0);
  assert.deepEqual(new Set(it.refusals), new Set(['handshake-failed', 'waited-too-long']));
});

test('a silent connection is closed when its time for the handshake is over', async (context) => {
  const it = await setUp(context, { limits: { handshakeTimeoutMs: 20 } });
  const socket = connectTcp(it.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  await closed(socket);
  assert.deepEqual(it.refusals, ['handshake-failed']);
});

test('a connection ends with its certificate', async (context) => {
  const it = await setUp(context);
  const short = pki.ldevid(one, { notAfterMs: Date.UTC(2030, 0, 1) });
  await enter(it.store, short, 'ldevid', one);
  const { socket } = await it.dial(short);
  assert.equal(it.live.dropExpired(Date.UTC(2029, 0, 1)), 0);
  assert.equal(it.live.dropExpired(Date.UTC(2031, 0, 1)), 1);
  await closed(socket);
});
