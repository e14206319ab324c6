/** OSCORE: option values, protected messages in both directions, stored records. */
import assert from 'node:assert/strict';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { encodeMessage, parseMessage } from '../../src/wire/coap/message.ts';
import { protectRequest, unprotectResponse } from '../../src/wire/oscore/client.ts';
import { splitCombined } from '../../src/wire/oscore/edhocRequest.ts';
import { isRefused } from '../../src/wire/oscore/refusal.ts';
import { encodeOscoreOption, parseOscoreOption } from '../../src/wire/oscore/option.ts';
import { encodeRecord, parseRecord } from '../../src/wire/oscore/record.ts';
import { ReplayWindow } from '../../src/wire/oscore/replayWindow.ts';
import { protectResponse, unprotectRequest } from '../../src/wire/oscore/server.ts';
import { fuzz } from '../support/fuzz.ts';
import { idlePair, ping } from '../support/kudos.ts';
import { contextPair, granted, numberOf } from '../support/oscore.ts';

const request = parseMessage(fromHex('440171c30000b932396c6f63616c686f737483747631ff31'));
const response = parseMessage(fromHex('64455d1f00003974ff48656c6c6f20576f726c6421'));
const unlimited = { encryptions: 0, failedVerifications: Number.NEGATIVE_INFINITY };
const { client, server } = contextPair({ usage: unlimited });
const sent = granted(protectRequest(request, numberOf(client, 20)));
const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
const answer = granted(protectResponse(opened.exchange, response));

fuzz({
  name: 'oscore-option',
  valid: [
    fromHex('090525'),
    fromHex('19050544616c656b'),
    fromHex('0107'),
    fromHex('8901006701020304050607080c'),
    fromHex('900101aa30ff'),
  ],
  read: (input) => assert.deepEqual(encodeOscoreOption(parseOscoreOption(input)), input),
});

fuzz({
  name: 'oscore-request',
  valid: [encodeMessage(sent.message)],
  read(input) {
    const outcome = unprotectRequest(server, ReplayWindow.empty(), parseMessage(input));
    if (isRefused(outcome)) return;
    assert.equal(outcome.outcome, 'accepted');
    // What verified is what was protected; header, token and outer options are nobody's promise.
    assert.equal(outcome.message.code, request.code);
    assert.deepEqual(outcome.message.payload, request.payload);
    assert.deepEqual(
      outcome.message.options.filter(({ number }) => number === 11),
      request.options.filter(({ number }) => number === 11),
    );
  },
});

fuzz({
  name: 'oscore-response',
  valid: [encodeMessage(answer)],
  read(input) {
    const { exchange } = granted(protectRequest(request, numberOf(client, 20)));
    const outcome = unprotectResponse(exchange, parseMessage(input));
    if (isRefused(outcome)) return;
    assert.equal(outcome.message.code, response.code);
    assert.deepEqual(outcome.message.payload, response.payload);
  },
});

const record = {
  masterSecret: new Uint8Array(16),
  masterSalt: new Uint8Array(8),
  senderId: fromHex('01'),
  recipientId: fromHex(''),
  aead: 'AES-CCM-16-64-128',
  hkdf: 'SHA-256',
  sequenceEnd: 300,
  window: ReplayWindow.empty().state(),
  usage: { encryptions: 1, failedVerifications: 2 },
} as const;

fuzz({
  name: 'oscore-record',
  valid: [
    encodeRecord(record),
    encodeRecord({ ...record, idContext: fromHex('aa'), window: undefined }),
  ],
  read: (input) => assert.deepEqual(encodeRecord(parseRecord(input)), input),
});

fuzz({
  name: 'edhoc-oscore-request',
  valid: [
    fromHex(
      '44025d1f0000397493090001c0ff52d5535f3147e85f1cfacd9e78abf9e0a81bbf612f1092f1776f1c1668b3825e',
    ),
  ],
  read(input) {
    const { message3, request: rest } = splitCombined(parseMessage(input));
    assert.ok(message3.length > 0 && rest.payload.length > 0);
  },
});

const divergent = granted(idlePair().a.begin().protectRequest(ping)).message;
const header = { type: 'CON', messageId: 1, token: fromHex('01') } as const;

/** Whatever is not the peer's own message leaves the state as it was. */
fuzz({
  name: 'oscore-kudos',
  valid: [encodeMessage({ ...divergent, ...header })],
  read(input) {
    const idle = idlePair().b;
    const message = parseMessage(input);
    const outcome = idle.receive({ kind: 'request', message });
    if (isRefused(outcome)) {
      assert.ok(!isRefused(idle.receive({ kind: 'request', message: divergent })));
    } else {
      assert.equal(outcome.message.code, ping.code);
      assert.deepEqual(outcome.message.payload, ping.payload);
    }
  },
});
