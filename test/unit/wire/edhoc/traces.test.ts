/** Both roles driven through the traces of RFC 9529 by their states, and its invalid examples. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { concat, empty } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../../src/wire/bytes/malformed.ts';
import { parseIdCred } from '../../../../src/wire/edhoc/idCred.ts';
import { startInitiator } from '../../../../src/wire/edhoc/initiator.ts';
import { parseMessage2, parsePlaintext2 } from '../../../../src/wire/edhoc/messages.ts';
import {
  type EdhocRefusal,
  errorMessageFor,
  isEdhocRefusal,
} from '../../../../src/wire/edhoc/refusal.ts';
import { type Message1Accepted, readMessage1 } from '../../../../src/wire/edhoc/responder.ts';
import { keystream2, xor } from '../../../../src/wire/edhoc/schedule.ts';
import type { EdhocSession } from '../../../../src/wire/edhoc/session.ts';
import { type Method, selectSuite, suiteOf } from '../../../../src/wire/edhoc/suites.ts';
import {
  act,
  granted,
  importPrivate,
  loadVectors,
  makeParty,
  type Party,
  vector,
  type VectorRow,
  withEphemerals,
} from '../../../support/edhoc.ts';

const trace1 = loadVectors('rfc9529', 'trace1');
const trace2 = loadVectors('rfc9529', 'trace2');
const second = 'message_1 (second time)';

function party(rows: readonly VectorRow[], side: 'R' | 'I', curve: 'P-256' | 'Ed25519'): Party {
  const section = side === 'R' ? 'message_2' : 'message_3';
  const privateKey = importPrivate(curve, vector(rows, section, `SK_${side}`));
  const publicKey = nodeCrypto.importPublicKey(curve, privateKey.publicKey);
  assert.ok(publicKey);
  return {
    privateKey,
    credential: {
      idCred: vector(rows, section, `ID_CRED_${side}`),
      cred: vector(rows, section, `CRED_${side}`, 'CBOR Data Item'),
      publicKey,
    },
  };
}

function assertExports(session: EdhocSession, rows: readonly VectorRow[]): void {
  const oscore = session.oscoreParameters();
  const parameters = 'OSCORE Parameters';
  assert.deepEqual(oscore.masterSecret, vector(rows, parameters, 'OSCORE Master Secret'));
  assert.deepEqual(oscore.masterSalt, vector(rows, parameters, 'OSCORE Master Salt'));
  const mine = session.role === 'initiator' ? 'Client' : 'Server';
  assert.deepEqual(oscore.senderId, vector(rows, parameters, `${mine}'s OSCORE Sender ID`));
  const update = 'Key Update';
  const context = vector(rows, update, 'context for KeyUpdate', 'Raw Value');
  const updated = session.keyUpdate(context);
  assert.equal(updated.epoch, 1);
  assert.deepEqual(
    updated.oscoreParameters().masterSecret,
    vector(rows, update, 'OSCORE Master Secret after KeyUpdate'),
  );
  assert.deepEqual(
    updated.exporter(1, empty, 8),
    vector(rows, update, 'OSCORE Master Salt after KeyUpdate'),
  );
}

for (const { name, rows, method, suites, firstSection, curve } of [
  {
    name: 'trace 1 (method 0, suite 0, x5t)',
    rows: trace1,
    method: 0 as Method,
    suites: [0],
    firstSection: 'message_1',
    curve: 'Ed25519' as const,
  },
  {
    name: 'trace 2 (method 3, suites 6 and 2, kid)',
    rows: trace2,
    method: 3 as Method,
    suites: [6, 2],
    firstSection: second,
    curve: 'P-256' as const,
  },
]) {
  const selectedSuite = suites.at(-1) ?? 0;
  const profile = { suites, selectedSuite, message4: true, oscore: true };
  const initiator = party(rows, 'I', curve);
  const responder = party(rows, 'R', curve);
  const message = (number: number): Uint8Array =>
    vector(rows, number === 1 ? firstSection : `message_${number}`, `message_${number}`);

  test(`${name}: the initiator`, () => {
    const crypto = withEphemerals(vector(rows, firstSection, 'X'));
    const connectionId = vector(rows, firstSection, 'C_I', 'Raw Value');
    const { next, message1 } = startInitiator(crypto, { ...profile, method }, { connectionId });
    assert.deepEqual(message1, message(1));
    const needed = granted(next.readMessage2(message(2)));
    assert.deepEqual(needed.idCredR, responder.credential.idCred);
    assert.deepEqual(needed.peerConnectionId, vector(rows, 'message_2', 'C_R', 'Raw Value'));
    const verified = granted(needed.accept(responder.credential));
    const step = act(granted(verified.compose({ own: initiator.credential })), initiator);
    assert.deepEqual(step.message3, message(3));
    assert.ok(step.next.kind === 'await-message-4');
    const { session, ead4 } = granted(step.next.readMessage4(message(4)));
    assert.deepEqual(ead4, []);
    assertExports(session, rows);
  });

  test(`${name}: the responder`, () => {
    const crypto = withEphemerals(vector(rows, 'message_2', 'Y'));
    const ours = { ...profile, suites: [selectedSuite], methods: [method] };
    const accepted = granted(readMessage1(crypto, ours, message(1)));
    const connectionId = vector(rows, 'message_2', 'C_R', 'Raw Value');
    const composing = granted(accepted.compose({ connectionId, own: responder.credential }));
    const step = act(composing, responder);
    assert.deepEqual(step.message2, message(2));
    const needed = granted(step.next.readMessage3(message(3)));
    assert.deepEqual(needed.idCredI, initiator.credential.idCred);
    const done = granted(needed.accept(initiator.credential)).finish();
    assert.deepEqual(done.message4, message(4));
    assertExports(done.session, rows);
  });
}

test('trace 1: x5t is read as a truncated hash of a certificate', () => {
  const [reference] = parseIdCred(vector(trace1, 'message_2', 'ID_CRED_R'));
  assert.deepEqual(reference, { kind: 'x5t', algorithm: -15, hash: fromHex('79f2a41b510c1f9b') });
});

test('trace 2: suite 6 is refused with error 2, and the initiator selects suite 2', () => {
  const crypto = withEphemerals(
    vector(trace2, 'message_1 (first time)', 'X'),
    vector(trace2, second, 'X'),
  );
  // The trace has a P-256 key in a message_1 with suite 6: only its bytes matter to the responder.
  const refused = readMessage1(
    nodeCrypto,
    { suites: [2], methods: [3], message4: true },
    vector(trace2, 'message_1 (first time)', 'message_1'),
  );
  assert.ok(isEdhocRefusal(refused));
  assert.equal(refused.refused, 'wrong-suite');
  const error = errorMessageFor(refused);
  assert.deepEqual(error, vector(trace2, 'error', 'error'));

  const suites = [6, 2];
  const profile = { suites, method: 3 as Method, message4: true };
  const first = startInitiator(nodeCrypto, profile, { connectionId: fromHex('0e') });
  const answer = first.next.readMessage2(error);
  assert.ok(isEdhocRefusal(answer) && answer.peerError !== undefined);
  assert.ok('suitesR' in answer.peerError);
  const selectedSuite = selectSuite(suites, answer.peerError.suitesR) ?? assert.fail();
  crypto.generateKeyPair('P-256');
  const again = startInitiator(
    crypto,
    { ...profile, selectedSuite },
    { connectionId: fromHex('37') },
  );
  assert.deepEqual(again.message1, vector(trace2, second, 'message_1'));
});

const invalid = loadVectors('rfc9529', 'invalid');
const expectedRefusals: Readonly<Record<string, string>> = {
  'Error in length of ephemeral key': 'invalid-key',
  'Error in elliptic curve representation': 'invalid-key',
  'Error in elliptic curve point': 'invalid-key',
  'Curve point of low order': 'invalid-key',
  'Error in elliptic curve encoding': 'invalid-key',
};

for (const { section, name, hex } of invalid) {
  test(`RFC 9529 §4, ${section}: ${name}`, () => {
    const bytes = fromHex(hex);
    if (name === 'Invalid message_1') {
      // A responder with suite 2 would answer SUITES_I = [2, 24] with error 2 before it came to the key.
      const suites = section === 'Error in length of ephemeral key' ? [24] : [0, 2];
      const outcome = readMessage1(nodeCrypto, { suites, methods: [3], message4: true }, bytes);
      const { refused } = isEdhocRefusal(outcome) ? outcome : composed(outcome);
      assert.equal(refused, expectedRefusals[section] ?? 'malformed');
    } else if (name === 'Invalid message_2') {
      assert.throws(() => parseMessage2(bytes, 32), MalformedError);
    } else if (section === 'Error in length of MAC') {
      const { signatureOrMac2 } = parsePlaintext2(bytes);
      assert.ok(signatureOrMac2.length < suiteOf(2).macBytes);
      assert.equal(shortMacRefused(), 'not-authentic');
    } else {
      assert.throws(() => parsePlaintext2(bytes), MalformedError);
    }
  });
}

/** A point of low order shows only in the agreement. */
function composed(accepted: Message1Accepted): EdhocRefusal {
  const { credential } = makeParty('X25519', fromHex('32'), 'responder');
  const outcome = accepted.compose({ connectionId: fromHex('18'), own: credential });
  assert.ok(isEdhocRefusal(outcome));
  return outcome;
}

/** message_2 of trace 2 with MAC_2 cut to four bytes, as its keystream would hide it. */
function shortMacRefused(): string {
  const crypto = withEphemerals(vector(trace2, second, 'X'));
  const { next } = startInitiator(
    crypto,
    { suites: [6, 2], selectedSuite: 2, method: 3, message4: true },
    { connectionId: fromHex('37') },
  );
  const message2 = vector(trace2, 'message_2', 'message_2');
  const plaintext = vector(trace2, 'message_2', 'PLAINTEXT_2').slice(0, 7);
  plaintext[2] = 0x44;
  const prk2e = nodeCrypto.secret(vector(trace2, 'message_2', 'PRK_2e'));
  const th2 = vector(trace2, 'message_2', 'TH_2', 'Raw Value');
  const algorithms = { crypto: nodeCrypto, suite: suiteOf(2) };
  const ciphertext = xor(plaintext, keystream2(algorithms, prk2e, th2, plaintext.length));
  const content = concat(message2.subarray(2, 34), ciphertext);
  const needed = granted(next.readMessage2(concat(fromHex('5827'), content)));
  const outcome = needed.accept(party(trace2, 'R', 'P-256').credential);
  return isEdhocRefusal(outcome) ? outcome.refused : 'accepted';
}
