import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { test } from 'node:test';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { toHex, fromHex } from '../../../src/wire/bytes/hex.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import {
  type CoapContent,
  type CoapMessage,
  encodeMessage,
  parseMessage,
} from '../../../src/wire/coap/message.ts';
import {
  findUint,
  hasOption,
  opaque,
  optionNumbers,
  text,
  uint,
  uriPath,
} from '../../../src/wire/coap/options.ts';
import { startInitiator } from '../../../src/wire/edhoc/initiator.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { carryStart } from '../../../src/wire/edhoc/carriage.ts';
import type { CoapLink } from '../../../src/device/ports/coap.ts';
import type { FrameOutcome } from '../../../src/trust/sessions/sessionService.ts';
import { VirtualTime } from '../../../sim/radio/virtualTime.ts';
import { type CoapWorld, coapWorld } from '../../support/coapWorld.ts';

const nothing = new Uint8Array(0);
const get = (path: string, ...queries: string[]): CoapContent => ({
  code: methods.get,
  options: [...uriPath(path), ...queries.map((query) => text(optionNumbers.uriQuery, query))],
  payload: nothing,
});
const postEdhoc = (payload: Uint8Array, format = 65): CoapContent => ({
  code: methods.post,
  options: [...uriPath('/.well-known/edhoc'), uint(optionNumbers.contentFormat, format)],
  payload,
});
const message1 = (method: 0 | 3, suites: readonly number[]): Uint8Array =>
  startInitiator(nodeCrypto, { method, suites, message4: false }, { connectionId: fromHex('05') })
    .message1;

/** Datagrams from a port of its own to the door, and what comes back. */
async function rawPeer(world: CoapWorld) {
  const socket = createSocket('udp4');
  const waiting: Array<(bytes: Uint8Array) => void> = [];
  socket.on('message', (bytes) => waiting.shift()?.(new Uint8Array(bytes)));
  return {
    send: (bytes: Uint8Array) => socket.send(bytes, world.door.port, '127.0.0.1'),
    ask: (bytes: Uint8Array) =>
      new Promise<Uint8Array>((resolve) => {
        waiting.push(resolve);
        socket.send(bytes, world.door.port, '127.0.0.1');
      }),
    next: () => new Promise<Uint8Array>((resolve) => waiting.push(resolve)),
    close: () => new Promise<void>((resolve) => socket.close(resolve)),
  };
}

test('discovery: everything, or what a query asks for', async (context) => {
  const world = await coapWorld(context);
  const client = await world.client();
  const all = await client.transfer(get('/.well-known/core'));
  assert.equal(all.code, responses.content);
  assert.equal(findUint(all.options, optionNumbers.contentFormat), 40);
  const whole = new TextDecoder().decode(all.payload);
  assert.equal(
    whole,
    '</.well-known/edhoc>;rt=core.edhoc;ed-csuite=2;ed-r;ed-comb-req,' +
      '</.well-known/est/crts>;rt=ace.est.crts;ct="281 287";osc,' +
      '</.well-known/est/sen>;rt=ace.est.sen;ct="281 287";osc',
  );
  const linksFor = async (query: string): Promise<number> => {
    const { payload } = await client.transfer(get('/.well-known/core', query));
    return new TextDecoder().decode(payload).split('<').length - 1;
  };
  assert.equal(await linksFor('rt=ace.est*'), 2);
  assert.equal(await linksFor('rt=ace.est.sen'), 1);
  assert.equal(await linksFor('ct=287'), 2);
  assert.equal(await linksFor('ed-comb-req'), 1);
  assert.equal(await linksFor('href=/.well-known/e*'), 3);
  assert.equal(await linksFor('rt=nobody'), 0);
});

test('an answer is no bait: at most three times the request before the address is shown', async (context) => {
  const world = await coapWorld(context);
  const peer = await rawPeer(world);
  const request = encodeMessage({
    ...get('/.well-known/core'),
    type: 'CON',
    messageId: 1,
    token: nothing,
  });
  const answer = await peer.ask(request);
  await peer.close();
  assert.ok(answer.length <= 3 * request.length, `${answer.length} for ${request.length}`);
  assert.ok(hasOption(parseMessage(answer).options, optionNumbers.block2));
});

