/** How a device on IP comes to other keys: KUDOS, resumption, handshake, and what may go wrong at each step. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  CoapSessionEvent,
  CoapSessionOptions,
} from '../../../src/device/sessions/coapSession.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';
import { Channel, freshChannel, telemetryRequest } from '../../../src/device/sessions/channel.ts';
import { SessionMemory } from '../../../src/device/sessions/memory.ts';
import { openSealedStore } from '../../../src/device/storage/sealedStore.ts';
import { empty } from '../../../src/wire/bytes/bytes.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import {
  type CoapContent,
  type CoapMessage,
  encodeMessage,
  parseMessage,
} from '../../../src/wire/coap/message.ts';
import { findOption, findUint, optionNumbers, uriPath } from '../../../src/wire/coap/options.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { type KudosBusy, KudosConfirmed, KudosIdle } from '../../../src/wire/oscore/kudos.ts';
import type { KudosConfig } from '../../../src/wire/oscore/kudosOffer.ts';
import { kudosPath } from '../../../src/wire/oscore/kudosSupport.ts';
import { parseOscoreOption } from '../../../src/wire/oscore/option.ts';
import { isRefused } from '../../../src/wire/oscore/refusal.ts';
import { writeFrame } from '../../../src/wire/relay/frame.ts';
import {
  CoapPath,
  lost,
  memoryOf,
  openCoapSession,
  type OpenedSession,
  watchNonces,
} from '../../support/coapPath.ts';
import { Field, type FieldDevice, gatewayId } from '../../support/field.ts';
import { PowerCut } from '../../support/memoryDeviceStore.ts';
import { MemorySessionStore } from '../../support/memorySessionStore.ts';

interface World {
  readonly field: Field;
  readonly store: MemorySessionStore;
  readonly device: FieldDevice;
  readonly path: CoapPath;
}

function world(seed = 1): World {
  const store = new MemorySessionStore();
  const field = new Field({ seed, store, around: watchNonces });
  return { field, store, device: field.addDevice(1), path: new CoapPath(field) };
}

/** Reconnects as an application does: what was not acknowledged is said again. */
async function sendAll(
  { field, device, path }: World,
  texts: readonly string[],
  options: Partial<CoapSessionOptions>,
): Promise<CoapSessionEvent[]> {
  const all: CoapSessionEvent[] = [];
  let opened: OpenedSession | undefined;
  for (const text of texts) {
    for (let attempt = 0; ; attempt++) {
      assert.ok(attempt < 6, `${text} never arrives`);
      try {
        opened ??= await openCoapSession(field, device, path, options);
        await opened.session.telemetry(utf8(text));
        break;
      } catch (error) {
        all.push(...(opened?.events.splice(0) ?? []));
        if (error instanceof PowerCut) opened = undefined;
      }
    }
  }
  return [...all, ...(opened?.events ?? [])];
}

const texts = (count: number): string[] => Array.from({ length: count }, (_, at) => `text ${at}`);
const kinds = (events: readonly CoapSessionEvent[]): string[] =>
  events.map((event) => {
    if (event.kind === 'session') return event.resumed ? 'resumed' : 'handshake';
    return event.kind;
  });

function assertArrived({ field, device }: World, expected: readonly string[]): void {
  const arrived = new Set(field.textsOf(device.deviceId));
  assert.deepEqual([...arrived], expected);
  assert.equal(field.relay.counters.cloneEvidence, 0);
}

const often = { renewEvery: 3, lookAhead: 2, updatesPerHandshake: 2, resumptionsPerHandshake: 2 };

