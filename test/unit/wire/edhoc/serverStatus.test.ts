/** The word about a server's credential: its bytes, what it is bound to, and how it is asked for. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../../src/wire/bytes/malformed.ts';
import { fixedSignature } from '../../../../src/wire/der/ecdsa.ts';
import { encodeEad } from '../../../../src/wire/edhoc/ead.ts';
import {
  credentialRequest,
  encodeStatus,
  parseStatus,
  exampleServerProof,
  readServerRequest,
  statusItem,
  statusRequest,
  statusToBeSigned,
  verifyStatus,
  x509Request,
} from '../../../../src/wire/edhoc/serverStatus.ts';
import { parseSpki } from '../../../../src/wire/x509/spki.ts';
import { testKey } from '../../../support/pki.ts';

const key = testKey();
const publicKey = nodeCrypto.importPublicKey('P-256', parseSpki(key.spki).key);
const subject = {
  hashOfMessage1: new Uint8Array(32).fill(0xaa),
  certificateSha256: new Uint8Array(32).fill(0xbb),
};

test('what is signed is the Sig_structure of docs/server-identity.md, byte for byte', () => {
  assert.equal(
    toHex(statusToBeSigned({ timeS: 1_795_000_000, floor: 7 }, subject)),
    `846a5369676e61747572653143a1012658445820${'aa'.repeat(32)}5820${'bb'.repeat(32)}461a6afd86c007`,
  );
});

test('an item of at most 100 bytes, whatever the numbers are', () => {
  const signature = new Uint8Array(64);
  for (const [timeS, floor, lengthBytes] of [
    [1_795_000_000, 7, 77],
    [0xffff_ffff, 0xffff_ffff, 81],
    [Number.MAX_SAFE_INTEGER, 0xffff_ffff, 85],
  ] as const) {
    const value = encodeStatus({ timeS, floor, signature });
    const item = encodeEad([statusItem(exampleServerProof, value)]);
    assert.equal(item.length, lengthBytes);
    assert.ok(item.length <= 100);
    assert.deepEqual(parseStatus(value), { timeS, floor, signature });
  }
});

test('it holds for that handshake, that certificate, that time and that floor', () => {
  assert.ok(publicKey);
  const word = { timeS: 1_795_000_000, floor: 7 };
  const signature = fixedSignature(key.sign(statusToBeSigned(word, subject)), 32);
  const holds = (changed: object, about: object = {}): boolean =>
    verifyStatus(
      nodeCrypto,
      publicKey,
      { ...word, signature, ...changed },
      { ...subject, ...about },
    );
  assert.equal(holds({}), true);
  assert.equal(holds({ timeS: word.timeS + 1 }), false);
  assert.equal(holds({ floor: 6 }), false);
  assert.equal(holds({ signature: signature.map((byte) => byte ^ 1) }), false);
  assert.equal(holds({}, { hashOfMessage1: subject.certificateSha256 }), false);
  assert.equal(holds({}, { certificateSha256: subject.hashOfMessage1 }), false);
});

test('requests in EAD_1', () => {
  const known = fromHex('0102030405060708');
  const items = [credentialRequest(exampleServerProof, known), statusRequest(exampleServerProof)];
  assert.equal(toHex(encodeEad(items)), '19fde9440102030439fde9');
  assert.deepEqual(readServerRequest(exampleServerProof, items), {
    chain: true,
    x509: false,
    known: known.subarray(0, 4),
    status: true,
  });
  const none = { chain: false, x509: false, known: undefined, status: false };
  assert.deepEqual(readServerRequest(exampleServerProof, []), none);
  // A hint of another length says nothing.
  const label = exampleServerProof.credentialLabel;
  const odd = readServerRequest(exampleServerProof, [{ label, critical: false, value: known }]);
  assert.deepEqual(odd, { ...none, chain: true });
  const asX509 = [x509Request(exampleServerProof)];
  assert.equal(toHex(encodeEad(asX509)), '19fde94121');
  assert.deepEqual(readServerRequest(exampleServerProof, asX509), {
    ...none,
    chain: true,
    x509: true,
  });
  const otherForm = readServerRequest(exampleServerProof, [
    { label, critical: false, value: Uint8Array.of(25) },
  ]);
  assert.deepEqual(otherForm, { ...none, chain: true });
});

test('what is no word is malformed', () => {
  const good = toHex(encodeStatus({ timeS: 1, floor: 1, signature: new Uint8Array(64) }));
  for (const bad of [
    '',
    '01',
    '0101',
    good.slice(0, -2),
    `${good}00`,
    good.replace('0101', '2001'),
  ]) {
    assert.throws(() => parseStatus(fromHex(bad)), MalformedError, bad);
  }
  const short = { timeS: 1, floor: 1, signature: new Uint8Array(63) };
  assert.throws(() => encodeStatus(short), TypeError);
});