test('a message_2 that is long is given only to whom has shown his address', async (context) => {
  const world = await coapWorld(context, { door: { longestMessage2Bytes: 400 } });
  const peer = await rawPeer(world);
  const request: CoapMessage = {
    ...postEdhoc(carryStart(message1(3, [2]))),
    type: 'CON',
    messageId: 9,
    token: fromHex('aa'),
  };
  const challenge = parseMessage(await peer.ask(encodeMessage(request)));
  assert.equal(challenge.code, responses.unauthorized);
  const echo = challenge.options.find(({ number }) => number === optionNumbers.echo);
  assert.ok(echo);
  const forged = {
    ...echo,
    value: Uint8Array.from(echo.value, (byte, at) => (at === 13 ? byte ^ 1 : byte)),
  };
  const withEcho = (messageId: number, option = echo): Uint8Array =>
    encodeMessage({ ...request, messageId, options: [...request.options, option] });
  assert.equal(parseMessage(await peer.ask(withEcho(10, forged))).code, responses.unauthorized);
  assert.equal(parseMessage(await peer.ask(withEcho(11))).code, responses.changed);
  // The address is known now, and this value is for no other one.
  assert.equal(
    parseMessage(await peer.ask(encodeMessage({ ...request, messageId: 12 }))).code,
    responses.changed,
  );
  const other = await rawPeer(world);
  assert.equal(parseMessage(await other.ask(withEcho(13))).code, responses.unauthorized);
  await Promise.all([peer.close(), other.close()]);
  assert.deepEqual(new Set(world.refusals), new Set(['address-not-shown']));
  // The client of ours does it by itself.
  const client = await world.client();
  assert.equal(
    (await client.request(postEdhoc(carryStart(message1(3, [2]))))).code,
    responses.changed,
  );
});

test('a flood of handshakes has to show its addresses', async (context) => {
  const world = await coapWorld(context, { door: { limits: { freeHandshakesPerSecond: 1 } } });
  const peer = await rawPeer(world);
  const ask = async (messageId: number): Promise<number> => {
    const content = postEdhoc(carryStart(message1(3, [2])));
    const bytes = encodeMessage({ ...content, type: 'CON', messageId, token: nothing });
    return parseMessage(await peer.ask(bytes)).code;
  };
  // Of four in a row three at least are in one second with another one.
  const codes = [await ask(1), await ask(2), await ask(3), await ask(4)];
  await peer.close();
  assert.ok(codes.includes(responses.unauthorized), codes.join());
});

test('refusals of the door, each with its code', async (context) => {
  const world = await coapWorld(context);
  const client = await world.client();
  const codeOf = async (request: CoapContent): Promise<number> =>
    (await client.request(request)).code;
  const edhoc = postEdhoc(carryStart(message1(3, [2])));
  assert.equal(await codeOf(get('/nowhere')), responses.notFound);
  // Telemetry and EST exist under OSCORE only; without it they are nowhere.
  assert.equal(
    await codeOf({ ...get('/t'), code: methods.post, payload: utf8('x') }),
    responses.notFound,
  );
  assert.equal(await codeOf(get('/.well-known/est/crts')), responses.notFound);
  assert.equal(await codeOf(get('/.well-known/edhoc')), responses.methodNotAllowed);
  assert.equal(
    await codeOf({ ...get('/.well-known/core'), code: methods.put }),
    responses.methodNotAllowed,
  );
  assert.equal(await codeOf(postEdhoc(edhoc.payload, 64)), responses.unsupportedContentFormat);
  const accept = uint(optionNumbers.accept, 50);
  const core = get('/.well-known/core');
  assert.equal(
    await codeOf({ ...core, options: [...core.options, accept] }),
    responses.notAcceptable,
  );
  const proxy = text(optionNumbers.proxyUri, 'coap://elsewhere/');
  assert.equal(await codeOf({ ...core, options: [proxy] }), responses.proxyingNotSupported);
  assert.equal(
    await codeOf({ ...core, options: [opaque(optionNumbers.ifNoneMatch)] }),
    responses.badOption,
  );
  const combined = opaque(optionNumbers.edhoc);
  assert.equal(
    await codeOf({ ...edhoc, options: [...edhoc.options, combined] }),
    responses.badRequest,
  );
  const oscore = opaque(optionNumbers.oscore, fromHex('0900aabbcc'));
  const strange = { code: methods.post, options: [oscore], payload: fromHex('00'.repeat(12)) };
  assert.equal(await codeOf(strange), responses.unauthorized);
  const noKid = opaque(optionNumbers.oscore, fromHex('0100'));
  assert.equal(await codeOf({ ...strange, options: [noKid] }), responses.badOption);
  assert.equal(await codeOf({ ...strange, options: [oscore, combined] }), responses.badRequest);
  const big = { ...strange, payload: new Uint8Array(5000) };
  assert.equal((await client.transfer(big)).code, responses.requestEntityTooLarge);
});