test('keys are renewed in rising cost', async () => {
  const it = world();
  const events = await sendAll(it, texts(40), often);
  const [first, ...rest] = kinds(events);
  assert.equal(first, 'handshake');
  const round = ['keys-updated', 'keys-updated', 'resumed'];
  const circle = [...round, ...round, 'keys-updated', 'keys-updated', 'handshake'];
  assert.deepEqual(rest.slice(0, 9), circle);
  assertArrived(it, texts(40));
  assert.equal(it.field.textsOf(it.device.deviceId).length, 40);
  // With other keys numbers begin again: the name of the keys tells messages apart.
  const names = it.field.delivered.map(({ meta }) => `${meta.sessionId}/${meta.sequenceNumber}`);
  assert.equal(new Set(names).size, 40);
  const sizes = events.flatMap((event) =>
    event.kind === 'session' && event.resumed ? [event.handshakeBytes] : [],
  );
  assert.deepEqual(sizes[0], [37, 38, 13]);
});

test('KUDOS after a time, too', async () => {
  const it = world();
  const { session, events } = await openCoapSession(it.field, it.device, it.path);
  await session.telemetry(utf8('one'));
  it.field.time.after(31 * 86_400_000, async () => undefined);
  await it.field.time.step();
  await session.telemetry(utf8('two'));
  assert.deepEqual(kinds(events), ['handshake', 'keys-updated']);
});

test('power is cut before and after any write and any message', async () => {
  const plain = world();
  await sendAll(plain, texts(13), often);
  const writes = plain.device.flash.commits;
  const messages = plain.path.requests.length;
  for (const moment of ['before', 'after'] as const) {
    for (let cutAt = 1; cutAt <= writes; cutAt++) {
      const it = world();
      const { flash } = it.device;
      flash.onCommit = (when, count) => {
        if (when === moment && count === cutAt) throw new PowerCut();
      };
      await sendAll(it, texts(13), often);
      assertArrived(it, texts(13));
    }
    for (let cutAt = 1; cutAt <= messages; cutAt++) {
      const it = world();
      it.path.onRequest = (when, count) => {
        if (when === moment && count === cutAt) throw new PowerCut();
      };
      await sendAll(it, texts(13), often);
      assertArrived(it, texts(13));
    }
  }
});

test('keys that the server may have left are not taken up again after a loss of power', async () => {
  const it = world();
  const byTime = { updatesPerHandshake: 0, renewAfterMs: 1_000 };
  const { session } = await openCoapSession(it.field, it.device, it.path, byTime);
  await session.telemetry(utf8('text 0'));
  it.field.time.after(2_000, async () => undefined);
  await it.field.time.step();
  // message_1 and message_2, and then the request that carries message_3: it arrives, its answer does not.
  const cutAt = it.path.requests.length + 2;
  it.path.onRequest = (moment, count) => {
    if (moment === 'after' && count === cutAt) throw new PowerCut();
  };
  await assert.rejects(session.telemetry(utf8('text 1')), PowerCut);
  // Whose clock begins anew, and so takes its keys for young.
  const again = await openCoapSession(it.field, it.device, it.path, byTime);
  await again.session.telemetry(utf8('text 2'));
  assert.deepEqual(kinds(again.events), ['resumed']);
  assertArrived(it, texts(3));
});

test('the server is restarted between any two messages, and any message or answer is lost', async () => {
  const plain = world();
  await sendAll(plain, texts(24), often);
  const messages = plain.path.requests.length;
  const always = world();
  always.path.onRequest = (moment) => {
    if (moment === 'before') always.path.restartServer();
  };
  const events = await sendAll(always, texts(24), often);
  assertArrived(always, texts(24));
  assert.equal(kinds(events).filter((kind) => kind === 'handshake').length, 1);
  for (const moment of ['before', 'after'] as const) {
    for (let lostAt = 1; lostAt <= messages; lostAt++) {
      const it = world();
      it.path.onRequest = (when, count) => {
        if (when !== moment || count !== lostAt) return;
        // Lost after it was answered: as when the server dies between its write and its answer.
        it.path.restartServer();
        throw lost();
      };
      await sendAll(it, texts(24), often);
      assertArrived(it, texts(24));
    }
  }
});

test('a write of the server fails before it is done: nothing has left, and it is done again', async () => {
  const plain = world();
  let writes = 0;
  plain.store.beforeWrite = () => (writes += 1);
  await sendAll(plain, texts(24), often);
  for (let failAt = 1; failAt <= writes; failAt++) {
    const it = world();
    let count = 0;
    it.store.beforeWrite = () => {
      count += 1;
      if (count === failAt) throw new EnvironmentError('disk', { retryable: true });
    };
    await sendAll(it, texts(24), often);
    assertArrived(it, texts(24));
  }
});

