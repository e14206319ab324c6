/** COSE: signed messages, keys and claims sets of peers. */
import assert from 'node:assert/strict';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { buildCcs, parseCcs, parseCwt } from '../../src/wire/cose/ccs.ts';
import { parseProtected } from '../../src/wire/cose/headers.ts';
import { type CoseKey, encodeKey, importKey, parseKey } from '../../src/wire/cose/key.ts';
import {
  parseSign1,
  prepareSign1,
  sign1ToBeSigned,
  verifySign1,
} from '../../src/wire/cose/sign1.ts';
import { fuzz } from '../support/fuzz.ts';

const x = fromHex('bbc34960526ea4d32e940cad2a234148ddc21791a12afbcbac93622046dd44f0');
const y = fromHex('4519e257236b2a0ce2023f0931f1f386ca7afda64fcde0108c224c51eabf6072');
const key: CoseKey = { type: 'EC2', curve: 'P-256', x, y, kid: fromHex('32') };
const ccs = buildCcs({ subject: 'example.edu', key }).bytes;
const publicKey = importKey(nodeCrypto, key);
assert.ok(publicKey);

function sign1(fields: { readonly detached?: boolean; readonly tagged?: boolean }): Uint8Array {
  return prepareSign1({
    protected: { algorithm: -7, contentType: 'application/cbor' },
    unprotected: { kid: fromHex('3131') },
    payload: ccs,
    ...fields,
  }).finish(new Uint8Array(64));
}

fuzz({
  name: 'cose-sign1',
  valid: [sign1({}), sign1({ tagged: true }), sign1({ detached: true })],
  read(input) {
    const message = parseSign1(input);
    const options = message.payload === undefined ? { detachedPayload: ccs } : {};
    sign1ToBeSigned(message, options);
    // Nothing that was made without the key is ever right.
    assert.equal(verifySign1(nodeCrypto, publicKey, message, options), false);
  },
});

fuzz({
  name: 'cose-key',
  valid: [
    encodeKey(key),
    encodeKey({ type: 'EC2', curve: 'P-256', x, y: true, operations: [7], algorithm: -25 }),
    encodeKey({ type: 'OKP', curve: 'Ed25519', x }),
  ],
  read(input) {
    const parsed = parseKey(input);
    assert.deepEqual(parseKey(encodeKey(parsed)), parsed);
    importKey(nodeCrypto, parsed);
  },
});

fuzz({
  name: 'cose-ccs',
  valid: [ccs, buildCcs({ key }).bytes],
  read: (input) => assert.deepEqual(parseCcs(input).bytes, input),
});

fuzz({ name: 'cose-cwt', valid: [sign1({}), sign1({ tagged: true })], read: parseCwt });

fuzz({
  name: 'cose-headers',
  valid: [fromHex('a10126'), fromHex('a301260281160458201600'), fromHex('a20126182182410041ff')],
  read: parseProtected,
});
