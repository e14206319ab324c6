/** The CoAP machine on a virtual clock: timing of RFC 7252 §4, both roles, and a path that loses and doubles. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import {
  CoapEndpoint,
  type CoapEvent,
  type CoapStep,
  type EndpointConfig,
  type EndpointLimits,
} from '../../../src/wire/coap/endpoint.ts';
import {
  type CoapContent,
  encodeMessage,
  type MessageType,
  parseMessage,
} from '../../../src/wire/coap/message.ts';
import { optionNumbers, uint, uriPath } from '../../../src/wire/coap/options.ts';
import { Timers } from '../../../src/wire/coap/timers.ts';
import {
  defaultTransmission,
  exchangeLifetimeMs,
  maximumTransmitSpanMs,
  nonLifetimeMs,
} from '../../../src/wire/coap/transmission.ts';

const none = new Uint8Array(0);
const get: CoapContent = { code: methods.get, options: uriPath('/a'), payload: none };
const lifetimeMs = exchangeLifetimeMs(defaultTransmission);

function ok(payload: string, options: CoapContent['options'] = []): CoapContent {
  return { code: responses.content, options, payload: utf8(payload) };
}

/** Bytes that look random and are the same in each run. */
function seeded(seed: number): (lengthBytes: number) => Uint8Array {
  let state = seed;
  return (lengthBytes) =>
    Uint8Array.from({ length: lengthBytes }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 16) & 255;
    });
}

function endpoint(overrides: Partial<EndpointConfig> = {}, seed = 1): CoapEndpoint {
  return new CoapEndpoint({ randomBytes: seeded(seed), ...overrides });
}

function limited(limits: Partial<EndpointLimits>): CoapEndpoint {
  return endpoint({ limits });
}

function requested(outcome: ReturnType<CoapEndpoint['request']>) {
  assert.ok(!('refused' in outcome), 'refused');
  return outcome;
}

function sentTypes(step: CoapStep): MessageType[] {
  return step.send.map(({ bytes }) => parseMessage(bytes).type);
}

function only<Item>(items: readonly Item[]): Item {
  const [item] = items;
  assert.ok(items.length === 1 && item !== undefined, `${items.length} items`);
  return item;
}

function exchangeOf(step: CoapStep): number {
  const event = only(step.deliver);
  assert.ok(event.kind === 'request');
  return event.exchange;
}

function answerTo(sent: Uint8Array, type: MessageType, content: CoapContent, messageId?: number) {
  const request = parseMessage(sent);
  const id = messageId ?? request.messageId;
  return encodeMessage({ ...content, type, messageId: id, token: request.token });
}

function emptyAnswer(type: MessageType, messageId: number): Uint8Array {
  return encodeMessage({ type, code: 0, messageId, token: none, options: [], payload: none });
}

test('RFC 7252 §4.8.2: derived times', () => {
  assert.equal(maximumTransmitSpanMs(defaultTransmission), 45_000);
  assert.equal(lifetimeMs, 247_000);
  assert.equal(nonLifetimeMs(defaultTransmission), 145_000);
});

test('RFC 7252 §4.2: an unanswered confirmable request is sent five times, then it failed', () => {
  const client = endpoint();
  const step = requested(client.request('s', get, 0));
  const first = only(step.send);
  const times: number[] = [];
  let { wakeAtMs } = step;
  let events: readonly CoapEvent[] = [];
  while (events.length === 0 && wakeAtMs !== undefined) {
    const next = client.tick(wakeAtMs);
    for (const { bytes } of next.send) {
      assert.deepEqual(bytes, first.bytes);
      times.push(wakeAtMs);
    }
    if (next.deliver.length > 0) times.push(wakeAtMs);
    events = next.deliver;
    ({ wakeAtMs } = next);
  }
  assert.deepEqual(events, [{ kind: 'failed', peer: 's', request: 1, reason: 'timeout' }]);
  assert.equal(times.length, 5);
  const [firstMs = 0] = times;
  assert.ok(firstMs >= 2_000 && firstMs <= 3_000);
  assert.deepEqual(
    times.map((atMs) => atMs / firstMs),
    [1, 3, 7, 15, 31],
  );
  assert.equal(wakeAtMs, undefined);
});