test('a run is answered with the same bytes again, also by a server that was restarted', async () => {
  const it = world();
  const { session } = await openCoapSession(it.field, it.device, it.path, often);
  for (const text of texts(4)) await session.telemetry(utf8(text));
  const at = it.path.requests.findIndex(isDivergent);
  const [divergent, answer] = [it.path.requests[at], it.path.responses[at]];
  assert.ok(divergent !== undefined && answer !== undefined);
  // While the run is open: nothing under the new keys has come.
  const again = world();
  const other = await openCoapSession(again.field, again.device, again.path, often);
  again.path.onRequest = (moment) => {
    const last = again.path.requests.at(-1);
    if (moment === 'after' && last !== undefined && isDivergent(last)) throw lost();
  };
  const submit = async (): Promise<void> => {
    for (const text of texts(9)) await other.session.telemetry(utf8(text));
  };
  await assert.rejects(submit(), /lost on the way/);
  const open = again.path.requests.at(-1);
  assert.ok(open !== undefined && isDivergent(open));
  const first = again.path.responses.at(-1);
  again.path.restartServer();
  assert.deepEqual(await again.path.deliver(open), first);
  // Afterwards it is of keys that are gone.
  const late = await it.path.deliver(divergent);
  assert.notDeepEqual(late, answer);
  assert.notEqual(late?.code, responses.changed);
  await session.telemetry(utf8('text 4'));
  assertArrived(it, texts(5));
});

test('a server that has lost the session, or was put back: other keys, the cheapest first', async () => {
  const it = world();
  const { session, events } = await openCoapSession(it.field, it.device, it.path);
  await session.telemetry(utf8('text 0'));
  await session.telemetry(utf8('text 1'));
  it.store.sessionRows = [];
  await session.telemetry(utf8('text 2'));
  assert.deepEqual(kinds(events), ['handshake', 'renewal-failed', 'resumed']);
  it.store.sessionRows = [];
  it.store.resumptionRows = [];
  await session.telemetry(utf8('text 3'));
  assert.deepEqual(kinds(events).slice(3), ['renewal-failed', 'renewal-failed', 'handshake']);
  // Put back to an earlier state: it asks for proof, and the keys stay.
  it.store.incarnation = 1;
  it.path.restartServer();
  await session.telemetry(utf8('text 4'));
  assert.equal(events.length, 6);
  // With a run under way in it: whether the device has the new keys it cannot know.
  const ping = { code: methods.post, options: uriPath(kudosPath), payload: empty };
  const sent = (await begun(it)).protectRequest(ping);
  assert.ok(!isRefused(sent));
  assert.equal((await answerTo(it, sent.message)).code, responses.changed);
  it.store.incarnation = 2;
  it.path.restartServer();
  assert.equal((await answerTo(it, sent.message)).code, responses.unauthorized);
  await session.telemetry(utf8('text 5'));
  assert.deepEqual(kinds(events).slice(6), ['renewal-failed', 'resumed']);
  assertArrived(it, texts(6));
});

function optionOf(message: CoapMessage): ReturnType<typeof parseOscoreOption> {
  const value = findOption(message.options, optionNumbers.oscore);
  return value === undefined ? {} : parseOscoreOption(value);
}

function isDivergent(message: CoapMessage): boolean {
  return optionOf(message).keyUpdate?.convergent === false;
}