test('EDHOC errors come in CoAP error responses (RFC 9528 Appendix A.2.3)', async (context) => {
  const world = await coapWorld(context);
  const client = await world.client();
  const ask = async (payload: Uint8Array): Promise<string> => {
    const { code, options, payload: error } = await client.request(postEdhoc(payload));
    assert.equal(findUint(options, optionNumbers.contentFormat), 64);
    return `${code} ${toHex(error)}`;
  };
  const refused = `${responses.badRequest} 016772656675736564`;
  assert.equal(await ask(fromHex('f50102')), refused);
  assert.equal(await ask(fromHex('05')), refused);
  assert.equal(await ask(carryStart(message1(0, [2]))), refused);
  assert.equal(await ask(fromHex('430102034105')), refused);
  // Another suite: ours are named.
  assert.equal(await ask(carryStart(message1(3, [3, 0]))), `${responses.badRequest} 0202`);
});

test('a device with IP: message_3 with the first telemetry, then a session', async (context) => {
  const world = await coapWorld(context);
  const device = world.field.addDevice(1);
  const { session, handshakes } = await world.session(device);
  for (const reading of ['one', 'two', 'three']) await session.telemetry(utf8(reading));
  // C_R has three bytes, and a byte string of three has a head: three bytes more than on a radio.
  assert.deepEqual(handshakes, [[37, 48, 121]]);
  assert.deepEqual(world.field.textsOf(device.deviceId), ['one', 'two', 'three']);
  assert.deepEqual(world.defects, []);
  assert.equal(await world.field.store.countSessions(), 1);
});

test('either side restarts, the address changes: the session goes on', async (context) => {
  const world = await coapWorld(context);
  const device = world.field.addDevice(1);
  const first = await world.session(device);
  await first.session.telemetry(utf8('one'));
  world.field.restartServer();
  await first.session.telemetry(utf8('two'));
  // Another socket is another port: the address is a hint and nothing else.
  const second = await world.session(device);
  await second.session.telemetry(utf8('three'));
  assert.equal(first.handshakes.length + second.handshakes.length, 1);
  assert.deepEqual(world.field.textsOf(device.deviceId), ['one', 'two', 'three']);
});

test('message_3 goes alone where the first request is long, and long bodies go in blocks', async (context) => {
  const world = await coapWorld(context, {
    serve: async (_peer, { payload }) => ({ code: responses.changed, options: [], payload }),
  });
  const { session, handshakes } = await world.session(world.field.addDevice(1), {
    maximumPayloadBytes: 32,
  });
  const path = uriPath('/echo');
  const long = { code: methods.post, options: path, payload: new Uint8Array(700).fill(7) };
  const { payload } = await session.exchange(long);
  assert.equal(payload.length, 700);
  assert.deepEqual(handshakes, [[37, 48, 121]]);
});

test('a revoked device gets nothing, and a session that is gone is replaced once', async (context) => {
  const world = await coapWorld(context);
  const device = world.field.addDevice(1);
  const { session, handshakes } = await world.session(device);
  await session.telemetry(utf8('one'));
  await world.field.relay.kill(device.deviceId);
  await session.telemetry(utf8('two'));
  assert.equal(handshakes.length, 2);
  device.revoked = true;
  await world.field.relay.kill(device.deviceId);
  await assert.rejects(session.telemetry(utf8('three')), /refused the handshake/);
  assert.deepEqual(world.field.textsOf(device.deviceId), ['one', 'two']);
});

test('a hundred devices behind one address have sessions of their own', async (context) => {
  const world = await coapWorld(context, {
    door: { limits: { freeHandshakesPerSecond: 100_000 } },
  });
  const link = await world.client();
  const devices = Array.from({ length: 100 }, (_, number) => world.field.addDevice(number + 1));
  for (const device of devices) {
    const { session } = await world.session(device, { link });
    await session.telemetry(utf8(device.deviceId));
  }
  assert.equal(await world.field.store.countSessions(), 100);
  for (const { deviceId } of devices) {
    assert.deepEqual(world.field.textsOf(deviceId), [deviceId]);
  }
});

