/** OSCORE exchanges: what is seen outside, what is accepted, and what is refused without a change. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import type { CoapContent, CoapMessage } from '../../../src/wire/coap/message.ts';
import { noResponse } from '../../../src/wire/coap/noResponse.ts';
import {
  type CoapOption,
  findOption,
  findOptions,
  opaque,
  optionNumbers,
  text,
  uint,
  uriPath,
} from '../../../src/wire/coap/options.ts';
import { type AeadAlgorithm, aeadParameters } from '../../../src/wire/crypto/crypto.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { deriveContext, maximumIdBytes } from '../../../src/wire/oscore/context.ts';
import { readProtected } from '../../../src/wire/oscore/incoming.ts';
import { keyLimits, keyState } from '../../../src/wire/oscore/limits.ts';
import { encodeOscoreOption } from '../../../src/wire/oscore/option.ts';
import { withoutProxyPath } from '../../../src/wire/oscore/proxyUri.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { volatileSequence } from '../../../src/wire/oscore/sequence.ts';
import {
  protectResponse,
  ServerExchange,
  unprotectRequest,
} from '../../../src/wire/oscore/server.ts';
import { contextPair, granted, numberOf, refusalOf } from '../../support/oscore.ts';

const none = new Uint8Array(0);
const token = Uint8Array.of(7);

function request(
  code: number,
  options: readonly CoapOption[],
  payload: Uint8Array = none,
): CoapMessage {
  return { type: 'CON', code, messageId: 1, token, options, payload };
}

function content(payload: string, options: readonly CoapOption[] = []): CoapMessage {
  return { ...request(responses.content, options, utf8(payload)), type: 'ACK' };
}

function numbersOf({ options }: CoapContent): number[] {
  return options.map(({ number }) => number);
}

const observe = (value: number): CoapOption => uint(optionNumbers.observe, value);

for (const aead of Object.keys(aeadParameters) as AeadAlgorithm[]) {
  test(`${aead}: a request and its answer`, () => {
    for (const hkdf of ['SHA-256', 'SHA-384', 'SHA-512'] as const) {
      const { client, server } = contextPair({ aead, hkdf });
      const asked = request(methods.post, uriPath('/a'), utf8('42'));
      const sent = granted(protectRequest(asked, numberOf(client, 2 ** 40 - 1)));
      const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
      assert.equal(opened.outcome, 'accepted');
      assert.deepEqual(opened.message, asked);
      const answer = granted(protectResponse(opened.exchange, content('ok')));
      assert.deepEqual(granted(unprotectResponse(sent.exchange, answer)).message, content('ok'));
      assert.equal(maximumIdBytes(aead), aeadParameters[aead].nonceBytes - 6);
    }
  });
}

test('RFC 8613 Figure 5: only options of Class U are seen outside', () => {
  const { client, server } = contextPair();
  const hidden = [
    opaque(optionNumbers.ifMatch, Uint8Array.of(1)),
    opaque(optionNumbers.eTag, Uint8Array.of(2)),
    ...uriPath('/secret/path'),
    uint(optionNumbers.contentFormat, 60),
    uint(optionNumbers.maxAge, 1),
    text(optionNumbers.uriQuery, 'q'),
    uint(optionNumbers.accept, 60),
    uint(optionNumbers.block2, 6),
    uint(optionNumbers.block1, 6),
    uint(optionNumbers.size1, 5),
    opaque(optionNumbers.echo, Uint8Array.of(3)),
    noResponse(26),
    opaque(optionNumbers.requestTag, Uint8Array.of(4)),
    // Unknown options are Class E (§4.1).
    opaque(2051, Uint8Array.of(5)),
  ];
  const visible = [
    text(optionNumbers.uriHost, 'h'),
    uint(optionNumbers.uriPort, 5683),
    text(optionNumbers.proxyScheme, 'coap'),
  ];
  const options = [...hidden, ...visible].sort((left, right) => left.number - right.number);
  const asked = request(methods.put, options, utf8('plain'));
  const { message } = granted(protectRequest(asked, numberOf(client, 0)));
  assert.deepEqual(numbersOf(message), [3, 7, 9, 39]);
  assert.equal(message.code, methods.post);
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), message));
  assert.equal(opened.outcome, 'accepted');
  assert.deepEqual(opened.message, asked);
});

test('RFC 8613 §8.2 step 1: what somebody adds outside has no effect inside', () => {
  const { client, server } = contextPair();
  const asked = request(methods.get, uriPath('/a'));
  const { message } = granted(protectRequest(asked, numberOf(client, 0)));
  const meddled = {
    ...message,
    code: methods.delete,
    options: [...message.options, ...uriPath('/b'), noResponse(26), observe(0)],
  };
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), meddled));
  assert.equal(opened.outcome, 'accepted');
  assert.deepEqual(opened.message, asked);
});

test('RFC 8613 §4.1.3.3: a Proxy-Uri is taken apart', () => {
  const { client, server } = contextPair();
  const uri = text(optionNumbers.proxyUri, 'coap://example.com/resource?q=1');
  const whole = request(methods.get, [uri]);
  const asked = { ...whole, options: withoutProxyPath(whole.options) };
  const sent = granted(protectRequest(asked, numberOf(client, 0)));
  assert.deepEqual(numbersOf(sent.message), [optionNumbers.oscore, optionNumbers.proxyUri]);
  const outside = findOption(sent.message.options, optionNumbers.proxyUri);
  assert.deepEqual(outside, utf8('coap://example.com'));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  assert.equal(opened.outcome, 'accepted');
  assert.deepEqual(findOptions(opened.message.options, optionNumbers.uriPath), [utf8('resource')]);
  assert.deepEqual(findOptions(opened.message.options, optionNumbers.uriQuery), [utf8('q=1')]);
  assert.throws(() => withoutProxyPath([text(optionNumbers.proxyUri, '/x')]), TypeError);
  // Forgotten, it would show path and query to everybody.
  for (const open of [
    '/x',
    'coap://example.com/a',
    'coap://example.com/',
    'coap://example.com?q',
  ]) {
    const asking = request(methods.get, [text(optionNumbers.proxyUri, open)]);
    assert.throws(() => protectRequest(asking, numberOf(client, 1)), TypeError, open);
  }
});

test('RFC 8613 §4.1.3.5: an observation with its notifications', () => {
  const { client, server } = contextPair();
  const asked = request(methods.get, [observe(0), ...uriPath('/a')]);
  const sent = granted(protectRequest(asked, numberOf(client, 3)));
  assert.equal(sent.message.code, methods.fetch);
  assert.deepEqual(numbersOf(sent.message), [optionNumbers.observe, optionNumbers.oscore]);
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  assert.equal(opened.outcome, 'accepted');
  const { exchange } = opened;
  const notify = (body: string, number?: number) =>
    granted(
      protectResponse(
        exchange,
        content(body, [observe(9)]),
        number === undefined ? undefined : numberOf(server, number),
      ),
    );
  const first = notify('1');
  const second = notify('2', 0x01_0203);
  const third = notify('3', 0x01_0204);
  assert.equal(second.code, responses.content);
  // Only the first may use the nonce of the request.
  assert.throws(() => notify('4'), TypeError);

  const receive = (message: CoapMessage) => unprotectResponse(sent.exchange, message);
  assert.deepEqual(granted(receive(first)).message.options, [opaque(optionNumbers.observe)]);
  assert.equal(refusalOf(receive(first)), 'replay');
  const newest = granted(receive(third));
  assert.equal(newest.sequenceNumber, 0x01_0204);
  assert.deepEqual(newest.message.options, [opaque(optionNumbers.observe, fromHex('010204'))]);
  assert.equal(refusalOf(receive(second)), 'replay');
  assert.equal(refusalOf(receive(third)), 'replay');
  // A response without Observe is the last one.
  const last = granted(protectResponse(exchange, content('gone'), numberOf(server, 0x01_0205)));
  assert.equal(granted(receive(last)).message.code, responses.content);
  assert.ok(sent.exchange.isOver && exchange.isOver);
  assert.equal(refusalOf(receive(last)), 'already-answered');
  assert.throws(() => notify('5', 0x01_0206), TypeError);
});

test('RFC 8613 §7.4.1: a first notification without Partial IV that comes late is the oldest', () => {
  const { client, server } = contextPair();
  const asked = request(methods.get, [observe(0)]);
  const sent = granted(protectRequest(asked, numberOf(client, 0)));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  assert.equal(opened.outcome, 'accepted');
  const first = granted(protectResponse(opened.exchange, content('1', [observe(1)])));
  const number = numberOf(server, 0);
  const second = granted(protectResponse(opened.exchange, content('2', [observe(2)]), number));
  granted(unprotectResponse(sent.exchange, second));
  assert.equal(refusalOf(unprotectResponse(sent.exchange, first)), 'replay');
});

test('a notification for a request that did not register is refused on both sides', () => {
  const { client, server } = contextPair();
  const sent = granted(protectRequest(request(methods.get, []), numberOf(client, 0)));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  assert.equal(opened.outcome, 'accepted');
  assert.throws(() => protectResponse(opened.exchange, content('1', [observe(1)])), TypeError);
  // A server that does it nevertheless.
  const misled = ServerExchange.restore(server, { ...opened.exchange.state(), observes: true });
  const answer = granted(protectResponse(misled, content('1', [observe(1)]), numberOf(server, 0)));
  assert.equal(refusalOf(unprotectResponse(sent.exchange, answer)), 'plaintext-malformed');
});

test('an exchange restored after a restart answers with numbers of its own only', () => {
  const { client, server } = contextPair();
  const asked = request(methods.get, [observe(0)]);
  const sent = granted(protectRequest(asked, numberOf(client, 0)));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  assert.equal(opened.outcome, 'accepted');
  const restored = ServerExchange.restore(server, opened.exchange.state());
  const answer = content('1', [observe(1)]);
  assert.throws(() => protectResponse(restored, answer), TypeError);
  const protectedAnswer = granted(protectResponse(restored, answer, numberOf(server, 5)));
  assert.equal(granted(unprotectResponse(sent.exchange, protectedAnswer)).sequenceNumber, 5);
});

test('a response fits its own request only', () => {
  const { client, server } = contextPair();
  const sent = [0, 1].map((value) =>
    granted(protectRequest(request(methods.get, []), numberOf(client, value))),
  );
  const [first, second] = sent;
  assert.ok(first !== undefined && second !== undefined);
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), first.message));
  const answer = granted(protectResponse(opened.exchange, content('1'), numberOf(server, 0)));
  assert.equal(refusalOf(unprotectResponse(second.exchange, answer)), 'decryption-failed');
  assert.equal(second.exchange.isOver, false);
  granted(unprotectResponse(first.exchange, answer));
  second.exchange.close();
  assert.equal(refusalOf(unprotectResponse(second.exchange, answer)), 'already-answered');
});

test('what we sent is not accepted from ourselves', () => {
  const { client, server } = contextPair();
  const sent = granted(protectRequest(request(methods.get, []), numberOf(client, 0)));
  const window = ReplayWindow.empty();
  assert.equal(refusalOf(unprotectRequest(client, window, sent.message)), 'unknown-context');
  const opened = granted(unprotectRequest(server, window, sent.message));
  const answer = granted(protectResponse(opened.exchange, content('1')));
  const other = granted(protectRequest(request(methods.get, []), numberOf(server, 0)));
  assert.equal(refusalOf(unprotectResponse(other.exchange, answer)), 'decryption-failed');
  assert.equal(refusalOf(unprotectResponse(other.exchange, other.message)), 'decryption-failed');
});

test('kid and kid context choose the context', () => {
  const idContext = Uint8Array.of(9, 9);
  const { client, server } = contextPair({ idContext });
  const plain = contextPair();
  const window = ReplayWindow.empty();
  const asked = request(methods.get, []);
  const sent = granted(protectRequest(asked, numberOf(client, 0)));
  const header = readProtected(sent.message);
  assert.ok(!('refused' in header));
  assert.deepEqual(header.kidContext, idContext);
  granted(unprotectRequest(server, window, sent.message));
  assert.equal(refusalOf(unprotectRequest(plain.server, window, sent.message)), 'unknown-context');
  const bare = granted(protectRequest(asked, numberOf(client, 1), { sendKidContext: false }));
  granted(unprotectRequest(server, window, bare.message));
  const wrongKeys = unprotectRequest(plain.server, window, bare.message);
  assert.equal(refusalOf(wrongKeys), 'decryption-failed');
});

test('a request that is no OSCORE request changes nothing', () => {
  const { client, server } = contextPair();
  const window = ReplayWindow.empty();
  const { message } = granted(protectRequest(request(methods.get, []), numberOf(client, 0)));
  const withOption = (...values: readonly Uint8Array[]): CoapMessage => ({
    ...message,
    options: values.map((value) => opaque(optionNumbers.oscore, value)),
  });
  const kid = client.senderId;
  const nonce = Uint8Array.of(1);
  const keyUpdate = {
    convergent: false,
    preserveObservations: false,
    noForwardSecrecy: false,
    nonce,
  };
  for (const [name, broken, refused] of [
    ['no option', withOption(), 'not-oscore'],
    ['two options', withOption(fromHex('09000c'), fromHex('09000c')), 'malformed'],
    ['no payload', { ...message, payload: none }, 'malformed'],
    ['option broken', withOption(fromHex('0f')), 'malformed'],
    ['no Partial IV', withOption(fromHex('080c')), 'malformed'],
    ['no kid', withOption(fromHex('0100')), 'malformed'],
    ['empty option', withOption(none), 'malformed'],
    ['kid of another', withOption(fromHex('090066')), 'unknown-context'],
    [
      'key update',
      withOption(encodeOscoreOption({ kid, partialIv: nonce, keyUpdate })),
      'unexpected-key-update',
    ],
    ['number changed', withOption(fromHex('09010c')), 'decryption-failed'],
    ['tag cut', { ...message, payload: message.payload.subarray(1) }, 'decryption-failed'],
    ['one byte', { ...message, payload: nonce }, 'decryption-failed'],
  ] as const) {
    assert.equal(refusalOf(unprotectRequest(server, window, broken)), refused, name);
  }
  assert.equal(window.check(0), 'fresh');
  granted(unprotectRequest(server, window, message));
});

test('replays are refused before decryption and do not count against the key', () => {
  const { client, server } = contextPair();
  const { message } = granted(protectRequest(request(methods.get, []), numberOf(client, 100)));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), message));
  assert.equal(opened.outcome, 'accepted');
  const again = unprotectRequest(server, opened.window, message);
  assert.equal(refusalOf(again), 'replay');
  assert.equal('sequenceNumber' in again && again.sequenceNumber, 100);
  const old = granted(protectRequest(request(methods.get, []), numberOf(client, 68)));
  assert.equal(refusalOf(unprotectRequest(server, opened.window, old.message)), 'replay');
  const late = granted(protectRequest(request(methods.get, []), numberOf(client, 69)));
  granted(unprotectRequest(server, opened.window, late.message));
  assert.equal(server.usage.failedVerifications, 0);
});

test('a verified plaintext that is no request uses up its number', () => {
  const { client, server } = contextPair();
  const number = numberOf(client, 0);
  // Sealed by the peer's own key: nothing but a defect of the peer makes this.
  const aad = client.own.additionalData(Uint8Array.of(0));
  for (const plaintext of ['', '45', '00', '01ff', '0190', '01f0']) {
    const payload = client.seal(client.own.nonce(Uint8Array.of(0)), aad, fromHex(plaintext));
    assert.ok(payload);
    const option = opaque(optionNumbers.oscore, fromHex('09000c'));
    const outcome = unprotectRequest(server, ReplayWindow.empty(), {
      ...request(methods.post, [option]),
      payload,
    });
    assert.equal(refusalOf(outcome), 'plaintext-malformed', plaintext);
    assert.equal('window' in outcome && outcome.window?.check(0), 'replayed');
  }
  assert.equal(number.spend(), 0);
});

test('RFC 8613 §B.1.2: a lost window takes nothing before Echo proved a request fresh', () => {
  const { client, server } = contextPair();
  const lost = ReplayWindow.lost();
  const first = granted(protectRequest(request(methods.get, []), numberOf(client, 40)));
  const opened = granted(unprotectRequest(server, lost, first.message));
  assert.equal(opened.outcome, 'unsynchronized');
  assert.equal(opened.echo, undefined);
  const echo = opaque(optionNumbers.echo, Uint8Array.of(1, 2, 3));
  const challenge = { ...content(''), code: responses.unauthorized, options: [echo] };
  // The nonce of the request may have been used before the loss.
  assert.throws(() => protectResponse(opened.exchange, challenge), TypeError);
  const sent = granted(protectResponse(opened.exchange, challenge, numberOf(server, 7)));
  const received = granted(unprotectResponse(first.exchange, sent));
  assert.equal(received.sequenceNumber, 7);
  assert.deepEqual(received.message.options, [echo]);

  const second = granted(protectRequest(request(methods.get, [echo]), numberOf(client, 41)));
  const fresh = granted(unprotectRequest(server, lost, second.message));
  assert.equal(fresh.outcome, 'unsynchronized');
  assert.deepEqual(fresh.echo, echo.value);
  const accepted = fresh.synchronize();
  assert.throws(() => fresh.synchronize(), TypeError);
  assert.equal(accepted.message.code, methods.get);
  for (const [number, verdict] of [
    [41, 'replayed'],
    [40, 'replayed'],
    [10, 'replayed'],
    [9, 'too-old'],
    [42, 'fresh'],
  ] as const) {
    assert.equal(accepted.window.check(number), verdict, String(number));
  }
  granted(protectResponse(accepted.exchange, content('1')));
  assert.throws(() => lost.state(), TypeError);
  assert.throws(() => lost.accept(1), TypeError);
});

test('a message that is protected already, or of the wrong kind, is a mistake of the caller', () => {
  const { client, server } = contextPair();
  const nested = request(methods.get, [opaque(optionNumbers.oscore)]);
  assert.throws(() => protectRequest(nested, numberOf(client, 0)), TypeError);
  assert.throws(() => protectRequest(content('1'), numberOf(client, 0)), TypeError);
  const sent = granted(protectRequest(request(methods.get, []), numberOf(client, 0)));
  const { exchange } = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  assert.throws(() => protectResponse(exchange, request(methods.get, [])), TypeError);
  granted(protectResponse(exchange, content('1')));
  assert.throws(() => protectResponse(exchange, content('1')), TypeError);
  const number = numberOf(client, 1);
  granted(protectRequest(request(methods.get, []), number));
  assert.throws(() => protectRequest(request(methods.get, []), number), TypeError);
});

test('identifiers that would share key and nonce, or are too long, are refused', () => {
  const parameters = { crypto: nodeCrypto, masterSecret: new Uint8Array(16) };
  const one = Uint8Array.of(1);
  assert.throws(() => deriveContext({ ...parameters, senderId: one, recipientId: one }), TypeError);
  const long = new Uint8Array(8);
  assert.throws(
    () => deriveContext({ ...parameters, senderId: long, recipientId: one }),
    TypeError,
  );
});

test('key limits: encryptions stop at q, verifications at v, replays do not count', () => {
  const usage = { encryptions: 2 ** 20 - 1, failedVerifications: 2 ** 14 - 1 };
  const { client, server } = contextPair({ usage });
  const asked = request(methods.get, []);
  const sent = granted(protectRequest(asked, numberOf(client, 0)));
  assert.equal(refusalOf(protectRequest(asked, numberOf(client, 1))), 'key-worn-out');
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  granted(protectResponse(opened.exchange, content('1')));
  const broken = { ...sent.message, payload: new Uint8Array(20) };
  const window = ReplayWindow.empty();
  assert.equal(refusalOf(unprotectRequest(server, window, broken)), 'decryption-failed');
  assert.equal(refusalOf(unprotectRequest(server, window, sent.message)), 'key-worn-out');
  assert.deepEqual(server.usage, { encryptions: 2 ** 20, failedVerifications: 2 ** 14 });
  const answer = { ...content('1'), options: [opaque(optionNumbers.oscore)] };
  const spent = contextPair({ usage: { encryptions: 0, failedVerifications: 2 ** 14 } });
  const waiting = granted(protectRequest(asked, numberOf(spent.client, 0)));
  assert.equal(refusalOf(unprotectResponse(waiting.exchange, answer)), 'key-worn-out');
});

test('key limits: the state tells when to renew', () => {
  const limits = keyLimits('AES-CCM-16-64-128');
  assert.deepEqual(limits, {
    encryptions: 2 ** 20,
    failedVerifications: 2 ** 14,
    messageBytes: 4096,
  });
  assert.equal(keyLimits('A128GCM').failedVerifications, 2 ** 20);
  assert.equal(keyLimits('ChaCha20/Poly1305').messageBytes, 65_536);
  const state = (encryptions: number, failedVerifications: number) =>
    keyState({ encryptions, failedVerifications }, limits);
  assert.equal(state(0, 0), 'fine');
  assert.equal(state(0.75 * 2 ** 20, 0), 'renew');
  assert.equal(state(0, 0.75 * 2 ** 14), 'renew');
  assert.equal(state(2 ** 20, 0), 'worn-out');
  assert.equal(state(0, 2 ** 14), 'worn-out');
});

test('key limits: a message beyond l is refused and spends nothing', () => {
  const { client, server } = contextPair();
  const long = request(methods.post, [], new Uint8Array(4096 - 8 - 1));
  const number = numberOf(client, 0);
  assert.equal(refusalOf(protectRequest(long, number)), 'message-too-long');
  const fitting = { ...long, payload: long.payload.subarray(1) };
  const sent = granted(protectRequest(fitting, number));
  const { exchange } = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  const answer = { ...content(''), payload: long.payload };
  assert.equal(refusalOf(protectResponse(exchange, answer)), 'message-too-long');
  granted(protectResponse(exchange, { ...answer, payload: fitting.payload }));
});

test('a context shows no secret', () => {
  const { client } = contextPair();
  const secret = toHex(new Uint8Array(16).fill(0x2a));
  for (const shown of [inspect(client, { depth: 9 }), JSON.stringify(client)]) {
    assert.ok(!shown.includes(secret) && !/42,\s*42/.test(shown), shown);
  }
  const sequence = volatileSequence(client);
  const { exchange } = granted(protectRequest(request(methods.get, []), granted(sequence.take())));
  assert.ok(!inspect(exchange, { depth: 9, showHidden: true }).includes(secret));
});
