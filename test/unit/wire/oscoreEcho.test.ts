/** Echo (RFC 9175) and the combined EDHOC + OSCORE request (RFC 9668). */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import { type CoapMessage, encodeMessage, parseMessage } from '../../../src/wire/coap/message.ts';
import { noResponse } from '../../../src/wire/coap/noResponse.ts';
import {
  findOption,
  opaque,
  optionNumbers,
  uint,
  uriPath,
} from '../../../src/wire/coap/options.ts';
import { recognize } from '../../../src/wire/coap/recognize.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { answerChallenge, EchoIssuer, withEcho } from '../../../src/wire/oscore/echo.ts';
import {
  combineRequest,
  isCombined,
  refuseCombination,
  splitCombined,
} from '../../../src/wire/oscore/edhocRequest.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { protectResponse, unprotectRequest } from '../../../src/wire/oscore/server.ts';
import { contextPair, granted, numberOf } from '../../support/oscore.ts';

const none = new Uint8Array(0);
const request: CoapMessage = {
  type: 'CON',
  code: methods.put,
  messageId: 1,
  token: none,
  options: uriPath('/valve'),
  payload: Uint8Array.of(1),
};

test('an Echo value proves freshness to its issuer, for its client, for its time', () => {
  const issuer = new EchoIssuer(nodeCrypto, 10_000);
  const client = Uint8Array.of(1);
  const value = issuer.issue(client, 1_000_000);
  assert.ok(value.length <= 40);
  assert.ok(issuer.isFresh(value, client, 1_000_000));
  assert.ok(issuer.isFresh(value, client, 1_010_000));
  assert.ok(!issuer.isFresh(value, client, 1_010_001), 'too old');
  assert.ok(!issuer.isFresh(value, client, 999_999), 'from the future');
  assert.ok(!issuer.isFresh(value, Uint8Array.of(2), 1_000_000), 'of another client');
  assert.ok(!new EchoIssuer(nodeCrypto, 10_000).isFresh(value, client, 1_000_000), 'before a boot');
  assert.ok(!issuer.isFresh(undefined, client, 1_000_000));
  assert.ok(!issuer.isFresh(value.subarray(1), client, 1_000_000));
  for (let bit = 0; bit < value.length * 8; bit++) {
    const forged = value.slice();
    forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.ok(!issuer.isFresh(forged, client, 1_000_000));
  }
});

test('RFC 9175 §2.3: a challenge is answered with the same request and the value', () => {
  const issuer = new EchoIssuer(nodeCrypto, 10_000);
  const client = Uint8Array.of(1);
  const challenge = issuer.challenge(client, 5);
  assert.equal(challenge.payload.length, 0);
  const again = answerChallenge(request, challenge);
  assert.ok(again);
  assert.deepEqual(again.payload, request.payload);
  assert.ok(issuer.isFresh(findOption(again.options, optionNumbers.echo), client, 6));
  const other = withEcho(again, Uint8Array.of(9));
  assert.deepEqual(findOption(other.options, optionNumbers.echo), Uint8Array.of(9));
  assert.equal(other.options.length, 2);
  assert.equal(answerChallenge(request, { ...challenge, options: [] }), undefined);
  assert.equal(answerChallenge(request, { ...challenge, code: responses.content }), undefined);
});

test('RFC 8613 §B.1.2: a server that lost its window gets it back by Echo', () => {
  const { client, server } = contextPair();
  const issuer = new EchoIssuer(nodeCrypto, 10_000);
  const lost = ReplayWindow.lost();
  const first = granted(protectRequest(request, numberOf(client, 500)));
  const asked = granted(unprotectRequest(server, lost, first.message));
  assert.equal(asked.outcome, 'unsynchronized');
  assert.ok(!issuer.isFresh(asked.echo, server.recipientId, 1));
  const challenge = { ...first.message, ...issuer.challenge(server.recipientId, 1) };
  const sent = granted(protectResponse(asked.exchange, challenge, numberOf(server, 0)));
  const received = granted(unprotectResponse(first.exchange, sent));
  const retry = answerChallenge(request, received.message);
  assert.ok(retry);
  const second = granted(protectRequest(retry, numberOf(client, 501)));
  const fresh = granted(unprotectRequest(server, lost, second.message));
  assert.equal(fresh.outcome, 'unsynchronized');
  assert.ok(issuer.isFresh(fresh.echo, server.recipientId, 2));
  assert.equal(fresh.synchronize().window.check(500), 'replayed');
});

const message3 = fromHex('52d5535f3147e85f1cfacd9e78abf9e0a81bbf');
const example =
  '44025d1f0000397493090001c0ff52d5535f3147e85f1cfacd9e78abf9e0a81bbf612f1092f1776f1c1668b3825e';
const limits = { maximumPayloadBytes: 1024 };

test('RFC 9668 §3.4: the example, put together and taken apart', () => {
  const protectedRequest = parseMessage(
    fromHex('44025d1f0000397493090001ff612f1092f1776f1c1668b3825e'),
  );
  const combined = combineRequest(request, protectedRequest, message3, limits);
  assert.ok(!('refused' in combined));
  const bytes = encodeMessage(combined);
  assert.equal(toHex(bytes), example);
  assert.equal(bytes.length, 46);
  const received = parseMessage(bytes);
  assert.ok(isCombined(received) && !isCombined(protectedRequest));
  const parts = splitCombined(received);
  assert.equal(toHex(parts.connectionIdentifier), '01');
  assert.equal(toHex(parts.message3), toHex(message3));
  assert.deepEqual(parts.request, protectedRequest);
});

test('RFC 9668 §3.2: what may not be combined', () => {
  const block = (number: number) => ({
    ...request,
    options: [uint(optionNumbers.block1, number * 16 + 8)],
  });
  assert.equal(refuseCombination(block(0)), undefined);
  assert.equal(refuseCombination(block(1))?.refused, 'not-first-block');
  const silent = { ...request, options: [noResponse(0)] };
  assert.equal(refuseCombination(silent)?.refused, 'response-not-wanted');
  const protectedRequest = parseMessage(fromHex(example));
  const tight = { maximumPayloadBytes: 19 + 13 + 18 };
  const long = combineRequest(request, protectedRequest, message3, tight);
  assert.ok('refused' in long && long.refused === 'too-long');
  const refused = combineRequest(silent, protectedRequest, message3, limits);
  assert.ok('refused' in refused && refused.refused === 'response-not-wanted');
  assert.throws(() => combineRequest(request, request, message3, limits), TypeError);
});

test('RFC 9668 §3.3.1 step 1: a payload of another form is refused', () => {
  const message = parseMessage(fromHex(example));
  for (const [name, broken] of [
    ['no OSCORE option', { ...message, options: [opaque(optionNumbers.edhoc)] }],
    ['no kid', { ...message, options: [opaque(optionNumbers.oscore, fromHex('0100'))] }],
    ['no byte string', { ...message, payload: fromHex('0161') }],
    ['byte string cut', { ...message, payload: fromHex('52d553') }],
    ['no ciphertext', { ...message, payload: message3 }],
    ['no payload', { ...message, payload: none }],
  ] as const) {
    assert.throws(() => splitCombined(broken), { name: 'MalformedError' }, name);
  }
  // §3.3.1 step 8: an EDHOC option inside is an unprocessed critical option.
  assert.equal(recognize([opaque(optionNumbers.edhoc)], new Set()).badOption, optionNumbers.edhoc);
});
