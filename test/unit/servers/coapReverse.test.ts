/** EDHOC in the reverse message flow: the server begins when a device asks it to (RFC 9528 Appendix A.2.2). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { readOwn } from '../../../src/device/sessions/handshake.ts';
import { concat, empty } from '../../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import { contentFormats } from '../../../src/wire/coap/contentFormats.ts';
import type { CoapContent } from '../../../src/wire/coap/message.ts';
import { findUint, hasOption, optionNumbers, uriPath } from '../../../src/wire/coap/options.ts';
import { carry } from '../../../src/wire/edhoc/carriage.ts';
import { isEdhocRefusal } from '../../../src/wire/edhoc/refusal.ts';
import { type Message2Step, readMessage1 } from '../../../src/wire/edhoc/responder.ts';
import { keyLimits } from '../../../src/wire/oscore/limits.ts';
import { CoapPath, lost, openCoapSession, watchNonces } from '../../support/coapPath.ts';
import { coapWorld } from '../../support/coapWorld.ts';
import { contextSealing, Field, type FieldDevice } from '../../support/field.ts';
import { PowerCut } from '../../support/memoryDeviceStore.ts';
import { MemorySessionStore } from '../../support/memorySessionStore.ts';

const reverse = { flow: 'reverse' } as const;

test('over sockets: four messages, and the first request ends the handshake', async (context) => {
  const world = await coapWorld(context);
  const device = world.field.addDevice(1);
  const { session, handshakes } = await world.session(device, reverse);
  await session.telemetry(utf8('one'));
  // C_I has three bytes: message_1 grows by as much as message_2 does in the forward flow.
  assert.deepEqual(handshakes, [[40, 146, 19]]);
  assert.ok(world.refusals.includes('address-not-shown'));
  await session.telemetry(utf8('two'));
  assert.deepEqual(world.field.textsOf(device.deviceId), ['one', 'two']);
  assert.equal(await world.field.store.countSessions(), 1);
  assert.deepEqual(world.defects, []);
});

test('who has not shown his address gets no message_1, and nothing is kept for him', async (context) => {
  const world = await coapWorld(context);
  const client = await world.client();
  const trigger = { code: methods.post, options: uriPath('/.well-known/edhoc'), payload: empty };
  // The client answers the challenge; without its Echo there is none.
  const message1 = await client.request(trigger);
  assert.equal(message1.code, responses.changed);
  assert.equal(
    findUint(message1.options, optionNumbers.contentFormat),
    contentFormats.edhocSequence,
  );
  assert.equal(message1.payload.length, 40);
  assert.deepEqual(world.refusals, ['address-not-shown']);
  assert.equal(world.field.relay.counters.handshakes, 1);
});

interface World {
  readonly field: Field;
  readonly store: MemorySessionStore;
  readonly device: FieldDevice;
  readonly path: CoapPath;
}

function world(): World {
  const store = new MemorySessionStore();
  const field = new Field({ store, around: watchNonces });
  return { field, store, device: field.addDevice(1), path: new CoapPath(field) };
}

const post = (payload: Uint8Array): CoapContent => ({
  code: methods.post,
  options: uriPath('/.well-known/edhoc'),
  payload,
});

/** As far as message_2, made by the device's keys. */
async function answered(
  { field, device, path }: World,
  byDevice = device,
): Promise<{ readonly message2: Uint8Array; readonly next: Message2Step['next'] }> {
  const { payload } = await path.request(post(empty));
  const profile = { methods: [3], suites: [2], message4: false } as const;
  const accepted = readMessage1(nodeCrypto, profile, payload);
  assert.ok(!isEdhocRefusal(accepted));
  const { peerConnectionId } = accepted;
  const own = await readOwn(byDevice.element, field.crypto);
  const needed = accepted.compose({ connectionId: Uint8Array.of(7), own });
  assert.ok(!isEdhocRefusal(needed) && needed.kind === 'agreement-needed');
  const secret = await byDevice.element.agree('agree', needed.peerPublicKey);
  assert.ok(secret);
  const { next, message2 } = needed.finish(secret);
  return { message2: carry(peerConnectionId, message2), next };
}

test('a repeated message_2 gets the same message_3, also from a server that was restarted', async () => {
  const it = world();
  const { message2 } = await answered(it);
  const first = await it.path.request(post(message2));
  assert.equal(first.code, responses.changed);
  it.path.restartServer();
  assert.deepEqual(await it.path.request(post(message2)), first);
  // Another one comes too late, whoever made it.
  const other = message2.slice();
  other[10] = (other[10] ?? 0) ^ 1;
  assert.equal((await it.path.request(post(other))).code, responses.badRequest);
  assert.deepEqual(await it.path.request(post(message2)), first);
  assert.equal(it.store.sessionRows.length, 0);
});

