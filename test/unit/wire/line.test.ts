import assert from 'node:assert/strict';
import { generateKeyPairSync, sign as signOnce } from 'node:crypto';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import * as cbor from '../../../src/wire/cbor/writer.ts';
import { fixedSignature } from '../../../src/wire/der/ecdsa.ts';
import { prepareSign1 } from '../../../src/wire/cose/sign1.ts';
import type { PublicKey } from '../../../src/wire/crypto/crypto.ts';
import { agreeProof } from '../../../src/wire/line/agreeProof.ts';
import {
  encodeEndorseAnswer,
  encodeEndorseRequest,
  readEndorseAnswer,
  readEndorseRequest,
} from '../../../src/wire/line/endorsement.ts';
import { isName, lineLimits, messageTypeOf } from '../../../src/wire/line/fields.ts';
import {
  encodeOpenAnswer,
  encodeOpenRequest,
  readOpenAnswer,
  readOpenRequest,
} from '../../../src/wire/line/opening.ts';
import * as reporting from '../../../src/wire/line/reporting.ts';
import {
  bindingTo,
  isSignedBy,
  parseSigned,
  prepareSigned,
} from '../../../src/wire/line/signed.ts';
import { encodeTicket, readTicket } from '../../../src/wire/line/ticket.ts';
import { lineSamples as samples } from '../../support/lineSamples.ts';

/** Every message of the line: its sample, writer and reader. */
const kinds = [
  ['ticket', encodeTicket(samples.ticket), readTicket, samples.ticket],
  ['openRequest', encodeOpenRequest(samples.openRequest), readOpenRequest, samples.openRequest],
  ['openAnswer', encodeOpenAnswer(samples.openAnswer), readOpenAnswer, samples.openAnswer],
  [
    'endorseRequest',
    encodeEndorseRequest(samples.endorseRequest),
    readEndorseRequest,
    samples.endorseRequest,
  ],
  [
    'endorseAnswer',
    encodeEndorseAnswer(samples.endorseAnswer),
    readEndorseAnswer,
    samples.endorseAnswer,
  ],
  ['report', reporting.encodeReport(samples.report), reporting.readReport, samples.report],
  [
    'reportAnswer',
    reporting.encodeReportAnswer(samples.reportAnswer),
    reporting.readReportAnswer,
    samples.reportAnswer,
  ],
  [
    'closeRequest',
    reporting.encodeCloseRequest(samples.closeRequest),
    reporting.readCloseRequest,
    samples.closeRequest,
  ],
  [
    'closeAnswer',
    reporting.encodeCloseAnswer(samples.closeAnswer),
    reporting.readCloseAnswer,
    samples.closeAnswer,
  ],
  ['refusal', reporting.encodeRefusal(samples.refusal), reporting.readRefusal, samples.refusal],
] as const;

test('every message reads as it was written', () => {
  for (const [type, encoded, read, sample] of kinds) {
    assert.equal(messageTypeOf(encoded), type);
    assert.deepEqual(read(encoded), sample, type);
  }
});

test('no message passes for another', () => {
  for (const [type, encoded] of kinds) {
    for (const [otherType, , read] of kinds) {
      if (otherType !== type) assert.throws(() => read(encoded), MalformedError);
    }
  }
});

test('every shorter message and every trailing byte is refused', () => {
  for (const [type, encoded, read] of kinds) {
    for (let length = 0; length < encoded.length; length++) {
      assert.throws(() => read(encoded.subarray(0, length)), MalformedError, `${type} ${length}`);
    }
    assert.throws(() => read(concat(encoded, Uint8Array.of(0))), MalformedError);
  }
});

test('a ticket in its published form (docs/ticket.md)', () => {
  assert.equal(
    toHex(encodeTicket({ ...samples.ticket, stationKeySpki: Uint8Array.of(0x30, 0x00) })),
    '8c01' +
      '50000102030405060708090a0b0c0d0e0f' +
      '686f726465722d3031' +
      '676c6f742d303037' +
      '6973656e736f722d6c31' +
      '66696465766964' +
      '68736f667477617265' +
      '01' +
      '423000' +
      '1903e8' +
      '1a6900e000' +
      '1a69021180',
  );
});

