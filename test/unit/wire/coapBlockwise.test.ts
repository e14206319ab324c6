/** Block-wise transfer in both directions, alone, inside OSCORE and outside of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeBlock, encodeBlock } from '../../../src/wire/coap/block.ts';
import {
  type BlockwiseOptions,
  BlockwiseRequest,
  type BlockwiseStep,
} from '../../../src/wire/coap/blockwiseClient.ts';
import {
  BlockwiseServer,
  type BlockwiseServerConfig,
} from '../../../src/wire/coap/blockwiseServer.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import type { CoapContent } from '../../../src/wire/coap/message.ts';
import {
  findOption,
  findUint,
  hasOption,
  opaque,
  optionNumbers,
  uint,
  uriPath,
} from '../../../src/wire/coap/options.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { volatileSequence } from '../../../src/wire/oscore/sequence.ts';
import { protectResponse, unprotectRequest } from '../../../src/wire/oscore/server.ts';
import { contextPair, granted } from '../../support/oscore.ts';

const none = new Uint8Array(0);
const { block1, block2, size1, size2, eTag, observe } = optionNumbers;
const config: BlockwiseServerConfig = {
  maximumBodyBytes: 4096,
  maximumTransfers: 4,
  lifetimeMs: 1_000,
};

function bytes(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7) & 255);
}

function request(code: number, payload: Uint8Array = none): CoapContent {
  return { code, options: uriPath('/big'), payload };
}

function content(payload: Uint8Array, code: number = responses.content): CoapContent {
  return { code, options: [], payload };
}

function block(number: number, more: boolean, sizeBytes: number, option: number = block1) {
  return opaque(option, encodeBlock({ number, more, sizeBytes }));
}

function blockOf({ options }: CoapContent, number: number) {
  const value = findOption(options, number);
  return value === undefined ? undefined : decodeBlock(value);
}

/** Runs one transfer between client and server; counts the round trips. */
function exchange(
  asked: CoapContent,
  options: BlockwiseOptions,
  server: BlockwiseServer,
  application: (whole: CoapContent) => CoapContent,
): { readonly step: BlockwiseStep; readonly trips: number } {
  const client = new BlockwiseRequest(asked, options);
  let next = client.first;
  for (let trips = 1; ; trips++) {
    const outcome = server.onRequest('c', next, 0);
    const response =
      outcome.kind === 'response'
        ? outcome.response
        : server.respond(outcome.ticket, application(outcome.request), 0);
    const step = client.onResponse(response);
    if (step.kind !== 'send') return { step, trips };
    next = step.request;
  }
}

test('any request body and any response body get through, in blocks of either side', () => {
  const size = fc.constantFrom(16, 32, 64, 256, 1024);
  fc.assert(
    fc.property(
      fc.nat(900),
      fc.nat(900),
      size,
      size,
      fc.constantFrom(methods.put, methods.post, methods.fetch),
      (up, down, clientSize, serverSize, code) => {
        const server = new BlockwiseServer({ ...config, sizeBytes: serverSize });
        let calls = 0;
        const { step } = exchange(
          request(code, bytes(up)),
          { sizeBytes: clientSize, maximumBodyBytes: 1000 },
          server,
          (whole) => {
            calls += 1;
            assert.deepEqual(whole, request(code, bytes(up)));
            return content(bytes(down));
          },
        );
        assert.ok(step.kind === 'done');
        assert.equal(calls, 1);
        assert.deepEqual(step.response.payload, bytes(down));
        assert.ok(!hasOption(step.response.options, block2));
      },
    ),
    { numRuns: 300 },
  );
});

test('RFC 7959 §3.2: upload with a server that wants smaller blocks', () => {
  const client = new BlockwiseRequest(request(methods.put, bytes(300)), {
    sizeBytes: 128,
    maximumBodyBytes: 100,
  });
  assert.deepEqual(blockOf(client.first, block1), { number: 0, more: true, sizeBytes: 128 });
  assert.equal(findUint(client.first.options, size1), 300);
  const continued = (number: number, sizeBytes: number) =>
    client.onResponse({
      code: responses.continue,
      options: [block(number, true, sizeBytes)],
      payload: none,
    });
  const second = continued(0, 32);
  assert.ok(second.kind === 'send');
  assert.deepEqual(blockOf(second.request, block1), { number: 4, more: true, sizeBytes: 32 });
  assert.deepEqual(second.request.payload, bytes(300).subarray(128, 160));
  assert.equal(findUint(second.request.options, size1), undefined);
  for (let number = 4; number < 8; number++) assert.equal(continued(number, 32).kind, 'send');
  const last = continued(8, 32);
  assert.ok(last.kind === 'send');
  assert.deepEqual(blockOf(last.request, block1), { number: 9, more: false, sizeBytes: 32 });
  assert.equal(last.request.payload.length, 12);
  const final = client.onResponse({
    code: responses.changed,
    options: [block(9, false, 32)],
    payload: none,
  });
  assert.deepEqual(final, { kind: 'done', response: content(none, responses.changed) });
  assert.throws(() => client.onResponse(content(none)), TypeError);
});

