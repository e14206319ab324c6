/** CoAP messages and the option values that are read from them. */
import assert from 'node:assert/strict';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { decodeBlock, encodeBlock } from '../../src/wire/coap/block.ts';
import { BlockwiseServer } from '../../src/wire/coap/blockwiseServer.ts';
import { responses } from '../../src/wire/coap/codes.ts';
import { CoapEndpoint } from '../../src/wire/coap/endpoint.ts';
import { encodeMessage, parseMessage } from '../../src/wire/coap/message.ts';
import { decodeUint, findOption, optionNumbers, pathOf } from '../../src/wire/coap/options.ts';
import { recognize } from '../../src/wire/coap/recognize.ts';
import { splitUri } from '../../src/wire/coap/uri.ts';
import { fuzz } from '../support/fuzz.ts';

const understood = new Set<number>(Object.values(optionNumbers));

fuzz({
  name: 'coap',
  valid: [
    fromHex('40017d34bb74656d7065726174757265'),
    fromHex('60457d34ff32322e332043'),
    fromHex('44015d1f00003974396c6f63616c686f737483747631'),
    fromHex('44022f8eef9bbf7a396c6f63616c686f73746b19140837cbf3210017a2d3ff72cd7273fd331ac45cffbe'),
    fromHex('70007d38'),
  ],
  read(input) {
    const message = parseMessage(input);
    const again = parseMessage(encodeMessage(message));
    assert.deepEqual(again, message);
    pathOf(message.options);
    recognize(message.options, understood);
    for (const { value } of message.options) decodeUint(value);
    const value = findOption(message.options, optionNumbers.block1);
    const block = value === undefined ? undefined : decodeBlock(value);
    if (block !== undefined) assert.deepEqual(decodeBlock(encodeBlock(block)), block);
  },
});

fuzz({
  name: 'coap-uri',
  valid: [new TextEncoder().encode('coap://[::1]:5683/a%2Fb/c?q=1&r')],
  read: splitUri,
});

const server = new CoapEndpoint({ randomBytes: (length) => new Uint8Array(length).fill(7) });
let nowMs = 0;

/** The machine takes anything at any time, answers what it can, and keeps within its limits. */
fuzz({
  name: 'coap-endpoint',
  valid: [
    fromHex('41017d3520bb74656d7065726174757265'),
    fromHex('51027d3620ff3232'),
    fromHex('61457d3620ff3232'),
    fromHex('41457d37aaff3232'),
    fromHex('70007d38'),
    fromHex('40007d39'),
  ],
  read(input) {
    nowMs += 400;
    const { deliver } = server.deliver(`peer ${(input[3] ?? 0) % 20}`, input, nowMs);
    for (const event of deliver) {
      if (event.kind !== 'request') continue;
      const { exchange, message } = event;
      assert.ok(server.isOpen(exchange));
      const code = responses.content;
      server.respond(exchange, { code, options: [], payload: message.payload }, nowMs);
    }
    server.tick(nowMs + 100);
  },
});

const blocks = new BlockwiseServer({
  maximumBodyBytes: 200,
  maximumTransfers: 8,
  lifetimeMs: 10_000,
  sizeBytes: 32,
});

/** Bodies that are put together are never longer than allowed, and what is sent is never a whole long one. */
fuzz({
  name: 'coap-blockwise',
  valid: [
    // PUT /a with Block1 0/1/16, 1/1/16 and 2/0/16; GET /a with Block2 0/0/16 and 3/0/16.
    fromHex(`40030001b161d10308ff${'00'.repeat(16)}`),
    fromHex(`40030002b161d10318ff${'00'.repeat(16)}`),
    fromHex('40030003b161d10320ff01'),
    fromHex('40010004b161c0'),
    fromHex('40010005b161c130'),
  ],
  read(input) {
    const outcome = blocks.onRequest('peer', parseMessage(input), nowMs);
    if (outcome.kind === 'response') return;
    assert.ok(outcome.request.payload.length <= 200);
    const payload = new Uint8Array(100 + (input[0] ?? 0));
    const whole = { code: responses.content, options: [], payload };
    assert.ok(blocks.respond(outcome.ticket, whole, nowMs).payload.length <= 32);
  },
});