test('a piggybacked response ends the request; a duplicate of it does nothing', () => {
  const client = endpoint();
  const sent = requested(client.request('s', get, 0));
  const answer = answerTo(only(sent.send).bytes, 'ACK', ok('22'));
  const step = client.deliver('s', answer, 10);
  const event = only(step.deliver);
  assert.ok(event.kind === 'response' && event.final && event.request === sent.request);
  assert.deepEqual(event.message.payload, utf8('22'));
  assert.equal(step.wakeAtMs, undefined);
  assert.deepEqual(client.deliver('s', answer, 20), { send: [], deliver: [], wakeAtMs: undefined });
});

test('RFC 7252 §5.3.2: a response needs the peer, the token and the message ID', () => {
  const client = endpoint();
  const { bytes } = only(requested(client.request('s', get, 0)).send);
  const answer = answerTo(bytes, 'ACK', ok('22'));
  const silent = (step: CoapStep) => assert.deepEqual([step.send, step.deliver], [[], []]);
  silent(client.deliver('other', answer, 1));
  silent(client.deliver('s', answerTo(bytes, 'ACK', ok('22'), 1), 1));
  const otherToken = parseMessage(answer);
  const changed = { ...otherToken, token: Uint8Array.of(1, 2, 3, 4) };
  silent(client.deliver('s', encodeMessage(changed), 1));
  // An ACK with a request code, a RST with a code: nonsense of the peer.
  silent(client.deliver('s', answerTo(bytes, 'ACK', get), 1));
  silent(client.deliver('s', answerTo(bytes, 'RST', ok('22')), 1));
  assert.equal(only(client.deliver('s', answer, 1).deliver).kind, 'response');
});

test('RFC 7252 §5.2.2: a separate response, also when its acknowledgement was lost', () => {
  const server = endpoint();
  for (const acknowledgementArrives of [true, false]) {
    const client = endpoint({}, acknowledgementArrives ? 3 : 4);
    const sent = requested(client.request('s', get, 0));
    const exchange = exchangeOf(server.deliver('c', only(sent.send).bytes, 0));
    const acknowledged = server.tick(1_000);
    assert.deepEqual(sentTypes(acknowledged), ['ACK']);
    if (acknowledgementArrives) {
      const step = client.deliver('s', only(acknowledged.send).bytes, 1_001);
      assert.equal(step.deliver.length, 0);
    }
    // The duplicate of the request gets the same acknowledgement and is not processed again.
    const again = server.deliver('c', only(sent.send).bytes, 1_100);
    assert.deepEqual(sentTypes(again), ['ACK']);
    assert.equal(again.deliver.length, 0);
    const responded = server.respond(exchange, ok('late'), 1_500);
    assert.deepEqual(sentTypes(responded), ['CON']);
    const received = client.deliver('s', only(responded.send).bytes, 1_510);
    assert.equal(only(received.deliver).kind, 'response');
    assert.deepEqual(sentTypes(received), ['ACK']);
    // The duplicate of the response is acknowledged again, and not delivered again.
    const doubled = client.deliver('s', only(responded.send).bytes, 1_520);
    assert.deepEqual([sentTypes(doubled), doubled.deliver], [['ACK'], []]);
    const settled = server.deliver('c', only(received.send).bytes, 1_530);
    assert.equal(settled.wakeAtMs, undefined);
    assert.equal(server.isOpen(exchange), false);
  }
});

test('an acknowledged request without a response fails after the lifetime of the exchange', () => {
  const client = endpoint();
  const sent = requested(client.request('s', get, 0));
  const { messageId } = parseMessage(only(sent.send).bytes);
  const step = client.deliver('s', emptyAnswer('ACK', messageId), 100);
  assert.equal(step.wakeAtMs, 100 + lifetimeMs);
  const event = only(client.tick(100 + lifetimeMs).deliver);
  assert.ok(event.kind === 'failed' && event.reason === 'no-response');
});

test('a Reset fails the request', () => {
  const client = endpoint();
  const sent = requested(client.request('s', get, 0));
  const { messageId } = parseMessage(only(sent.send).bytes);
  const event = only(client.deliver('s', emptyAnswer('RST', messageId), 100).deliver);
  assert.ok(event.kind === 'failed' && event.reason === 'reset');
});

test('RFC 7252 §4.7: NSTART others outstanding make a request wait, and an answer lets it go', () => {
  const client = endpoint();
  const first = requested(client.request('s', get, 0));
  const second = requested(client.request('s', get, 0));
  assert.equal(second.send.length, 0);
  assert.equal(requested(client.request('t', get, 0)).send.length, 1);
  const step = client.deliver('s', answerTo(only(first.send).bytes, 'ACK', ok('1')), 5);
  assert.equal(only(step.send).peer, 's');
  const forgotten = client.forget(second.request, 6);
  assert.equal(forgotten.send.length, 0);
});