test('RFC 7959 §2.9.3: 4.13 with a smaller size makes the upload start again', () => {
  const client = new BlockwiseRequest(request(methods.put, bytes(200)), {
    sizeBytes: 64,
    maximumBodyBytes: 100,
  });
  const tooLarge = { ...content(none, responses.requestEntityTooLarge) };
  const again = client.onResponse({ ...tooLarge, options: [block(0, false, 16)] });
  assert.ok(again.kind === 'send');
  assert.deepEqual(blockOf(again.request, block1), { number: 0, more: true, sizeBytes: 16 });
  const refused = client.onResponse({ ...tooLarge, options: [block(0, false, 16)] });
  assert.ok(refused.kind === 'done');
  assert.equal(refused.response.code, responses.requestEntityTooLarge);
});

test('a response to a block that was not sent last is a mismatch; an error ends the upload', () => {
  const upload = () =>
    new BlockwiseRequest(request(methods.put, bytes(200)), {
      sizeBytes: 64,
      maximumBodyBytes: 100,
    });
  const other = upload().onResponse({
    code: responses.continue,
    options: [block(1, true, 64)],
    payload: none,
  });
  assert.deepEqual(other, { kind: 'refused', refused: 'block-mismatch' });
  const failed = upload().onResponse({
    code: responses.requestEntityIncomplete,
    options: [block(0, true, 64)],
    payload: none,
  });
  assert.ok(failed.kind === 'done' && failed.response.code === responses.requestEntityIncomplete);
});

test('what a server may not do while a body is fetched', () => {
  const get = request(methods.get);
  const start = (options: CoapContent['options'] = []) => {
    const client = new BlockwiseRequest(get, { maximumBodyBytes: 64 });
    const step = client.onResponse({
      code: responses.content,
      options: [...options, block(0, true, 16, block2)],
      payload: bytes(16),
    });
    return { client, step };
  };
  const next = (
    number: number,
    more: boolean,
    length: number,
    extra: CoapContent['options'] = [],
  ) => ({
    code: responses.content,
    options: [...extra, block(number, more, 16, block2)],
    payload: bytes(length),
  });
  assert.equal(start().step.kind, 'send');
  for (const [name, response, expected] of [
    ['a block left out', next(2, true, 16), 'block-mismatch'],
    ['the same block again', next(0, true, 16), 'block-mismatch'],
    ['a short block in between', next(1, true, 15), 'block-mismatch'],
    ['a long last block', next(1, false, 17), 'block-mismatch'],
    ['another representation', next(1, true, 16, [opaque(eTag, bytes(2))]), 'changed'],
    ['another code', { ...next(1, true, 16), code: responses.changed }, 'changed'],
  ] as const) {
    const step = start().client.onResponse(response);
    assert.deepEqual(step, { kind: 'refused', refused: expected }, name);
  }
  assert.deepEqual(start([uint(size2, 65)]).step, { kind: 'refused', refused: 'body-too-long' });
  const { client } = start();
  for (const number of [1, 2, 3])
    assert.equal(client.onResponse(next(number, true, 16)).kind, 'send');
  const beyond = client.onResponse(next(4, false, 1));
  assert.deepEqual(beyond, { kind: 'refused', refused: 'body-too-long' });
  // An error in between is the answer.
  const error = start().client.onResponse(content(none, responses.notFound));
  assert.ok(error.kind === 'done' && error.response.code === responses.notFound);
});

