import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { blockSizeWithin, decodeBlock, encodeBlock } from '../../../src/wire/coap/block.ts';
import { code, codeText, isRequest, isResponse, responses } from '../../../src/wire/coap/codes.ts';
import { type CoapMessage, encodeMessage, parseMessage } from '../../../src/wire/coap/message.ts';
import { isSuppressed, noResponse, noResponseAtAll } from '../../../src/wire/coap/noResponse.ts';
import {
  decodeUint,
  encodeUint,
  findOptions,
  isCritical,
  isNoCacheKey,
  isUnsafeToForward,
  opaque,
  optionNumbers,
  pathOf,
  text,
  uint,
  uriPath,
} from '../../../src/wire/coap/options.ts';
import { recognize } from '../../../src/wire/coap/recognize.ts';
import { splitUri } from '../../../src/wire/coap/uri.ts';

const none = new Uint8Array(0);

test('RFC 7252 Appendix A: messages of the examples', () => {
  const path = uriPath('/temperature');
  const payload = utf8('22.3 C');
  const examples: ReadonlyArray<readonly [string, CoapMessage]> = [
    [
      '40017d34bb74656d7065726174757265',
      { type: 'CON', code: 1, messageId: 0x7d34, token: none, options: path, payload: none },
    ],
    [
      '60457d34ff32322e332043',
      { type: 'ACK', code: 0x45, messageId: 0x7d34, token: none, options: [], payload },
    ],
    [
      '41017d3520bb74656d7065726174757265',
      {
        type: 'CON',
        code: 1,
        messageId: 0x7d35,
        token: Uint8Array.of(0x20),
        options: path,
        payload: none,
      },
    ],
    [
      '70007d38',
      { type: 'RST', code: 0, messageId: 0x7d38, token: none, options: [], payload: none },
    ],
  ];
  for (const [encoding, message] of examples) {
    assert.equal(toHex(encodeMessage(message)), encoding);
    assert.deepEqual(parseMessage(fromHex(encoding)), message);
  }
});

test('every message survives encoding and parsing', () => {
  const optionNumber = fc.oneof(
    fc.integer({ min: 0, max: 300 }),
    fc.integer({ min: 0, max: 65_535 }),
  );
  const length = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(12, 13, 268, 269, 300));
  const option = fc
    .tuple(optionNumber, length)
    .map(([number, size]) => ({ number, value: new Uint8Array(size).fill(number & 255) }));
  fc.assert(
    fc.property(
      fc.constantFrom('CON' as const, 'NON' as const, 'ACK' as const, 'RST' as const),
      fc.constantFrom(1, 5, 31, 0x45, 0x84, 0xa0, 0xbf),
      fc.integer({ min: 0, max: 65_535 }),
      fc.uint8Array({ maxLength: 8 }),
      fc.array(option, { maxLength: 6 }),
      fc.uint8Array({ maxLength: 40 }),
      (type, code, messageId, token, unordered, payload) => {
        const options = [...unordered].sort((left, right) => left.number - right.number);
        const message = { type, code, messageId, token, options, payload };
        const bytes = encodeMessage({ ...message, options: unordered });
        assert.deepEqual(parseMessage(bytes), message);
      },
    ),
    { numRuns: 500 },
  );
});

test('what is not well-formed is refused at its offset', () => {
  for (const [name, encoding, offset] of [
    ['empty datagram', '', 0],
    ['three bytes', '400101', 3],
    ['token length 9', '49010001000102030405060708', 0],
    ['token cut', '44010001aabb', 6],
    ['class 1', '40210001', 1],
    ['class 6', '40c10001', 1],
    ['class 7', '40e10001', 1],
    ['Empty with token', '41000001aa', 0],
    ['Empty with payload', '40000001ff01', 4],
    ['marker without payload', '40010001ff', 4],
    ['delta 15', '40010001f0', 4],
    ['length 15', '400100010f', 4],
    ['delta extension cut', '40010001d0', 5],
    ['two-byte extension cut', '40010001e001', 6],
    ['option longer than the message', '400100010401', 4],
    ['number above 65535', '40010001e0ffffe0ffff', 4],
  ] as const) {
    assert.throws(
      () => parseMessage(fromHex(encoding)),
      { name: 'MalformedError', format: 'coap', offset },
      name,
    );
  }
  assert.throws(() => parseMessage(fromHex('80010001')), { name: 'UnsupportedError' });
});

test('what cannot be sent is a mistake of the caller', () => {
  const message: CoapMessage = {
    type: 'CON',
    code: 1,
    messageId: 1,
    token: none,
    options: [],
    payload: none,
  };
  for (const broken of [
    { ...message, token: new Uint8Array(9) },
    { ...message, code: 0, payload: Uint8Array.of(1) },
    { ...message, options: [opaque(65_536)] },
    { ...message, options: [opaque(1, new Uint8Array(70_000))] },
  ]) {
    assert.throws(() => encodeMessage(broken), TypeError);
  }
});

test('RFC 7252 §5.4: what is not recognized is dropped or makes the request a bad one', () => {
  const understood = new Set<number>([optionNumbers.uriPath, optionNumbers.contentFormat]);
  const path = text(optionNumbers.uriPath, 'a');
  const format = uint(optionNumbers.contentFormat, 60);
  assert.deepEqual(recognize([path, path, format], understood), { options: [path, path, format] });
  // Elective: dropped. Critical: named.
  assert.deepEqual(recognize([path, opaque(2050)], understood), { options: [path] });
  assert.equal(recognize([path, opaque(2051)], understood).badOption, 2051);
  // §5.4.3: an option of the wrong length is not recognized.
  const long = opaque(optionNumbers.contentFormat, new Uint8Array(3));
  assert.deepEqual(recognize([long], understood), { options: [] });
  const longPath = opaque(optionNumbers.uriPath, new Uint8Array(256));
  assert.equal(recognize([longPath], understood).badOption, optionNumbers.uriPath);
  // §5.4.5: supernumerary occurrences likewise.
  assert.deepEqual(recognize([format, format], understood), { options: [format] });
  const accept = uint(optionNumbers.accept, 60);
  const both = recognize([accept, accept], new Set([optionNumbers.accept]));
  assert.equal(both.badOption, optionNumbers.accept);
});