test('a device that cannot write begins at every start from the keys of its handshake', async () => {
  const it = world();
  const part = { kudos: 'part' } as const;
  const first = await openCoapSession(it.field, it.device, it.path, part);
  await first.session.telemetry(utf8('text 0'));
  const [session] = first.events;
  // ASK, FULL and PART: label of three bytes, value of one or two.
  assert.deepEqual(session?.kind === 'session' && session.handshakeBytes, [41, 53, 126]);
  const { commits } = it.device.flash;
  for (let start = 1; start < 6; start++) {
    it.path.restartServer();
    const { session: again, events } = await openCoapSession(it.field, it.device, it.path, part);
    await again.telemetry(utf8(`text ${start}`));
    assert.deepEqual(kinds(events), ['keys-updated'], `start ${start}`);
  }
  assert.equal(it.device.flash.commits, commits);
  assert.ok(it.path.requests.filter(isDivergent).every((one) => modeOf(one)));
  assertArrived(it, texts(6));
});

function modeOf(message: CoapMessage): boolean | undefined {
  return optionOf(message).keyUpdate?.noForwardSecrecy;
}

test('a run without forward secrecy that somebody recorded does nothing but cost a run', async () => {
  const it = world();
  const part = { kudos: 'part' } as const;
  await (
    await openCoapSession(it.field, it.device, it.path, part)
  ).session.telemetry(utf8('text 0'));
  const { session, events } = await openCoapSession(it.field, it.device, it.path, part);
  await session.telemetry(utf8('text 1'));
  const recorded = it.path.requests.find(isDivergent);
  assert.ok(recorded);
  await it.path.deliver(recorded);
  await session.telemetry(utf8('text 2'));
  assert.deepEqual(kinds(events), ['keys-updated', 'keys-updated']);
  assertArrived(it, texts(3));
});

/** A run as another implementation might begin it, from the keys in the device's flash. */
async function begun(it: World, config: Partial<KudosConfig> = {}): Promise<KudosBusy> {
  const { keys } = await (await memoryOf(it.field, it.device)).read();
  assert.ok(keys);
  const { crypto } = it.field;
  const common = { crypto, isCapable: true, peer: 'unknown', preserveObservations: false } as const;
  return new KudosIdle({ ...common, ...config }, keys.material).begin();
}

async function answerTo(it: World, request: CoapContent): Promise<CoapContent> {
  const answer = await it.path.deliver({ ...request, type: 'CON', messageId: 9_999, token: empty });
  return answer ?? assert.fail('no answer');
}

test('who can write is not talked out of forward secrecy', async () => {
  const it = world();
  const { session } = await openCoapSession(it.field, it.device, it.path);
  await session.telemetry(utf8('text 0'));
  const { keys } = await (await memoryOf(it.field, it.device)).read();
  assert.ok(keys);
  const { material: bootstrap } = keys;
  // The server keeps what a device begins from that has said that it cannot write, and of no other.
  const run = await begun(it, { isCapable: false, peer: 'capable', bootstrap });
  const sent = run.protectRequest({
    code: methods.post,
    options: uriPath(kudosPath),
    payload: empty,
  });
  assert.ok(!isRefused(sent));
  assert.equal((await answerTo(it, sent.message)).code, responses.badOption);
  await session.telemetry(utf8('text 1'));
  assertArrived(it, texts(2));
});

test('what a divergent message asks for is not done, and can be asked for again under the new keys', async () => {
  const it = world();
  const { session } = await openCoapSession(it.field, it.device, it.path);
  await session.telemetry(utf8('text 0'));
  const run = await begun(it);
  const telemetry = telemetryRequest(utf8('text 1'), true);
  const sent = run.protectRequest(telemetry);
  assert.ok(!isRefused(sent));
  const message = await answerTo(it, sent.message);
  const received = run.receive({ kind: 'response', message, exchange: sent.exchange });
  assert.ok(!isRefused(received) && received.next instanceof KudosConfirmed);
  assert.equal(received.message.code, responses.serviceUnavailable);
  assert.equal(findUint(received.message.options, optionNumbers.maxAge), 0);
  assertArrived(it, texts(1));
  // Whoever records it and sends it again gets the same bytes; under another message ID, nothing.
  assert.deepEqual(await answerTo(it, sent.message), message);
  const [replay] = it.path.requests.slice(-1);
  assert.ok(replay);
  assert.equal((await it.path.deliver({ ...replay, messageId: 1 }))?.code, responses.unauthorized);
  const { fresh } = received.next;
  const end = fresh.sequence.reservation(1);
  assert.ok(typeof end === 'number');
  fresh.sequence.confirm(end);
  const number = fresh.sequence.take();
  assert.ok(!isRefused(number));
  const again = protectRequest(telemetry, number);
  assert.ok(!isRefused(again));
  const answer = unprotectResponse(again.exchange, await answerTo(it, again.message));
  assert.ok(!isRefused(answer) && answer.message.code === responses.changed);
  assertArrived(it, texts(2));
  assert.equal(it.field.relay.counters.keyUpdates, 1);
});