test('RFC 7959 §2.6: the blocks of a notification are fetched without Observe', () => {
  const register = { ...request(methods.get), options: [uint(observe, 0), ...uriPath('/big')] };
  const client = new BlockwiseRequest(register, { maximumBodyBytes: 100 });
  const step = client.onResponse({
    code: responses.content,
    options: [uint(observe, 5), block(0, true, 16, block2)],
    payload: bytes(16),
  });
  assert.ok(step.kind === 'send');
  assert.ok(!hasOption(step.request.options, observe));
  assert.deepEqual(blockOf(step.request, block2), { number: 1, more: false, sizeBytes: 16 });
});

test('RFC 7959 §2.4: a client asks for its size at once', () => {
  const small = new BlockwiseRequest(request(methods.get), { sizeBytes: 32, maximumBodyBytes: 9 });
  assert.deepEqual(blockOf(small.first, block2), { number: 0, more: false, sizeBytes: 32 });
  const large = new BlockwiseRequest(request(methods.get), { maximumBodyBytes: 9 });
  assert.equal(blockOf(large.first, block2), undefined);
});

test('what a client may not do while it uploads', () => {
  const put = (
    number: number,
    more: boolean,
    length: number,
    extra: CoapContent['options'] = [],
  ) => ({
    code: methods.put,
    options: [...uriPath('/big'), block(number, more, 16), ...extra],
    payload: bytes(length),
  });
  for (const [name, requests, expected] of [
    ['a start in the middle', [put(1, true, 16)], responses.requestEntityIncomplete],
    ['a block left out', [put(0, true, 16), put(2, true, 16)], responses.requestEntityIncomplete],
    [
      'a block twice',
      [put(0, true, 16), put(1, true, 16), put(1, true, 16)],
      responses.requestEntityIncomplete,
    ],
    ['a short block in between', [put(0, true, 15)], responses.badRequest],
    ['a long last block', [put(0, false, 17)], responses.badRequest],
    [
      'the reserved size',
      [{ ...put(0, false, 1), options: [opaque(block1, Uint8Array.of(7))] }],
      responses.badRequest,
    ],
    [
      'a Block2 of four bytes',
      [{ ...put(0, false, 1), options: [opaque(block2, bytes(4))] }],
      responses.badRequest,
    ],
    [
      'a size announced beyond the limit',
      [put(0, true, 16, [uint(size1, 5000)])],
      responses.requestEntityTooLarge,
    ],
  ] as const) {
    const server = new BlockwiseServer(config);
    const outcomes = requests.map((each) => server.onRequest('c', each, 0));
    const last = outcomes.at(-1);
    assert.ok(last?.kind === 'response' && last.response.code === expected, name);
    for (const earlier of outcomes.slice(0, -1)) {
      assert.ok(earlier.kind === 'response' && earlier.response.code === responses.continue, name);
    }
  }
  const tight = new BlockwiseServer({ ...config, maximumBodyBytes: 20 });
  tight.onRequest('c', put(0, true, 16), 0);
  const beyond = tight.onRequest('c', put(1, false, 16), 0);
  assert.ok(beyond.kind === 'response');
  assert.equal(beyond.response.code, responses.requestEntityTooLarge);
  assert.equal(findUint(beyond.response.options, size1), 20);
});

test('uploads of different peers, options and Request-Tags do not mix; the old ones go', () => {
  const first = (path: string, tag: number): CoapContent => ({
    code: methods.put,
    options: [...uriPath(path), block(0, true, 16), opaque(optionNumbers.requestTag, bytes(tag))],
    payload: bytes(16),
  });
  const last = (path: string, tag: number): CoapContent => ({
    ...first(path, tag),
    options: [...uriPath(path), block(1, false, 16), opaque(optionNumbers.requestTag, bytes(tag))],
  });
  const server = new BlockwiseServer(config);
  server.onRequest('c', first('/a', 1), 0);
  for (const [peer, path, tag] of [
    ['d', '/a', 1],
    ['c', '/b', 1],
    ['c', '/a', 2],
  ] as const) {
    const outcome = server.onRequest(peer, last(path, tag), 0);
    assert.ok(outcome.kind === 'response');
    assert.equal(outcome.response.code, responses.requestEntityIncomplete);
  }
  const whole = server.onRequest('c', last('/a', 1), 0);
  assert.ok(whole.kind === 'request' && whole.request.payload.length === 32);
  // Too late.
  server.onRequest('c', first('/a', 1), 0);
  assert.equal(server.onRequest('c', last('/a', 1), 1_000).kind, 'response');
  // Too many: the oldest went.
  for (let tag = 0; tag < 5; tag++) server.onRequest('c', first('/a', tag), 2_000);
  assert.equal(server.onRequest('c', last('/a', 0), 2_000).kind, 'response');
  assert.equal(server.onRequest('c', last('/a', 1), 2_000).kind, 'request');
});