test('RFC 7252 §4.7: towards a silent peer one byte a second', () => {
  const client = endpoint();
  const first = requested(client.request('s', get, 0, { confirmable: false }));
  const { bytes } = only(first.send);
  assert.equal(parseMessage(bytes).type, 'NON');
  assert.equal(requested(client.request('s', get, 0, { confirmable: false })).send.length, 0);
  assert.equal(client.tick(bytes.length * 1000 - 1).send.length, 0);
  assert.equal(client.tick(bytes.length * 1000).send.length, 1);
  // A late answer is still taken.
  const late = client.deliver('s', answerTo(bytes, 'NON', ok('1'), 77), 60_000);
  assert.equal(only(late.deliver).kind, 'response');
});

test('a non-confirmable request without any answer fails in the end', () => {
  const client = endpoint();
  let { wakeAtMs } = requested(client.request('s', get, 0, { confirmable: false }));
  const events: CoapEvent[] = [];
  while (wakeAtMs !== undefined) {
    const step = client.tick(wakeAtMs);
    events.push(...step.deliver);
    ({ wakeAtMs } = step);
  }
  assert.deepEqual(events, [{ kind: 'failed', peer: 's', request: 1, reason: 'timeout' }]);
});

test('RFC 7252 §4.5: a duplicate within the lifetime is not processed again, afterwards it is new', () => {
  const server = endpoint();
  const bytes = fromHex('41010007aab161');
  const exchange = exchangeOf(server.deliver('c', bytes, 0));
  assert.deepEqual(server.deliver('c', bytes, 1).deliver, []);
  const answer = only(server.respond(exchange, ok('1'), 2).send);
  const again = server.deliver('c', bytes, 3);
  assert.deepEqual(again.send, [answer]);
  assert.equal(again.deliver.length, 0);
  assert.equal(server.deliver('d', bytes, 3).deliver.length, 1);
  assert.equal(server.deliver('c', bytes, lifetimeMs).deliver.length, 1);
  const non = fromHex('51010008aab161');
  assert.equal(server.deliver('c', non, lifetimeMs).deliver.length, 1);
  assert.deepEqual(server.deliver('c', non, lifetimeMs + 1).deliver, []);
});

test('RFC 7252 §4.2, §4.3: what cannot be processed is rejected when confirmable, else ignored', () => {
  const server = endpoint();
  for (const [name, bytes, answered, delivered] of [
    ['malformed CON', '40010007ff', 'RST', 1],
    ['malformed NON', '50010007ff', undefined, 1],
    ['malformed ACK', '60450007ff', undefined, 1],
    ['ping', '40000007', 'RST', 0],
    ['Empty NON', '50000007', undefined, 0],
    ['another version', '80010007', undefined, 0],
    ['no header', '4001', undefined, 1],
    ['response nobody waits for', '41450009aa', 'RST', 0],
    ['the same as NON', '5145000aaa', 'RST', 0],
    ['ACK of nothing', '60000007', undefined, 0],
    ['RST of nothing', '70000007', undefined, 0],
  ] as const) {
    const step = server.deliver('c', fromHex(bytes), 0);
    assert.deepEqual(sentTypes(step)[0], answered, name);
    assert.equal(step.deliver.filter(({ kind }) => kind === 'malformed').length, delivered, name);
  }
});

test('RFC 7641: notifications, until the client resets or does not confirm', () => {
  const observe = (value: number) => uint(optionNumbers.observe, value);
  const client = endpoint();
  const server = endpoint({}, 2);
  const register: CoapContent = { ...get, options: [observe(0), ...uriPath('/a')] };
  const sent = requested(client.request('s', register, 0));
  const exchange = exchangeOf(server.deliver('c', only(sent.send).bytes, 0));
  const first = server.respond(exchange, ok('1', [observe(1)]), 1, { keep: true });
  const received = only(client.deliver('s', only(first.send).bytes, 2).deliver);
  assert.ok(received.kind === 'response' && !received.final);
  assert.throws(() => server.respond(exchange, ok('2'), 3), TypeError);
  // An hour later, far beyond the lifetime of the exchange.
  const later = server.notify(exchange, ok('2', [observe(2)]), 3_600_000);
  assert.deepEqual(sentTypes(later), ['NON']);
  const notified = only(client.deliver('s', only(later.send).bytes, 3_600_010).deliver);
  assert.ok(notified.kind === 'response' && notified.request === sent.request);
  const confirmed = server.notify(exchange, ok('3', [observe(3)]), 3_700_000, {
    confirmable: true,
  });
  const acknowledged = client.deliver('s', only(confirmed.send).bytes, 3_700_010);
  assert.deepEqual(sentTypes(acknowledged), ['ACK']);
  server.deliver('c', only(acknowledged.send).bytes, 3_700_020);
  // The client forgets: the next notification is reset, and the server knows.
  client.forget(sent.request, 3_700_030);
  const unwanted = server.notify(exchange, ok('4', [observe(4)]), 3_800_000);
  const reset = client.deliver('s', only(unwanted.send).bytes, 3_800_010);
  assert.deepEqual(sentTypes(reset), ['RST']);
  const event = only(server.deliver('c', only(reset.send).bytes, 3_800_020).deliver);
  assert.deepEqual(event, { kind: 'cancelled', peer: 'c', exchange });
  assert.equal(server.isOpen(exchange), false);
});

