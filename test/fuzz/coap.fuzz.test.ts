/** CoAP messages and the option values that are read from them. */
import assert from 'node:assert/strict';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { decodeBlock, encodeBlock } from '../../src/wire/coap/block.ts';
import { encodeMessage, parseMessage } from '../../src/wire/coap/message.ts';
import {
  decodeUint,
  findOption,
  optionNumbers,
  pathOf,
  recognize,
} from '../../src/wire/coap/options.ts';
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