test('a response that is no longer kept is made again for a safe method only', () => {
  const server = new BlockwiseServer({ ...config, sizeBytes: 64 });
  const ask = (code: number, number: number, nowMs: number) =>
    server.onRequest(
      'c',
      { ...request(code), options: [...uriPath('/big'), block(number, false, 64, block2)] },
      nowMs,
    );
  for (const code of [methods.get, methods.post]) {
    const first = ask(code, 0, 0);
    assert.ok(first.kind === 'request');
    const answer = server.respond(first.ticket, content(bytes(200)), 0);
    assert.equal(findUint(answer.options, size2), 200);
    assert.ok(findOption(answer.options, eTag));
  }
  const kept = ask(methods.get, 1, 500);
  assert.ok(kept.kind === 'response');
  assert.deepEqual(kept.response.payload, bytes(200).subarray(64, 128));
  const again = ask(methods.get, 2, 1_000);
  assert.ok(again.kind === 'request');
  const part = server.respond(again.ticket, content(bytes(200)), 1_000);
  assert.deepEqual(part.payload, bytes(200).subarray(128, 192));
  const unsafe = ask(methods.post, 1, 1_000);
  assert.ok(unsafe.kind === 'response');
  assert.equal(unsafe.response.code, responses.requestEntityIncomplete);
  const gone = ask(methods.get, 9, 1_000);
  assert.ok(gone.kind === 'response' && gone.response.code === responses.badRequest);
  const missing = ask(methods.fetch, 3, 1_000);
  assert.ok(missing.kind === 'request');
  const error = server.respond(missing.ticket, content(none, responses.notFound), 1_000);
  assert.deepEqual(error, content(none, responses.notFound));
});

for (const place of ['inner', 'outer'] as const) {
  test(`RFC 8613 §4.1.3.4: ${place} blocks`, () => {
    const { client, server } = contextPair();
    const sequence = volatileSequence(client);
    const blocks = new BlockwiseServer({ ...config, sizeBytes: 64 });
    const options = { sizeBytes: 128, maximumBodyBytes: 1024 };
    let window = ReplayWindow.empty();
    let whole: CoapContent | undefined;
    const application = (asked: CoapContent): CoapContent => {
      whole = asked;
      return content(bytes(500));
    };
    /** One protected message each way, `inside` being what the server does with the plaintext. */
    const throughOscore = (
      asked: CoapContent,
      carry: (message: CoapContent) => CoapContent,
    ): CoapContent => {
      const sent = granted(protectRequest(asked, granted(sequence.take())));
      const response = carry(sent.message);
      return granted(unprotectResponse(sent.exchange, response)).message;
    };
    const atServer = (
      message: CoapContent,
      inside: (asked: CoapContent) => CoapContent,
    ): CoapContent => {
      const opened = granted(unprotectRequest(server, window, message));
      assert.ok(opened.outcome === 'accepted');
      ({ window } = opened);
      return granted(protectResponse(opened.exchange, inside(opened.message)));
    };
    const inBlocks = (
      asked: CoapContent,
      carry: (message: CoapContent) => CoapContent,
    ): CoapContent => {
      const transfer = new BlockwiseRequest(asked, options);
      let step: BlockwiseStep = { kind: 'send', request: transfer.first };
      while (step.kind === 'send') step = transfer.onResponse(carry(step.request));
      assert.ok(step.kind === 'done');
      return step.response;
    };
    const reassembled = (
      message: CoapContent,
      inside: (asked: CoapContent) => CoapContent,
    ): CoapContent => {
      const outcome = blocks.onRequest('c', message, 0);
      if (outcome.kind === 'response') return outcome.response;
      return blocks.respond(outcome.ticket, inside(outcome.request), 0);
    };
    const asked = request(methods.put, bytes(400));
    const answer =
      place === 'inner'
        ? inBlocks(asked, (part) =>
            throughOscore(part, (message) =>
              atServer(message, (inside) => reassembled(inside, application)),
            ),
          )
        : throughOscore(asked, (message) =>
            inBlocks(message, (part) => reassembled(part, (outer) => atServer(outer, application))),
          );
    assert.deepEqual(whole, asked);
    assert.deepEqual(answer.payload, bytes(500));
  });
}