test('a device that begins again and again: sixteen nonces, and then a handshake', async () => {
  const it = world();
  const { session, events } = await openCoapSession(it.field, it.device, it.path);
  await session.telemetry(utf8('text 0'));
  const ping = { code: methods.post, options: uriPath(kudosPath), payload: empty };
  for (let attempt = 0; attempt < 17; attempt++) {
    const sent = (await begun(it)).protectRequest(ping);
    assert.ok(!isRefused(sent));
    assert.equal((await answerTo(it, sent.message)).code, responses.changed, `${attempt}`);
  }
  await session.telemetry(utf8('text 1'));
  assert.deepEqual(kinds(events), ['handshake', 'renewal-failed', 'resumed']);
  assertArrived(it, texts(2));
});

test('under keys that a run is to replace nothing else is taken', async () => {
  const it = world();
  const { session, events } = await openCoapSession(it.field, it.device, it.path);
  await session.telemetry(utf8('text 0'));
  const sent = (await begun(it)).protectRequest(telemetryRequest(utf8('no'), true));
  assert.ok(!isRefused(sent));
  await answerTo(it, sent.message);
  // The device knows nothing of that run; it comes to other keys on its own.
  await session.telemetry(utf8('text 1'));
  assert.deepEqual(kinds(events), ['handshake', 'keys-updated']);
  assertArrived(it, texts(2));
});

test('any session takes KUDOS: on a raw link from a peer that knows no epochs', async () => {
  const { field, device } = world();
  await device.switchOn();
  await device.submit('one');
  await field.time.until(() => device.count('telemetry') === 1);
  const store = await openSealedStore(device.element, device.flash, field.crypto);
  const { state } = await new SessionMemory(store, field.crypto, undefined).read();
  assert.ok(state?.kind === 'live');
  await device.cutPower();
  const endpoint = { ingress: gatewayId, linkAddress: device.linkAddress };
  const ask = async (content: CoapContent): Promise<CoapContent> => {
    const request = { ...content, type: 'CON', messageId: 1, token: empty } as const;
    const frame = writeFrame({ kind: 'coap', message: encodeMessage(request) });
    const answer = await field.relay.take(endpoint, frame);
    assert.ok(answer instanceof Uint8Array, String(answer));
    return parseMessage(answer.subarray(1));
  };
  const { crypto } = field;
  const config = { crypto, isCapable: true, peer: 'unknown', preserveObservations: false } as const;
  const run = new KudosIdle(config, state.session.oscoreParameters()).begin();
  const ping = { code: methods.post, options: uriPath(kudosPath), payload: empty };
  const sent = run.protectRequest(ping);
  assert.ok(!isRefused(sent));
  const message = await ask(sent.message);
  const received = run.receive({ kind: 'response', message, exchange: sent.exchange });
  assert.ok(!isRefused(received) && received.next instanceof KudosConfirmed);
  const { material } = received.next.fresh;
  const channel = new Channel(crypto, material, freshChannel);
  const use = channel.reservation(1);
  assert.ok(use);
  channel.confirm(use);
  const telemetry = channel.protect(telemetryRequest(utf8('two'), true));
  assert.ok(telemetry);
  const answer = channel.open(telemetry.exchange, await ask(telemetry.message));
  assert.equal(answer?.code, responses.changed);
  assert.deepEqual(field.textsOf(device.deviceId), ['one', 'two']);
  assert.equal(field.relay.counters.keyUpdates, 1);
});