test('what is repeated is answered with the stored bytes, what is altered with an error', async (context) => {
  const world = await coapWorld(context);
  const device = world.field.addDevice(1);
  const sent: CoapContent[] = [];
  const client = await world.client();
  const link: CoapLink = {
    request: (request) => {
      sent.push(request);
      return client.request(request);
    },
  };
  const { CoapSession } = await import('../../../src/device/sessions/coapSession.ts');
  const { openSealedStore } = await import('../../../src/device/storage/sealedStore.ts');
  const store = await openSealedStore(device.element, device.flash, nodeCrypto);
  const session = await CoapSession.open({
    element: device.element,
    link,
    store,
    timer: world.field.time,
    crypto: nodeCrypto,
    decompress: decompressPoint,
  });
  await session.telemetry(utf8('one'));
  await session.telemetry(utf8('two'));
  const [, combined, second] = sent;
  assert.ok(combined !== undefined && second !== undefined);
  // From another peer, with another message ID: not a duplicate to CoAP, a replay to OSCORE.
  const other = await world.client();
  assert.equal((await other.request(second)).code, responses.unauthorized);
  assert.equal((await other.request(combined)).code, responses.unauthorized);
  const altered = Uint8Array.from(second.payload, (byte, at) => (at === 3 ? byte ^ 1 : byte));
  const [option] = second.options;
  assert.ok(option);
  // A new number, so that the window lets it through to the tag.
  const value = Uint8Array.from(option.value, (byte, at) => (at === 1 ? 200 : byte));
  const forged = { ...second, options: [{ ...option, value }], payload: altered };
  assert.equal((await other.request(forged)).code, responses.badRequest);
  assert.deepEqual(world.field.textsOf(device.deviceId), ['one', 'two']);
});

test('an answer that takes its time: acknowledged after a second, then sent until it is acknowledged', async (context) => {
  const time = new VirtualTime();
  let answer: (frame: FrameOutcome) => void = () => undefined;
  const taken = new Promise<FrameOutcome>((resolve) => (answer = resolve));
  const world = await coapWorld(context, {
    door: {
      time: {
        nowMs: () => time.nowMs(),
        wakeAt: (atMs, wake) => time.wakeAt(atMs, async () => wake()),
      },
      sessions: { take: () => taken, beginReverse: () => taken },
    },
  });
  const peer = await rawPeer(world);
  const content = postEdhoc(carryStart(message1(3, [2])));
  const request: CoapMessage = { ...content, type: 'CON', messageId: 1, token: fromHex('ab') };
  const received = peer.ask(encodeMessage(request));
  // The datagram is at the door when the door has something to wait for.
  while (!(await time.step())) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(toHex(await received), '60000001');
  assert.equal(time.nowMs(), 1000);
  const second = peer.next();
  answer('unknown-credential');
  const separate = parseMessage(await second);
  assert.equal(separate.type, 'CON');
  assert.equal(toHex(separate.token), 'ab');
  assert.equal(separate.code, responses.badRequest);
  assert.equal(toHex(separate.payload), '03f5');
  const again = peer.next();
  await time.pass(4_000);
  assert.equal(parseMessage(await again).messageId, separate.messageId);
  peer.send(fromHex(`6000${separate.messageId.toString(16).padStart(4, '0')}`));
  await peer.close();
});

test('datagrams that are no messages change nothing', async (context) => {
  const world = await coapWorld(context);
  const peer = await rawPeer(world);
  peer.send(new Uint8Array(1281));
  peer.send(nothing);
  peer.send(fromHex('ff'));
  // Version 1, confirmable, broken: a Reset with its message ID (RFC 7252 §4.2).
  assert.equal(toHex(await peer.ask(fromHex('4901000a'))), '7000000a');
  // A ping.
  assert.equal(toHex(await peer.ask(fromHex('4000000b'))), '7000000b');
  await peer.close();
  assert.ok(world.refusals.includes('oversized'));
  assert.ok(world.refusals.includes('malformed'));
  assert.deepEqual(world.defects, []);
});