test('a confirmable notification that nobody confirms cancels; the last one closes', () => {
  const server = endpoint();
  const exchange = exchangeOf(server.deliver('c', fromHex('41010007aa60'), 0));
  assert.throws(() => server.notify(exchange, ok('1'), 1), TypeError);
  server.respond(exchange, ok('1'), 1, { keep: true });
  let { wakeAtMs } = server.notify(exchange, ok('2'), 2, { confirmable: true });
  const events: CoapEvent[] = [];
  while (wakeAtMs !== undefined) {
    const step = server.tick(wakeAtMs);
    events.push(...step.deliver);
    ({ wakeAtMs } = step);
  }
  assert.deepEqual(events, [{ kind: 'cancelled', peer: 'c', exchange }]);
  const other = exchangeOf(server.deliver('c', fromHex('41010008ab60'), 600_000));
  server.respond(other, ok('1'), 600_001, { keep: true });
  server.notify(other, ok('2'), 600_002, { last: true });
  assert.equal(server.isOpen(other), false);
  assert.equal(server.notify(other, ok('3'), 600_003).send.length, 0);
});

test('RFC 7967: a request whose response is not wanted is acknowledged if confirmable', () => {
  const server = endpoint();
  const confirmable = exchangeOf(server.deliver('c', fromHex('41010007aa'), 0));
  assert.deepEqual(sentTypes(server.dismiss(confirmable)), ['ACK']);
  const other = exchangeOf(server.deliver('c', fromHex('51010008aa'), 0));
  const step = server.dismiss(other);
  assert.deepEqual(step, { send: [], deliver: [], wakeAtMs: undefined });
});

test('a request that is never answered is forgotten with its exchange', () => {
  const server = endpoint();
  const exchange = exchangeOf(server.deliver('c', fromHex('41010007aa'), 0));
  server.tick(1_000);
  server.tick(lifetimeMs);
  assert.equal(server.isOpen(exchange), false);
  assert.deepEqual(server.respond(exchange, ok('1'), lifetimeMs).send, []);
});

test('what is kept has a limit', () => {
  const requests = limited({ requests: 2 });
  requested(requests.request('s', get, 0));
  requested(requests.request('s', get, 0));
  const third = requests.request('s', get, 0);
  assert.ok('refused' in third && third.refused === 'busy');

  const queue = limited({ queued: 1 });
  requested(queue.request('s', get, 0));
  requested(queue.request('s', get, 0));
  assert.ok('refused' in queue.request('s', get, 0));

  const exchanges = limited({ exchanges: 1 });
  const first = exchangeOf(exchanges.deliver('c', fromHex('41010001aa'), 0));
  assert.equal(exchanges.deliver('c', fromHex('41010002aa'), 0).deliver.length, 0);
  exchanges.respond(first, ok('1'), 1);
  // The retransmission finds room.
  assert.equal(exchanges.deliver('c', fromHex('41010002aa'), 2).deliver.length, 1);

  const peers = limited({ peers: 2 });
  const busy = exchangeOf(peers.deliver('a', fromHex('41010001aa'), 0));
  peers.deliver('b', fromHex('40000001'), 0);
  assert.equal(peers.deliver('c', fromHex('41010001aa'), 0).deliver.length, 1);
  assert.equal(peers.deliver('d', fromHex('41010001aa'), 0).deliver.length, 0);
  assert.ok('refused' in peers.request('d', get, 0));
  assert.ok(peers.isOpen(busy));

  const remembered = limited({ remembered: 2, exchanges: 9 });
  for (const id of ['01', '02', '03']) remembered.deliver('a', fromHex(`500100${id}`), 0);
  assert.equal(remembered.deliver('a', fromHex('50010003'), 1).deliver.length, 0);
  assert.equal(remembered.deliver('a', fromHex('50010001'), 1).deliver.length, 1);
});

