import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acknowledgementOf, answerTo, responseTo } from '../../../src/trust/sessions/resource.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import type { CoapMessage } from '../../../src/wire/coap/message.ts';
import { noResponse } from '../../../src/wire/coap/noResponse.ts';
import { opaque, optionNumbers, text, uint } from '../../../src/wire/coap/options.ts';

const path = text(optionNumbers.uriPath, 't');
const payload = fromHex('0102');
const request: CoapMessage = {
  type: 'CON',
  code: methods.post,
  messageId: 7,
  token: fromHex('aa'),
  options: [path],
  payload,
};

const plain = (code: number) => ({ response: { code, options: [], payload: fromHex('') } });
const changed = plain(responses.changed).response;

test('POST /t is telemetry, everything else an error', () => {
  assert.deepEqual(answerTo(request), { ...plain(responses.changed), telemetry: payload });
  const format = uint(optionNumbers.contentFormat, 42);
  assert.deepEqual(answerTo({ ...request, options: [path, format] }).telemetry, payload);
  for (const [change, code] of [
    [{ options: [] }, responses.notFound],
    [{ options: [path, path] }, responses.notFound],
    [{ options: [text(optionNumbers.uriPath, 'x')] }, responses.notFound],
    [{ code: methods.get }, responses.methodNotAllowed],
    [{ payload: fromHex('') }, responses.badRequest],
    [{ options: [opaque(optionNumbers.ifMatch), path] }, responses.badOption],
    [{ options: [path, opaque(optionNumbers.block1, fromHex('08'))] }, responses.badOption],
  ] as const) {
    assert.deepEqual(answerTo({ ...request, ...change }), plain(code));
  }
});

test('responses are piggybacked, sent on their own, or waived', () => {
  const newId = (): number => 99;
  const acknowledged = responseTo(request, changed, newId);
  assert.equal(acknowledged?.type, 'ACK');
  assert.equal(acknowledged?.messageId, 7);
  assert.deepEqual(acknowledged?.token, fromHex('aa'));
  const other = responseTo({ ...request, type: 'NON' }, changed, newId);
  assert.equal(other?.type, 'NON');
  assert.equal(other?.messageId, 99);
  // RFC 7967 §2: 26 waives every class, 2 only successes.
  const waived = { ...request, options: [path, noResponse(26)] };
  assert.equal(responseTo(waived, changed, newId), undefined);
  const wantsErrors = { ...request, options: [path, noResponse(2)] };
  assert.equal(responseTo(wantsErrors, changed, newId), undefined);
  assert.equal(
    responseTo(wantsErrors, plain(responses.notFound).response, newId)?.code,
    responses.notFound,
  );
  assert.equal(acknowledgementOf(waived)?.code, 0);
  assert.equal(acknowledgementOf({ ...waived, type: 'NON' }), undefined);
});
