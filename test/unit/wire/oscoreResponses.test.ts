/** What a client refuses without a change: the true response may still come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { empty } from '../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import type { CoapMessage } from '../../../src/wire/coap/message.ts';
import { opaque, optionNumbers } from '../../../src/wire/coap/options.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { encodeOscoreOption } from '../../../src/wire/oscore/option.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { protectResponse, unprotectRequest } from '../../../src/wire/oscore/server.ts';
import { contextPair, granted, numberOf, refusalOf } from '../../support/oscore.ts';

test('a response that is no OSCORE response changes nothing, whatever its payload', () => {
  const { client, server } = contextPair();
  const head = { type: 'CON', messageId: 1, token: Uint8Array.of(7) } as const;
  const asked: CoapMessage = { ...head, code: methods.get, options: [], payload: empty };
  const sent = granted(protectRequest(asked, numberOf(client, 0)));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  const content = { ...asked, code: responses.content, payload: utf8('21.5') };
  const response = granted(protectResponse(opened.exchange, content));
  // The payload stays the genuine one: only what stands in front of it says no.
  const withOption = (...values: readonly Uint8Array[]): CoapMessage => ({
    ...response,
    options: values.map((value) => opaque(optionNumbers.oscore, value)),
  });
  const keyUpdate = {
    convergent: false,
    preserveObservations: false,
    noForwardSecrecy: false,
    nonce: Uint8Array.of(1),
  };
  for (const [name, broken, refused] of [
    ['no option', withOption(), 'not-oscore'],
    ['two options', withOption(empty, empty), 'malformed'],
    ['no payload', { ...response, payload: empty }, 'malformed'],
    ['flags all zero', withOption(fromHex('00')), 'malformed'],
    ['reserved flag', withOption(fromHex('20')), 'malformed'],
    ['trailing bytes', withOption(fromHex('010000')), 'malformed'],
    ['divergent', withOption(encodeOscoreOption({ keyUpdate })), 'unexpected-key-update'],
  ] as const) {
    assert.equal(refusalOf(unprotectResponse(sent.exchange, broken)), refused, name);
  }
  assert.equal(client.usage.failedVerifications, 0);
  assert.deepEqual(granted(unprotectResponse(sent.exchange, response)).message, content);
});