test('RFC 7252 §4.4: message IDs rest for the lifetime of an exchange', () => {
  const server = limited({ remembered: 4 });
  const exchange = exchangeOf(server.deliver('c', fromHex('51010001aa'), 0));
  server.respond(exchange, ok('0'), 0, { keep: true });
  const ids = new Set<number>();
  let sent = 0;
  for (let count = 0; count < 70_000; count++) {
    for (const { bytes } of server.notify(exchange, ok(''), 1).send) {
      ids.add(parseMessage(bytes).messageId);
      sent += 1;
    }
  }
  assert.equal(ids.size, sent);
  assert.ok(sent > 32_768 && sent <= 65_536, String(sent));
  assert.ok(server.tick(lifetimeMs + 1).send.length > 0);
});

test('timers run in the order of time whatever the order of adding', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(100), fc.boolean()), { size: '+1' }), (entries) => {
      const timers = new Timers();
      const ran: number[] = [];
      for (const [atMs, cancelled] of entries) {
        const timer = timers.add(atMs, () => ran.push(atMs));
        if (cancelled) timers.cancel(timer);
        timers.cancel(cancelled ? timer : undefined);
      }
      const expected = entries.filter(([, cancelled]) => !cancelled).map(([atMs]) => atMs);
      expected.sort((left, right) => left - right);
      assert.equal(timers.nextAtMs, expected[0]);
      timers.run(50);
      assert.deepEqual(
        ran,
        expected.filter((atMs) => atMs <= 50),
      );
      timers.run(100);
      assert.deepEqual(ran, expected);
      assert.equal(timers.nextAtMs, undefined);
    }),
    { numRuns: 200 },
  );
});

test('over a path that loses, doubles and delays, every request ends once and is processed once', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.boolean(), (seed, separate) => {
      const random = seeded(seed);
      const chance = (): number => (random(1)[0] ?? 0) / 256;
      const client = endpoint({ transmission: { nstart: 3 } }, seed);
      const server = endpoint({}, seed + 1);
      const air: Array<{ atMs: number; to: 'c' | 's'; bytes: Uint8Array }> = [];
      const pending: Array<{ atMs: number; exchange: number; payload: Uint8Array }> = [];
      const processed = new Set<string>();
      const ended = new Map<number, string>();
      let nowMs = 0;
      const handle = (role: 'c' | 's', step: CoapStep): void => {
        for (const { bytes } of step.send) {
          for (const lost of chance() < 0.2 ? [false, false] : [chance() < 0.25]) {
            if (!lost)
              air.push({ atMs: nowMs + chance() * 4_000, to: role === 'c' ? 's' : 'c', bytes });
          }
        }
        for (const event of step.deliver) {
          if (event.kind === 'request') {
            const key = toHex(event.message.payload);
            assert.ok(!processed.has(key), 'processed twice');
            processed.add(key);
            const atMs = nowMs + (separate ? 5_000 : 0);
            pending.push({ atMs, exchange: event.exchange, payload: event.message.payload });
          } else if (event.kind === 'response' || event.kind === 'failed') {
            assert.ok(!ended.has(event.request), 'ended twice');
            ended.set(event.request, event.kind);
            if (event.kind === 'response') {
              assert.deepEqual(event.message.payload, Uint8Array.of(event.request));
            }
          }
        }
      };
      for (let index = 1; index <= 8; index++) {
        const content = { ...get, payload: Uint8Array.of(index) };
        const step = requested(client.request('s', content, nowMs));
        assert.equal(step.request, index);
        handle('c', step);
      }
      while (ended.size < 8) {
        nowMs += 250;
        for (const datagram of air.splice(0)) {
          if (datagram.atMs > nowMs) air.push(datagram);
          else if (datagram.to === 's') handle('s', server.deliver('c', datagram.bytes, nowMs));
          else handle('c', client.deliver('s', datagram.bytes, nowMs));
        }
        for (const waiting of pending.splice(0)) {
          if (waiting.atMs > nowMs) pending.push(waiting);
          else
            handle(
              's',
              server.respond(waiting.exchange, { ...ok(''), payload: waiting.payload }, nowMs),
            );
        }
        handle('c', client.tick(nowMs));
        handle('s', server.tick(nowMs));
        assert.ok(nowMs < 4_000_000, 'a request never ended');
      }
    }),
    { numRuns: 40 },
  );
});