test('RFC 7252 §5.4.6: the number tells what a proxy does with an option', () => {
  assert.ok(isCritical(optionNumbers.oscore) && !isCritical(optionNumbers.maxAge));
  assert.ok(isUnsafeToForward(optionNumbers.uriPath) && !isUnsafeToForward(optionNumbers.oscore));
  assert.ok(isNoCacheKey(optionNumbers.size1) && !isNoCacheKey(optionNumbers.oscore));
  // RFC 9175 §2.2.1 and §3.2.1: Echo and No-Response properties follow from 252 and 258.
  assert.ok(!isCritical(optionNumbers.echo) && isNoCacheKey(optionNumbers.echo));
  assert.ok(!isCritical(optionNumbers.noResponse) && isUnsafeToForward(optionNumbers.noResponse));
});

test('unsigned values are short when written and may be long when read', () => {
  for (const [value, encoding] of [
    [0, ''],
    [1, '01'],
    [255, 'ff'],
    [256, '0100'],
    [0xffff_ffff, 'ffffffff'],
  ] as const) {
    assert.equal(toHex(encodeUint(value)), encoding);
    assert.equal(decodeUint(fromHex(encoding)), value);
  }
  assert.equal(decodeUint(fromHex('0001')), 1);
  assert.equal(decodeUint(fromHex('0000000001')), undefined);
  assert.throws(() => encodeUint(-1), TypeError);
  assert.throws(() => encodeUint(2 ** 32), TypeError);
});

test('paths: segments, the root, and what is no path', () => {
  assert.equal(pathOf(uriPath('/.well-known/edhoc')), '/.well-known/edhoc');
  assert.deepEqual(uriPath('/'), []);
  assert.deepEqual(uriPath(''), []);
  assert.equal(pathOf([]), '/');
  assert.equal(findOptions(uriPath('a/b'), optionNumbers.uriPath).length, 2);
  assert.equal(pathOf([opaque(optionNumbers.uriPath, Uint8Array.of(0xff))]), undefined);
  assert.equal(pathOf([text(optionNumbers.uriPath, 'a/b')]), undefined);
});

test('RFC 7959 §2.2: block values', () => {
  for (const [block, encoding] of [
    [{ number: 0, more: false, sizeBytes: 16 }, ''],
    [{ number: 1, more: true, sizeBytes: 128 }, '1b'],
    [{ number: 4, more: false, sizeBytes: 64 }, '42'],
    [{ number: 1_048_575, more: true, sizeBytes: 1024 }, 'fffffe'],
  ] as const) {
    assert.equal(toHex(encodeBlock(block)), encoding);
    assert.deepEqual(decodeBlock(fromHex(encoding)), block);
  }
  assert.equal(decodeBlock(fromHex('07')), undefined);
  assert.equal(decodeBlock(fromHex('00000000')), undefined);
  for (const block of [
    { number: 0, more: false, sizeBytes: 48 },
    { number: 0, more: false, sizeBytes: 2048 },
    { number: 2 ** 20, more: false, sizeBytes: 16 },
  ]) {
    assert.throws(() => encodeBlock(block), TypeError);
  }
  assert.deepEqual([2000, 1024, 100, 16, 3].map(blockSizeWithin), [1024, 1024, 64, 16, 16]);
});

test('RFC 7967 §2.1: which responses may stay away', () => {
  const ok = responses.content;
  assert.ok(!isSuppressed([], ok));
  assert.ok(!isSuppressed([noResponse(0)], ok));
  assert.ok(isSuppressed([noResponse(2)], ok) && !isSuppressed([noResponse(2)], 0x80));
  assert.ok(isSuppressed([noResponse(8)], 0x84) && isSuppressed([noResponse(16)], 0xa0));
  for (const response of [ok, 0x84, 0xa0]) {
    assert.ok(isSuppressed([noResponse(noResponseAtAll)], response));
  }
});

test('codes are written as class and detail', () => {
  assert.equal(code(2, 5), responses.content);
  assert.equal(codeText(responses.unauthorized), '4.01');
  assert.ok(isRequest(5) && !isRequest(0) && !isRequest(0x45));
  assert.ok(isResponse(0x45) && isResponse(0xa0) && !isResponse(0x65) && !isResponse(0));
});

test('RFC 7252 §6.4: a URI is taken apart into options', () => {
  const parts = splitUri(utf8('coap://example.com/resource%2Fa/b?q=1&r=%41'));
  assert.deepEqual(parts, {
    origin: 'coap://example.com',
    path: [utf8('resource/a'), utf8('b')],
    query: [utf8('q=1'), utf8('r=A')],
  });
  assert.deepEqual(splitUri(utf8('coap://[::1]:5683/')), {
    origin: 'coap://[::1]:5683',
    path: [],
    query: [],
  });
  for (const broken of [
    '/relative',
    'coap://h/#fragment',
    'coap://h/%4',
    'coap://h/%zz',
    'mailto:a',
  ]) {
    assert.equal(splitUri(utf8(broken)), undefined, broken);
  }
  assert.equal(splitUri(Uint8Array.of(0xff)), undefined);
});
