/** EDHOC-PSK: the vectors of draft -08 value by value, both roles, resumption, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { empty } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import * as cbor from '../../../../src/wire/cbor/writer.ts';
import type { Crypto } from '../../../../src/wire/crypto/crypto.ts';
import { AwaitMessage4 } from '../../../../src/wire/edhoc/completion.ts';
import type { EadItem } from '../../../../src/wire/edhoc/ead.ts';
import { encodeIdentifier } from '../../../../src/wire/edhoc/identifiers.ts';
import { kidIdCred } from '../../../../src/wire/edhoc/idCred.ts';
import { methodOf } from '../../../../src/wire/edhoc/message1.ts';
import { encodeMessage1, encodeMessage2 } from '../../../../src/wire/edhoc/messages.ts';
import {
  encodePlaintext3a,
  keystream3a,
  type PskCredential,
  pskKeys,
  type PskProfile,
  pskTh3,
  pskTh4,
  resumptionCredential,
} from '../../../../src/wire/edhoc/psk.ts';
import { PskAwaitMessage2, startPskInitiator } from '../../../../src/wire/edhoc/pskInitiator.ts';
import { PskAwaitMessage3, readPskMessage1 } from '../../../../src/wire/edhoc/pskResponder.ts';
import { isEdhocRefusal } from '../../../../src/wire/edhoc/refusal.ts';
import * as schedule from '../../../../src/wire/edhoc/schedule.ts';
import type { EdhocSession } from '../../../../src/wire/edhoc/session.ts';
import { maximumRefusals } from '../../../../src/wire/edhoc/state.ts';
import { suiteOf } from '../../../../src/wire/edhoc/suites.ts';
import {
  granted,
  handshake,
  importPrivate,
  loadVectors,
  partyFor,
  vector,
  withEphemerals,
} from '../../../support/edhoc.ts';

const rows = loadVectors('edhoc-psk-08', 'trace');
const profile: PskProfile = { suites: [2], message4: true, knownEad: [1] };
const cI = vector(rows, 'message_1', 'C_I');
const cR = vector(rows, 'message_2', 'C_R');
const vectorPsk: PskCredential = {
  idCred: kidIdCred(vector(rows, 'message_3', 'ID_CRED_PSK')),
  psk: vector(rows, 'message_3', 'PSK'),
  hash: 'SHA-256',
  credI: vector(rows, 'message_3', 'CRED_I'),
  credR: vector(rows, 'message_3', 'CRED_R'),
};

const computed = compute();
for (const row of rows) {
  const form = row.form === '' ? '' : ` (${row.form})`;
  test(`draft -08, ${row.section}: ${row.name}${form}`, () => {
    const value = computed.get(`${row.name}|${row.form}`);
    assert.ok(value, 'nothing computes this value');
    assert.equal(toHex(value), row.hex);
  });
}

function compute(): ReadonlyMap<string, Uint8Array> {
  const values = new Map<string, Uint8Array>();
  const put = (name: string, value: Uint8Array): void => {
    values.set(`${name}|Raw Value`, value);
    values.set(`${name}|CBOR Data Item`, cbor.bytes(value));
    values.set(`${name}|CBOR Sequence`, value);
  };
  const item = (name: string, value: Uint8Array): void => {
    values.set(`${name}|CBOR Data Item`, value);
  };
  const algorithms = { crypto: nodeCrypto, suite: suiteOf(2) };
  const x = importPrivate('P-256', vector(rows, 'message_1', 'X'));
  const y = importPrivate('P-256', vector(rows, 'message_2', 'Y'));
  for (const name of ['EAD_1', 'EAD_2', 'EAD_3', 'EAD_4', 'PLAINTEXT_3B', 'PLAINTEXT_4']) {
    put(name, empty);
  }
  item('METHOD', cbor.integer(4));
  item('SUITES_I', cbor.integer(2));
  put('X', nodeCrypto.exportEphemeral(x));
  put('G_X', x.publicKey);
  item('C_I', encodeIdentifier(cI));
  const gX = x.publicKey;
  const message1 = encodeMessage1({ method: 4, suites: [2], gX, cI, ead1: empty });
  put('message_1', message1);
  put('Y', nodeCrypto.exportEphemeral(y));
  put('G_Y', y.publicKey);
  item('C_R', encodeIdentifier(cR));
  const hash = schedule.hashOfMessage1(algorithms, message1);
  put('H(message_1)', hash);
  const th2 = schedule.th2(algorithms, y.publicKey, hash);
  put('TH_2', th2);
  const gY = nodeCrypto.importPublicKey('P-256', y.publicKey) ?? assert.fail();
  const gXY = nodeCrypto.agree(x, gY) ?? assert.fail();
  put('G_XY', gXY);
  const prk2e = schedule.prk2e(algorithms, th2, gXY);
  put('PRK_2e', nodeCrypto.exportSecret(prk2e));
  put('PRK_3e2m', nodeCrypto.exportSecret(prk2e));
  const plaintext2a = encodeIdentifier(cR);
  put('PLAINTEXT_2A', plaintext2a);
  const keystream2a = schedule.keystream2(algorithms, prk2e, th2, 1);
  put('KEYSTREAM_2A', keystream2a);
  put('CIPHERTEXT_2A', schedule.xor(plaintext2a, keystream2a));
  put('message_2', encodeMessage2(y.publicKey, schedule.xor(plaintext2a, keystream2a)));
  const th3 = pskTh3(algorithms, th2, plaintext2a);
  put('TH_3', th3);
  const { idCred, psk, credI, credR } = vectorPsk;
  put('SALT_4e3m', schedule.salt4e3m(algorithms, prk2e, th3));
  assert.ok(psk instanceof Uint8Array);
  put('PSK', psk);
  const keys = pskKeys(algorithms, prk2e, th3, vectorPsk);
  put('PRK_4e3m', nodeCrypto.exportSecret(keys.prk4e3m));
  // Printed without the head of the byte string.
  item('ID_CRED_PSK', idCred.subarray(3));
  put('CRED_I', credI);
  put('CRED_R', credR);
  put('K_3', keys.k3);
  put('IV_3', keys.iv3);
  const aeadKey = nodeCrypto.aeadKey('AES-CCM-16-64-128', keys.k3);
  const ciphertext3b = nodeCrypto.seal(aeadKey, keys.iv3, keys.additionalData, empty);
  put('CIPHERTEXT_3B', cbor.bytes(ciphertext3b));
  const plaintext3a = encodePlaintext3a(idCred, ciphertext3b);
  put('PLAINTEXT_3A', plaintext3a);
  const keystream = keystream3a(algorithms, prk2e, th3, plaintext3a.length);
  put('KEYSTREAM_3A', keystream);
  const ciphertext3a = schedule.xor(plaintext3a, keystream);
  put('CIPHERTEXT_3A', ciphertext3a);
  put('message_3', cbor.bytes(ciphertext3a));
  const th4 = pskTh4(algorithms, th3, empty, vectorPsk);
  put('TH_4', th4);
  const k4 = schedule.k4(algorithms, keys.prk4e3m, th4);
  const iv4 = schedule.iv4(algorithms, keys.prk4e3m, th4);
  put('K_4', k4);
  put('IV_4', iv4);
  const key4 = nodeCrypto.aeadKey('AES-CCM-16-64-128', k4);
  const ciphertext4 = nodeCrypto.seal(key4, iv4, schedule.additionalData(th4), empty);
  put('message_4', cbor.bytes(ciphertext4));
  const prkOut = schedule.prkOut(algorithms, keys.prk4e3m, th4);
  put('PRK_out', nodeCrypto.exportSecret(prkOut));
  const prkExporter = schedule.prkExporter(algorithms, prkOut);
  put('PRK_exporter', nodeCrypto.exportSecret(prkExporter));
  put('rPSK', schedule.kdf(algorithms, prkExporter, 2, empty, 16));
  put('rKID', schedule.kdf(algorithms, prkExporter, 3, empty, 2));
  return values;
}

interface PskRun {
  readonly initiator: EdhocSession;
  readonly responder: EdhocSession;
  readonly messages: readonly Uint8Array[];
}

function run(
  psk: PskCredential,
  responderPsk: PskCredential = psk,
  cryptos: { readonly initiator?: Crypto; readonly responder?: Crypto } = {},
  ead: readonly (readonly EadItem[])[] = [],
): PskRun {
  const started = startPskInitiator(cryptos.initiator ?? nodeCrypto, profile, {
    connectionId: cI,
    ead1: ead[0] ?? [],
  });
  assert.equal(methodOf(started.message1), 4);
  const accepted = granted(
    readPskMessage1(cryptos.responder ?? nodeCrypto, profile, started.message1),
  );
  const second = granted(accepted.compose({ connectionId: cR, ead2: ead[1] ?? [] }));
  const read = granted(started.next.readMessage2(second.message2));
  const third = read.compose({ psk, ead3: ead[2] ?? [] });
  const needed = granted(second.next.readMessage3(third.message3));
  assert.deepEqual(needed.idCredPsk, psk.idCred);
  const verified = granted(needed.accept(responderPsk));
  const last = verified.finish({ ead4: ead[3] ?? [] });
  assert.ok(third.next.kind === 'await-message-4' && last.message4 !== undefined);
  const done = granted(third.next.readMessage4(last.message4));
  const messages = [started.message1, second.message2, third.message3, last.message4];
  return { initiator: done.session, responder: last.session, messages };
}

const sizes = (messages: readonly Uint8Array[]): number[] => messages.map(({ length }) => length);

test('both roles reproduce the messages of draft -08', () => {
  const x = withEphemerals(vector(rows, 'message_1', 'X'));
  const y = withEphemerals(vector(rows, 'message_2', 'Y'));
  const done = run(vectorPsk, vectorPsk, { initiator: x, responder: y });
  for (const [index, message] of done.messages.entries()) {
    const name = `message_${index + 1}`;
    assert.deepEqual(message, vector(rows, name, name));
  }
  assert.deepEqual(done.initiator.exporter(3, empty, 2), vector(rows, 'rPSK', 'rKID'));
  assert.deepEqual(done.responder.exporter(2, empty, 16), vector(rows, 'rPSK', 'rPSK'));
});

test('83 and 9 bytes with a kid of one byte', () => {
  const done = run({ ...vectorPsk, idCred: kidIdCred(fromHex('10')) });
  assert.deepEqual(sizes(done.messages), [37, 35, 11, 9]);
});

test('resumption after method 3, and after a resumption: 85 and 9 bytes, new keys each time', () => {
  const initiator = partyFor(3, 2, 'initiator', fromHex('2b'));
  const responder = partyFor(3, 2, 'responder', fromHex('32'));
  const first = handshake({ method: 3, initiator, responder });
  let ours = resumptionCredential(nodeCrypto, first.initiator);
  let theirs = resumptionCredential(nodeCrypto, first.responder);
  const seen = new Set<string>();
  for (let round = 0; round < 3; round++) {
    assert.deepEqual(ours.idCred, theirs.idCred);
    assert.deepEqual(ours.credI, initiator.credential.cred);
    assert.deepEqual(ours.credR, responder.credential.cred);
    assert.equal(ours.psk.length, 32);
    const done = run(ours, theirs);
    assert.deepEqual(sizes(done.messages), [37, 35, 13, 9]);
    assert.deepEqual(
      done.initiator.oscoreParameters().masterSecret,
      done.responder.exporter(0, empty, 16),
    );
    seen.add(toHex(done.initiator.exporter(0, empty, 16)));
    ours = resumptionCredential(nodeCrypto, done.initiator);
    theirs = resumptionCredential(nodeCrypto, done.responder);
  }
  assert.equal(seen.size, 3);
});

test('EAD travels in all four messages', () => {
  const items = [1, 2, 3, 4].map((byte) => [
    { label: 1, critical: true, value: Uint8Array.of(byte) },
  ]);
  const done = run(vectorPsk, vectorPsk, {}, items);
  assert.deepEqual(sizes(done.messages), [40, 38, 16, 12]);
});

test('a PSK that does not fit is the caller’s mistake at the initiator, a refusal at the responder', () => {
  const wrong: readonly (readonly [Partial<PskCredential>, string])[] = [
    [{ hash: 'SHA-384' }, 'unsuitable-credential'],
    [{ psk: new Uint8Array(15) }, 'unsuitable-credential'],
    [{ credR: vectorPsk.credI }, 'own-identity'],
    [{ psk: new Uint8Array(16) }, 'not-authentic'],
    [{ credI: cbor.integer(1) }, 'not-authentic'],
  ];
  for (const [change, code] of wrong) {
    const started = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
    const accepted = granted(readPskMessage1(nodeCrypto, profile, started.message1));
    const second = granted(accepted.compose({ connectionId: cR }));
    const read = granted(started.next.readMessage2(second.message2));
    if (code !== 'not-authentic') {
      assert.throws(() => read.compose({ psk: { ...vectorPsk, ...change } }), TypeError);
    }
    const { message3 } = read.compose({ psk: vectorPsk });
    const needed = granted(second.next.readMessage3(message3));
    const outcome = needed.accept({ ...vectorPsk, ...change });
    assert.ok(isEdhocRefusal(outcome));
    assert.equal(outcome.refused, code);
    // A kid is not unique: the next candidate may be the one.
    assert.equal(granted(needed.accept(vectorPsk)).kind, 'initiator-verified');
  }
});

test('before the fourth message the initiator has pending keys only, and no peer', () => {
  const started = startPskInitiator(
    nodeCrypto,
    { ...profile, message4: false },
    { connectionId: cI },
  );
  const accepted = granted(readPskMessage1(nodeCrypto, profile, started.message1));
  const second = granted(accepted.compose({ connectionId: cR }));
  const { next } = granted(started.next.readMessage2(second.message2)).compose({ psk: vectorPsk });
  assert.ok(next.kind === 'await-application');
  assert.ok(!('peer' in next.pendingKeys) && !('store' in next.pendingKeys));
  const { masterSecret } = next.pendingKeys.oscoreParameters();
  assert.deepEqual(next.confirm().exporter(0, empty, 16), masterSecret);
  assert.throws(() => next.pendingKeys, TypeError);
});

test('a forged message_2 or message_3 does not end the handshake', () => {
  const started = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
  const accepted = granted(readPskMessage1(nodeCrypto, profile, started.message1));
  const second = granted(accepted.compose({ connectionId: cR }));
  const other = granted(readPskMessage1(nodeCrypto, profile, started.message1));
  const forged = granted(other.compose({ connectionId: fromHex('11') }));
  const waiting = granted(granted(started.next.readMessage2(forged.message2)).keepWaiting());
  const third = granted(waiting.readMessage2(second.message2)).compose({ psk: vectorPsk });
  // Any bytes of a fitting length may decrypt to a PLAINTEXT_3A by accident; most do not.
  const noise = cbor.bytes(new Uint8Array(12));
  const outcome = second.next.readMessage3(noise);
  const after = isEdhocRefusal(outcome) ? second.next : granted(outcome.keepWaiting());
  const verified = granted(granted(after.readMessage3(third.message3)).accept(vectorPsk));
  assert.equal(verified.finish().session.role, 'responder');
});

test('forged answers are waited through up to a limit, by both sides', () => {
  let { next: waiting, message1 } = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
  const answer = () =>
    granted(granted(readPskMessage1(nodeCrypto, profile, message1)).compose({ connectionId: cR }));
  for (let count = 1; count < maximumRefusals; count++) {
    waiting = granted(granted(waiting.readMessage2(answer().message2)).keepWaiting());
  }
  const last = granted(waiting.readMessage2(answer().message2));
  assert.equal(refused(last.keepWaiting()), 'exhausted');
  assert.throws(() => last.compose({ psk: vectorPsk }), TypeError);

  ({ next: waiting, message1 } = startPskInitiator(nodeCrypto, profile, { connectionId: cI }));
  const { next, message2 } = answer();
  const { message3 } = granted(waiting.readMessage2(message2)).compose({ psk: vectorPsk });
  let awaiting = next;
  for (let count = 1; count < maximumRefusals; count++) {
    awaiting = granted(granted(awaiting.readMessage3(message3)).keepWaiting());
  }
  const needed = granted(awaiting.readMessage3(message3));
  assert.equal(refused(needed.keepWaiting()), 'exhausted');
  assert.throws(() => needed.accept(vectorPsk), TypeError);
});

test('a state is spent by its step: every further use is a TypeError', () => {
  const started = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
  const accepted = granted(readPskMessage1(nodeCrypto, profile, started.message1));
  const second = granted(accepted.compose({ connectionId: cR }));
  assert.throws(() => accepted.compose({ connectionId: cR }), TypeError);
  const read = granted(started.next.readMessage2(second.message2));
  assert.throws(() => started.next.readMessage2(second.message2), TypeError);
  const { message3 } = read.compose({ psk: vectorPsk });
  assert.throws(() => read.compose({ psk: vectorPsk }), TypeError);
  assert.throws(() => read.keepWaiting(), TypeError);
  const needed = granted(second.next.readMessage3(message3));
  assert.throws(() => second.next.store(), TypeError);
  granted(needed.accept(vectorPsk)).finish();
  assert.throws(() => needed.accept(vectorPsk), TypeError);
});

test('message_3 is no longer than one keystream: 255 hashes', () => {
  const item = (lengthBytes: number): EadItem[] => [
    { label: 1, critical: true, value: new Uint8Array(lengthBytes) },
  ];
  const started = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
  const accepted = granted(readPskMessage1(nodeCrypto, profile, started.message1));
  const second = granted(accepted.compose({ connectionId: cR }));
  const read = granted(started.next.readMessage2(second.message2));
  // Beside the value: kid (3), label (1), tag (8), and the heads of two byte strings (3 each).
  assert.throws(() => read.compose({ psk: vectorPsk, ead3: item(255 * 32 - 17) }), /too long/);
  const { message3 } = read.compose({ psk: vectorPsk, ead3: item(255 * 32 - 18) });
  assert.equal(message3.length, 3 + 255 * 32);
  const longer = cbor.bytes(new Uint8Array(255 * 32 + 1));
  assert.equal(refused(second.next.readMessage3(longer)), 'unsupported');
  granted(granted(second.next.readMessage3(message3)).accept(vectorPsk));
});

function refused(outcome: object): string | undefined {
  return isEdhocRefusal(outcome) ? outcome.refused : undefined;
}

test('a restart between any two messages', () => {
  const started = startPskInitiator(nodeCrypto, profile, { connectionId: cI });
  const accepted = granted(readPskMessage1(nodeCrypto, profile, started.message1));
  const second = granted(accepted.compose({ connectionId: cR }));
  const waiting = PskAwaitMessage2.restore(nodeCrypto, started.next.store());
  const third = granted(waiting.readMessage2(second.message2)).compose({ psk: vectorPsk });
  const answering = PskAwaitMessage3.restore(nodeCrypto, second.next.store());
  assert.equal(answering.connectionId[0], cR[0]);
  const last = granted(granted(answering.readMessage3(third.message3)).accept(vectorPsk)).finish();
  const final = AwaitMessage4.restore(nodeCrypto, third.next.store());
  const { session } = granted(final.readMessage4(last.message4 ?? empty));
  assert.deepEqual(session.exporter(0, empty, 16), last.session.exporter(0, empty, 16));
});