test('a forged message_2 does not end the handshake before there were many', async () => {
  const it = world();
  const { message2 } = await answered(it);
  const forged = (count: number): Uint8Array =>
    message2.map((byte, at) =>
      at === message2.length - 1 - (count % 8) ? byte ^ (1 + count) : byte,
    );
  for (let count = 0; count < 6; count++) {
    it.path.restartServer();
    assert.equal((await it.path.request(post(forged(count)))).code, responses.badRequest);
  }
  assert.equal((await it.path.request(post(message2))).code, responses.changed);
  const many = world();
  const { message2: late } = await answered(many);
  for (let count = 0; count < 16; count++) {
    const bytes = late.map((byte, at) =>
      at === late.length - 1 - (count % 8) ? byte ^ (1 + count) : byte,
    );
    await many.path.request(post(bytes));
  }
  assert.equal((await many.path.request(post(late))).code, responses.badRequest);
  assert.equal(many.store.handshakeRows.length, 0);
});

test('half-open handshakes are bounded, and given up in time', async () => {
  const store = new MemorySessionStore();
  const field = new Field({ store, limits: { handshakesPerIngress: 5 } });
  const path = new CoapPath(field);
  const it = { field, store, device: field.addDevice(1), path };
  const { message2 } = await answered(it);
  for (let count = 0; count < 20; count++) await path.request(post(empty));
  assert.equal(store.handshakeRows.length, 5);
  // A flood pushes out itself.
  assert.equal((await path.request(post(message2))).code, responses.changed);
  const minute = 60_000;
  await field.time.pass(4 * minute);
  await field.relay.tidy();
  assert.equal(store.handshakeRows.length, 5);
  await field.time.pass(2 * minute);
  await field.relay.tidy();
  assert.equal(store.handshakeRows.length, 0);
});

test('a device that is not known, or was revoked, gets no session', async () => {
  const it = world();
  const stranger = new Field().addDevice(9);
  const { message2 } = await answered(it, stranger);
  const refusal = await it.path.request(post(message2));
  assert.equal(refusal.code, responses.badRequest);
  const { session } = await openCoapSession(it.field, it.device, it.path, reverse);
  it.path.onRequest = (moment, count) => {
    // After message_3, before the request that would end the handshake.
    if (moment === 'after' && count === 4) it.device.revoked = true;
  };
  await assert.rejects(session.telemetry(utf8('no')), /refused the handshake/);
  assert.equal(it.store.sessionRows.length, 0);
  assert.deepEqual(it.field.textsOf(it.device.deviceId), []);
});

test('a device talks to the server that is pinned, and to no other', async () => {
  const it = world();
  const other = new Field({ store: new MemorySessionStore() });
  other.devices.set(it.device.deviceId, it.device);
  const { session } = await openCoapSession(it.field, it.device, new CoapPath(other), reverse);
  await assert.rejects(session.telemetry(utf8('no')), /another server|not authentic/);
  assert.equal(it.device.flash.values.has('coap-session'), false);
});

test('on a raw link nobody can have a message_1 sent', async () => {
  const { field } = world();
  const endpoint = { ingress: 'gateway', linkAddress: Uint8Array.of(1) };
  assert.equal(await field.relay.beginReverse(endpoint), 'unsupported');
});

test('keys that were left are not used again when somebody spoils the first answer under new ones', async () => {
  const it = world();
  const often = { ...reverse, renewEvery: 3, updatesPerHandshake: 0, resumptionsPerHandshake: 0 };
  const spoiled = { code: responses.unauthorized, options: [], payload: empty };
  // What triggers the flow is empty and comes first; the request after message_2 is under the new keys.
  let handshakes = 0;
  let wasMessage2 = false;
  const link = {
    request: async (request: CoapContent): Promise<CoapContent> => {
      const response = await it.path.request(request);
      if (hasOption(request.options, optionNumbers.oscore)) {
        const isFirst = wasMessage2;
        wasMessage2 = false;
        return isFirst && handshakes === 2 ? spoiled : response;
      }
      if (request.payload.length === 0) handshakes += 1;
      else wasMessage2 = true;
      return response;
    },
  };
  const { session } = await openCoapSession(it.field, it.device, link, often);
  for (const text of ['one', 'two', 'three']) await session.telemetry(utf8(text));
  await assert.rejects(session.telemetry(utf8('four')), /refused the handshake/);
  await session.telemetry(utf8('five'));
  assert.deepEqual(it.field.textsOf(it.device.deviceId), ['one', 'two', 'three', 'four', 'five']);
  assert.equal(it.field.relay.counters.cloneEvidence, 0);
});

