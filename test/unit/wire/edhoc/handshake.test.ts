import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import type { Method } from '../../../../src/wire/edhoc/suites.ts';
import { handshake, partyFor } from './support.ts';

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
