/** Whatever comes to the CoAP door gets an answer of CoAP, or none, and nothing inside breaks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { SessionDoor } from '../../src/servers/coap/sessionDoor.ts';
import { filterLinks, linkFormat } from '../../src/servers/coap/linkFormat.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { utf8 } from '../../src/wire/bytes/utf8.ts';
import { isResponse, methods } from '../../src/wire/coap/codes.ts';
import { opaque, optionNumbers } from '../../src/wire/coap/options.ts';
import { carryStart } from '../../src/wire/edhoc/carriage.ts';
import { startInitiator } from '../../src/wire/edhoc/initiator.ts';
import { testLinks } from '../support/coapWorld.ts';
import { Field } from '../support/field.ts';
import { mutated } from '../support/fuzz.ts';
import { isNightly } from '../support/nightly.ts';

const numRuns = isNightly ? 50_000 : 1_000;
const profile = { method: 3, suites: [2], message4: false } as const;
const { message1 } = startInitiator(nodeCrypto, profile, { connectionId: fromHex('05') });
const edhoc = [carryStart(message1), fromHex('43010203520102030405060708090a0b0c0d0e0f101112')];

test('EDHOC over CoAP: mutated messages', async () => {
  const door = new SessionDoor(new Field().relay);
  const anything = fc.oneof(mutated(edhoc), fc.uint8Array({ maxLength: 80 }));
  await fc.assert(
    fc.asyncProperty(anything, async (payload) => {
      const { code } = await door.onEdhoc('127.0.0.1:1', payload);
      assert.ok(isResponse(code));
    }),
    { numRuns },
  );
});

test('OSCORE and combined requests: mutated options and payloads', async () => {
  const door = new SessionDoor(new Field().relay);
  const option = mutated([fromHex('0900010203'), fromHex('1900010203')]);
  const payload = mutated([edhoc[1] ?? fromHex(''), fromHex('41aa00112233445566778899')]);
  await fc.assert(
    fc.asyncProperty(option, payload, fc.boolean(), async (value, bytes, combined) => {
      const protection = opaque(optionNumbers.oscore, value);
      const options = combined ? [protection, opaque(optionNumbers.edhoc)] : [protection];
      const head = { type: 'CON', messageId: 7, token: fromHex('01') } as const;
      const request = { ...head, code: methods.post, options, payload: bytes };
      const response = combined ? await door.onCombined(request) : await door.onProtected(request);
      assert.ok(response !== undefined && isResponse(response.code));
    }),
    // Found before: an identifier that no frame can hold.
    { numRuns, examples: [[fromHex('09000102030405060708'), fromHex('41aa0011223344'), true]] },
  );
});

test('discovery: any query', () => {
  fc.assert(
    fc.property(fc.array(mutated([utf8('rt=ace.est*')]), { maxLength: 3 }), (queries) => {
      linkFormat(filterLinks(testLinks, queries));
    }),
    { numRuns },
  );
});
