import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import { buildCcs } from '../../../src/wire/cose/ccs.ts';
import {
  deviceCredential,
  encodeServerIdentity,
  kidOfAgreeKey,
  readServerIdentity,
} from '../../../src/wire/edhoc/agreeCredential.ts';
import { isOneByteInteger } from '../../../src/wire/edhoc/identifiers.ts';

// RFC 9529 §3.2: the initiator's static key of trace 2.
const x = 'ac75e9ece3e50bfc8ed60399889522405c47bf16df96660a41298cb4307f7eb6';
const y = '6e5de611388a4b8a8211334ac7d37ecb52a387d257e6db3c2a93df21ff3affc8';
const point = fromHex(`04${x}${y}`);

test('both sides build the same bytes', () => {
  const credential = deviceCredential(nodeCrypto, 'abcdefgh01234567', point);
  assert.ok(credential !== undefined);
  const kid = toHex(kidOfAgreeKey(nodeCrypto, point));
  assert.equal(
    toHex(credential.cred),
    `a20270${toHex(new TextEncoder().encode('abcdefgh01234567'))}08a101a501020241${kid}2001215820${x}225820${y}`,
  );
  assert.equal(toHex(credential.idCred), `a10441${kid}`);
  assert.equal(toHex(credential.publicKey.bytes), x);
});

test('a kid is one byte that EDHOC sends as an integer, and every one of the 48 occurs', () => {
  const kids = new Set<string>();
  for (let count = 0; count < 2000; count++) {
    const kid = kidOfAgreeKey(nodeCrypto, Uint8Array.of(4, count >> 8, count & 255));
    assert.ok(isOneByteInteger(kid));
    kids.add(toHex(kid));
  }
  assert.equal(kids.size, 48);
});

test('a server identity is read back, and nothing else is', () => {
  const bytes = encodeServerIdentity(nodeCrypto, 'server', point);
  const credential = readServerIdentity(nodeCrypto, bytes);
  assert.deepEqual(credential.kid, kidOfAgreeKey(nodeCrypto, point));
  assert.deepEqual(credential.cred, bytes);
  assert.throws(() => readServerIdentity(nodeCrypto, bytes.subarray(1)), MalformedError);
  assert.throws(() => readServerIdentity(nodeCrypto, concat(bytes, fromHex('00'))), MalformedError);
  const offCurve = encodeServerIdentity(nodeCrypto, 'server', fromHex(`04${x}${x}`));
  assert.throws(() => readServerIdentity(nodeCrypto, offCurve), MalformedError);
  const key = { type: 'EC2', curve: 'P-256', x: fromHex(x), y: fromHex(y) } as const;
  assert.throws(() => readServerIdentity(nodeCrypto, buildCcs({ key }).bytes), MalformedError);
  const okp = buildCcs({
    key: { type: 'OKP', curve: 'X25519', x: fromHex(x), kid: fromHex('01') },
  });
  assert.throws(() => readServerIdentity(nodeCrypto, okp.bytes), UnsupportedError);
  assert.equal(deviceCredential(nodeCrypto, 'a', fromHex(`04${x}${x}`)), undefined);
});