/** Forges the first request, with so many failures before it, and sends it on after that. */
async function forgedAtEnd(
  it: World,
  before: number,
): Promise<Awaited<ReturnType<typeof openCoapSession>>['session']> {
  let forged = false;
  const link = {
    request: async (request: CoapContent): Promise<CoapContent> => {
      if (hasOption(request.options, optionNumbers.oscore) && !forged) {
        forged = true;
        setFailures(it.store, before);
        await forge(it, request);
      }
      return it.path.request(request);
    },
  };
  const { session } = await openCoapSession(it.field, it.device, link, reverse);
  return session;
}

async function forge({ path }: World, request: CoapContent): Promise<void> {
  path.restartServer();
  const payload = request.payload.map((byte, at) => (at === 0 ? byte ^ 1 : byte));
  const message = { ...request, payload, type: 'CON', messageId: 0xffff, token: empty } as const;
  await path.deliver(message);
}

/** The count is the last member of what is sealed, and of a new handshake 0. */
function setFailures(store: MemorySessionStore, count: number): void {
  const sealing = contextSealing(nodeCrypto);
  store.handshakeRows = store.handshakeRows.map((row) => {
    const name = `handshake-keys/${row.id}`;
    const keys = sealing.open(row.keys, name);
    assert.equal(keys?.at(-1), 0);
    return { ...row, keys: sealing.seal(concat(keys.slice(0, -1), cbor.integer(count)), name) };
  });
}

const forgeries = keyLimits('AES-CCM-16-64-128').failedVerifications;

test('forgeries under pending keys end the handshake at the limit of the key', async () => {
  const it = world();
  const session = await forgedAtEnd(it, forgeries - 1);
  await assert.rejects(session.telemetry(utf8('late')), /refused the handshake/);
  assert.equal(it.store.handshakeRows.length, 0);
  assert.equal(it.store.sessionRows.length, 0);
});

test('below the limit it goes on, and the session with the count of its handshake', async () => {
  const it = world();
  const session = await forgedAtEnd(it, forgeries - 2);
  await session.telemetry(utf8('one'));
  assert.deepEqual(it.field.textsOf(it.device.deviceId), ['one']);
  assert.equal(it.store.sessionRows.length, 1);
  const last = it.path.requests.at(-1);
  assert.ok(last);
  const { options } = last;
  const unused = options.map((option) =>
    option.number === optionNumbers.oscore
      ? { ...option, value: laterNumber(option.value) }
      : option,
  );
  await it.path.deliver({ ...last, options: unused });
  assert.equal(it.store.sessionRows.length, 0);
});

/** Partial IV of one byte, after the flags. */
function laterNumber(value: Uint8Array): Uint8Array {
  return value.map((byte, at) => (at === 1 ? byte + 9 : byte));
}

test('power and messages are cut off anywhere; resumption follows in the forward flow', async () => {
  const often = { ...reverse, renewEvery: 3, lookAhead: 2, updatesPerHandshake: 0 };
  const texts = Array.from({ length: 8 }, (_, at) => `text ${at}`);
  const run = async (it: World): Promise<void> => {
    let opened: Awaited<ReturnType<typeof openCoapSession>> | undefined;
    for (const text of texts) {
      for (let attempt = 0; ; attempt++) {
        assert.ok(attempt < 6, `${text} never arrives`);
        try {
          opened ??= await openCoapSession(it.field, it.device, it.path, often);
          await opened.session.telemetry(utf8(text));
          break;
        } catch (error) {
          if (error instanceof PowerCut) opened = undefined;
        }
      }
    }
    assert.deepEqual([...new Set(it.field.textsOf(it.device.deviceId))], texts);
    assert.equal(it.field.relay.counters.cloneEvidence, 0);
  };
  const plain = world();
  await run(plain);
  assert.ok(plain.field.relay.counters.resumptions > 0);
  const { commits } = plain.device.flash;
  const messages = plain.path.requests.length;
  assert.ok(plain.path.requests.some((one) => !hasOption(one.options, optionNumbers.oscore)));
  for (const moment of ['before', 'after'] as const) {
    for (let cutAt = 1; cutAt <= commits; cutAt++) {
      const it = world();
      it.device.flash.onCommit = (when, count) => {
        if (when === moment && count === cutAt) throw new PowerCut();
      };
      await run(it);
    }
    for (let cutAt = 1; cutAt <= messages; cutAt++) {
      for (const fault of [() => new PowerCut(), lost]) {
        const it = world();
        it.path.onRequest = (when, count) => {
          if (when === 'before') it.path.restartServer();
          if (when === moment && count === cutAt) throw fault();
        };
        await run(it);
      }
    }
  }
});