test('fields outside their bounds are refused at their offset', () => {
  const refused = (encode: () => Uint8Array, read: (bytes: Uint8Array) => unknown, what: RegExp) =>
    assert.throws(() => read(encode()), { name: 'MalformedError', message: what });
  const ticket = samples.ticket;
  refused(() => encodeTicket({ ...ticket, count: 0 }), readTicket, /a ticket for nothing/);
  refused(() => encodeTicket({ ...ticket, count: 10_000_001 }), readTicket, /above 10000000/);
  refused(() => encodeTicket({ ...ticket, order: '../x' }), readTicket, /order has 1 to 64/);
  refused(() => encodeTicket({ ...ticket, ticketId: new Uint8Array(15) }), readTicket, /ticket id/);
  refused(
    () => encodeTicket({ ...ticket, notAfterS: 253_402_300_800 }),
    readTicket,
    /integer above 253402300799/,
  );
  const [unit] = samples.endorseRequest.units;
  assert.ok(unit);
  const withUnits = (units: readonly (typeof unit)[]) => () =>
    encodeEndorseRequest({ ticket: Uint8Array.of(1), units });
  refused(withUnits([]), readEndorseRequest, /1 to 100 entries/);
  refused(withUnits([unit, unit]), readEndorseRequest, /one element named twice at byte 4/);
  refused(
    withUnits(Array.from({ length: 101 }, (_, index) => ({ ...unit, uid: Uint8Array.of(index) }))),
    readEndorseRequest,
    /1 to 100 entries/,
  );
  refused(withUnits([{ ...unit, uid: new Uint8Array(65) }]), readEndorseRequest, /uid/);
  refused(withUnits([{ ...unit, model: 'a\u001b[2J' }]), readEndorseRequest, /model/);
  refused(
    withUnits([{ ...unit, agree: { publicKey: new Uint8Array(65), proof: new Uint8Array(32) } }]),
    readEndorseRequest,
    /uncompressed point/,
  );
  refused(
    () =>
      encodeEndorseAnswer({
        units: [{ uid: Uint8Array.of(1), code: 'no space', reason: '' }],
        chain: [Uint8Array.of(1)],
      }),
    readEndorseAnswer,
    /code/,
  );
});

test('names stand in file names and logs', () => {
  for (const name of ['a', 'lot-7', 'A.b_c-9', 'x'.repeat(64)]) assert.ok(isName(name), name);
  for (const name of ['', '.', '..', '-a', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(65)]) {
    assert.ok(!isName(name), name);
  }
});

test('a signature holds for its message, its key and its binding alone', () => {
  const signer = p256();
  const request = signed(signer, encodeOpenRequest(samples.openRequest));
  const binding = bindingTo(nodeCrypto, request);
  const answer = signed(signer, encodeOpenAnswer(samples.openAnswer), binding);
  const parsed = parseSigned(answer);
  assert.ok(isSignedBy(nodeCrypto, signer.publicKey, parsed, binding));
  assert.ok(!isSignedBy(nodeCrypto, signer.publicKey, parsed));
  assert.ok(!isSignedBy(nodeCrypto, p256().publicKey, parsed, binding));
  for (let offset = 0; offset < answer.length; offset++) {
    const altered = answer.slice();
    altered[offset] = (altered[offset] ?? 0) ^ 1;
    assert.ok(!believed(altered, signer.publicKey, binding), `byte ${offset}`);
  }
});

test('a signed message without payload or over the limit is malformed', () => {
  const unsigned = prepareSign1({
    protected: { algorithm: -7 },
    payload: Uint8Array.of(1),
    detached: true,
  });
  assert.throws(() => parseSigned(unsigned.finish(new Uint8Array(64))), /payload missing/);
  assert.throws(() => parseSigned(new Uint8Array(lineLimits.message + 1)), /too long at byte/);
});

test('an agree proof depends on ticket, both keys, shared secret and request', () => {
  const authority = nodeCrypto.generateKeyPair('P-256');
  const element = nodeCrypto.generateKeyPair('P-256');
  const shared = agreed(authority, element.publicKey);
  assert.deepEqual(shared, agreed(element, authority.publicKey));
  const input = {
    sharedSecret: shared,
    ticketId: samples.ticket.ticketId,
    authorityKey: authority.publicKey,
    agreeKey: element.publicKey,
    csr: Uint8Array.of(1, 2, 3),
  };
  const proof = agreeProof(nodeCrypto, input);
  assert.equal(proof.length, 32);
  assert.deepEqual(
    agreeProof(nodeCrypto, { ...input, sharedSecret: nodeCrypto.secret(shared) }),
    proof,
  );
  for (const change of [
    { sharedSecret: new Uint8Array(32) },
    { ticketId: new Uint8Array(16) },
    { authorityKey: element.publicKey },
    { agreeKey: authority.publicKey },
    { csr: cbor.nullItem },
  ]) {
    assert.notDeepEqual(agreeProof(nodeCrypto, { ...input, ...change }), proof);
  }
});

interface TestSigner {
  readonly publicKey: PublicKey;
  sign(data: Uint8Array): Uint8Array;
}

function p256(): TestSigner {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const imported = nodeCrypto.importPublicKey('P-256', spki.subarray(26));
  assert.ok(imported);
  return {
    publicKey: imported,
    sign: (data) => fixedSignature(signOnce('sha256', data, privateKey), 32),
  };
}

function signed(signer: TestSigner, payload: Uint8Array, binding?: Uint8Array): Uint8Array {
  const unsigned = prepareSigned(payload, binding);
  return unsigned.finish(signer.sign(unsigned.toBeSigned));
}

function believed(bytes: Uint8Array, publicKey: PublicKey, binding: Uint8Array): boolean {
  try {
    return isSignedBy(nodeCrypto, publicKey, parseSigned(bytes), binding);
  } catch (error) {
    assert.ok(error instanceof MalformedError || error instanceof UnsupportedError);
    return false;
  }
}

function agreed(own: ReturnType<typeof nodeCrypto.generateKeyPair>, peer: Uint8Array): Uint8Array {
  const key = nodeCrypto.importPublicKey('P-256', peer);
  assert.ok(key);
  const secret = nodeCrypto.agree(own, key);
  assert.ok(secret);
  return secret;
}
