import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import { startInitiator } from '../../../../src/wire/edhoc/initiator.ts';
import { isEdhocRefusal } from '../../../../src/wire/edhoc/refusal.ts';
import { readMessage1 } from '../../../../src/wire/edhoc/responder.ts';
import type { Method } from '../../../../src/wire/edhoc/suites.ts';
import { act, granted, handshake, partyFor, signWith } from '../../../support/edhoc.ts';

const empty = new Uint8Array(0);

test('method 3, suite 2, kid of one byte: 37, 45, 19 and 9 bytes', () => {
  const initiator = partyFor(3, 2, 'initiator', fromHex('2b'));
  const responder = partyFor(3, 2, 'responder', fromHex('32'));
  const done = handshake({ method: 3, initiator, responder });
  assert.deepEqual(
    done.messages.map((message) => message.length),
    [37, 45, 19, 9],
  );
  assert.deepEqual(done.initiator.oscoreParameters().senderId, fromHex('27'));
  assert.deepEqual(done.responder.oscoreParameters().senderId, fromHex('0e'));
  assert.deepEqual(done.initiator.peer.cred, responder.credential.cred);
  assert.deepEqual(done.responder.peer.cred, initiator.credential.cred);
});

test('RFC 8613 §3.3: where OSCORE comes after, an identifier has at most seven bytes', () => {
  const profile = { method: 3, suites: [2], message4: true } as const;
  const begin = (lengthBytes: number, oscore: boolean) =>
    startInitiator(
      nodeCrypto,
      { ...profile, oscore },
      { connectionId: new Uint8Array(lengthBytes) },
    );
  const { next } = begin(7, true);
  assert.equal(next.connectionId.length, 7);
  assert.throws(() => begin(8, true), TypeError);
  assert.equal(begin(8, false).next.connectionId.length, 8);
});

for (const method of [0, 1, 2, 3] satisfies Method[]) {
  for (const suite of [0, 1, 2, 3, 4, 5, 6, 24]) {
    test(`method ${method}, suite ${suite}: both sides have the same keys`, () => {
      const initiator = partyFor(method, suite, 'initiator', fromHex('2b'));
      const responder = partyFor(method, suite, 'responder', fromHex('4711'));
      for (const message4 of [true, false]) {
        const done = handshake({ method, suites: [suite], initiator, responder, message4 });
        const ours = done.initiator.oscoreParameters();
        const theirs = done.responder.oscoreParameters();
        assert.equal(toHex(ours.masterSecret), toHex(theirs.masterSecret));
        assert.equal(toHex(ours.masterSalt), toHex(theirs.masterSalt));
        assert.deepEqual(
          done.initiator.keyUpdate(empty).exporter(7, empty, 99),
          done.responder.keyUpdate(empty).exporter(7, empty, 99),
        );
      }
    });
  }
}

test('an ECDSA signature changed into another valid one: message_3 uncovers it (RFC 9528 §9.1)', () => {
  const initiator = partyFor(0, 2, 'initiator', fromHex('2b'));
  const responder = partyFor(0, 2, 'responder', fromHex('32'));
  const profile = { suites: [2], message4: true };
  const started = startInitiator(
    nodeCrypto,
    { ...profile, method: 0 },
    { connectionId: fromHex('0e') },
  );
  const accepted = granted(
    readMessage1(nodeCrypto, { ...profile, methods: [0] }, started.message1),
  );
  const pause = granted(
    accepted.compose({ connectionId: fromHex('27'), own: responder.credential }),
  );
  assert.ok(pause.kind === 'signature-needed');
  const signature = signWith(responder.privateKey, pause.toBeSigned);
  const second = pause.finish(signature);
  // (r, s) and (r, n - s) are both valid, and message_2 is encrypted with a keystream: s stands behind
  // the head, G_Y, C_R, kid, the head of the signature and r.
  const order = BigInt('0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551');
  const s = signature.subarray(32);
  const other = fromHex((order - BigInt(`0x${toHex(s)}`)).toString(16).padStart(64, '0'));
  const changed = second.message2.slice();
  for (let index = 0; index < 32; index++) {
    const place = 2 + 32 + 4 + 32 + index;
    changed[place] = (changed[place] ?? 0) ^ (s[index] ?? 0) ^ (other[index] ?? 0);
  }
  const needed = granted(started.next.readMessage2(changed));
  const verified = granted(needed.accept(responder.credential));
  const third = act(granted(verified.compose({ own: initiator.credential })), initiator);
  const outcome = second.next.readMessage3(third.message3);
  assert.ok(isEdhocRefusal(outcome) && outcome.refused === 'not-authentic');
});
