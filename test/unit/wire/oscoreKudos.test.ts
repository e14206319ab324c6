/** KUDOS: every way through the state machine, and what an attacker or a restart can do to it. */
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import type { CoapContent } from '../../../src/wire/coap/message.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { findOption, optionNumbers } from '../../../src/wire/coap/options.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { deriveContext } from '../../../src/wire/oscore/context.ts';
import { updateContext } from '../../../src/wire/oscore/contextUpdate.ts';
import { KudosConfirmed, KudosPending } from '../../../src/wire/oscore/kudos.ts';
import {
  asksKudosSupport,
  askKudosSupport,
  encodeKudosSupport,
  parseKudosSupport,
  peerCapability,
} from '../../../src/wire/oscore/kudosSupport.ts';
import { parseOscoreOption } from '../../../src/wire/oscore/option.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { volatileSequence } from '../../../src/wire/oscore/sequence.ts';
import { protectResponse, unprotectRequest } from '../../../src/wire/oscore/server.ts';
import {
  confirmedOf,
  config,
  forwardRun,
  idlePair,
  material,
  pendingOf,
  ping,
  pong,
  request,
  sameContext,
  store,
  talk,
  xOf,
} from '../../support/kudos.ts';
import { granted, refusalOf } from '../../support/oscore.ts';

const none = new Uint8Array(0);

test('updateCtx against the construction written out', () => {
  const old = material('a');
  const updated = updateContext(nodeCrypto, old, fromHex('07aa'), fromHex('47bb'));
  assert.equal(toHex(updated.masterSalt), '4207aa4247bb');
  const swapped = updateContext(nodeCrypto, old, fromHex('47bb'), fromHex('07aa'));
  assert.deepEqual(swapped, updated);
  // HKDF-Expand of one block: HMAC over info and the counter.
  const info = fromHex(`001011${toHex(utf8('oscore key update'))}064207aa4247bb`);
  const expected = nodeCrypto.hmac(
    'SHA-256',
    nodeCrypto.secret(old.masterSecret),
    Uint8Array.of(...info, 1),
  );
  assert.deepEqual(updated.masterSecret, expected.subarray(0, 16));
  const alone = updateContext(nodeCrypto, old, fromHex('07aa'), none);
  assert.equal(toHex(alone.masterSalt), '404207aa');
  assert.deepEqual(alone.senderId, old.senderId);
});

test('§B.1: started with a request, confirmed by the next exchange', () => {
  const { a, b } = idlePair();
  const run = forwardRun(a.begin(), b);
  assert.equal(xOf(run.divergent), 0x07);
  assert.equal(xOf(run.convergent), 0x47);
  sameContext(run.done, run.pending.fresh);
  // Request #2, under the new context, gives B its confirmation.
  const end = run.done.sequence.reservation(32);
  assert.ok(typeof end === 'number');
  run.done.sequence.confirm(end);
  const second = granted(protectRequest(ping, granted(run.done.sequence.take())));
  const received = granted(run.pending.receive(request(second.message)));
  const confirmed = confirmedOf(received.next);
  assert.equal(confirmed.window.check(0), 'replayed');
  assert.ok(received.exchange);
  granted(unprotectResponse(second.exchange, granted(protectResponse(received.exchange, pong))));
  talk(run.done, confirmed);
  talk(confirmed, run.done);
  assert.ok(confirmed.hasForwardSecrecy && !confirmed.preservesObservations);
});

test('§4.6: the overhead of a run is 11 and 12 bytes with nonces of eight', () => {
  const { a, b } = idlePair();
  const run = forwardRun(a.begin(), b);
  const lengthOf = (message: CoapContent) =>
    findOption(message.options, optionNumbers.oscore)?.length ?? 0;
  // 09 00 kid would be three bytes; one byte more for the extended option length from 13 on.
  assert.equal(lengthOf(run.divergent) - 3 + 1, 11);
  assert.equal(lengthOf(run.convergent), 12);
});

test('§B.2: started with a response', () => {
  const { a, b } = idlePair();
  const client = volatileSequence(deriveContext({ ...material('a'), crypto: nodeCrypto }));
  const server = deriveContext({ ...material('b'), crypto: nodeCrypto });
  const first = granted(protectRequest(ping, granted(client.take())));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), first.message));
  const busy = b.begin();
  const divergent = granted(busy.protectResponse(opened.exchange, pong));
  assert.equal(xOf(divergent), 0x07);
  const received = granted(
    a.receive({ kind: 'response', message: divergent, exchange: first.exchange }),
  );
  const pending = store(received.next);
  const second = granted(pending.protectRequest(ping));
  assert.equal(xOf(second.message), 0x47);
  const done = granted(busy.receive(request(second.message)));
  const confirmed = confirmedOf(done.next);
  sameContext(confirmed, pending.fresh);
  assert.ok(done.exchange);
  // The response to it is an ordinary one, and confirms.
  const answer = granted(protectResponse(done.exchange, pong));
  const last = granted(
    pending.receive({ kind: 'response', message: answer, exchange: second.exchange }),
  );
  talk(confirmedOf(last.next), confirmed);
});

test('§B.6: both start at once and end with one context', () => {
  for (const bothDivergentArrive of [true, false]) {
    const { a, b } = idlePair();
    const busyA = a.begin();
    const busyB = b.begin();
    const fromA = granted(busyA.protectRequest(ping));
    const fromB = granted(busyB.protectRequest(ping));
    const atB = granted(busyB.receive(request(fromA.message)));
    const pendingB = pendingOf(atB.next);
    assert.ok(atB.exchange);
    const answerB = granted(pendingB.protectResponse(atB.exchange, pong));
    if (!bothDivergentArrive) {
      const done = granted(
        busyA.receive({ kind: 'response', message: answerB, exchange: fromA.exchange }),
      );
      sameContext(confirmedOf(done.next), pendingB.fresh);
      continue;
    }
    const atA = granted(busyA.receive(request(fromB.message)));
    const pendingA = pendingOf(atA.next);
    assert.ok(atA.exchange);
    const answerA = granted(pendingA.protectResponse(atA.exchange, pong));
    sameContext(pendingA.fresh, pendingB.fresh);
    const doneA = granted(
      pendingA.receive({ kind: 'response', message: answerB, exchange: fromA.exchange }),
    );
    const doneB = granted(
      pendingB.receive({ kind: 'response', message: answerA, exchange: fromB.exchange }),
    );
    talk(confirmedOf(doneA.next), confirmedOf(doneB.next));
  }
});

test('§4.3.6: a lost convergent message is sent again without another derivation', () => {
  const { a, b } = idlePair();
  const busy = a.begin();
  const lost = granted(busy.protectRequest(ping));
  const first = granted(b.receive(request(lost.message)));
  const pending = store(first.next);
  // The same datagram again is a replay, a new message with the same nonce is not.
  assert.equal(refusalOf(pending.receive(request(lost.message))), 'replay');
  const again = granted(busy.protectRequest(ping));
  const received = granted(pending.receive(request(again.message)));
  const stayed = pendingOf(received.next);
  assert.equal(stayed.fresh.context, pending.fresh.context);
  assert.ok(received.exchange);
  const answer = granted(stayed.protectResponse(received.exchange, pong));
  const done = granted(
    busy.receive({ kind: 'response', message: answer, exchange: again.exchange }),
  );
  sameContext(confirmedOf(done.next), stayed.fresh);
  assert.equal(refusalOf(stayed.receive(request(again.message))), 'replay');
});

test('§4.3.5: another nonce from the old context starts again; an earlier one is a replay', () => {
  const { a, b } = idlePair();
  const busy = a.begin();
  const first = granted(busy.protectRequest(ping));
  const pending = store(granted(b.receive(request(first.message))).next);
  const renewed = busy.renew();
  assert.throws(() => busy.renew(), TypeError);
  const second = granted(renewed.protectRequest(ping));
  const received = granted(pending.receive(request(second.message)));
  const next = pendingOf(received.next);
  assert.notEqual(next.fresh.context, pending.fresh.context);
  assert.equal(refusalOf(next.receive(request(first.message))), 'replay');
  assert.throws(() => pending.receive(request(second.message)), TypeError);
  assert.ok(received.exchange);
  const answer = granted(next.protectResponse(received.exchange, pong));
  const done = granted(
    renewed.receive({ kind: 'response', message: answer, exchange: second.exchange }),
  );
  sameContext(confirmedOf(done.next), next.fresh);
});

test('a peer may try sixteen nonces from one old context', () => {
  const { a, b } = idlePair();
  let busy = a.begin();
  let pending = store(granted(b.receive(request(granted(busy.protectRequest(ping)).message))).next);
  for (let count = 0; count < 16; count++) {
    busy = busy.renew();
    const { message } = granted(busy.protectRequest(ping));
    pending = pendingOf(granted(pending.receive(request(message))).next);
  }
  busy = busy.renew();
  const { message } = granted(busy.protectRequest(ping));
  assert.equal(refusalOf(pending.receive(request(message))), 'decryption-failed');
});

test('§4.3.5: the peer confirmed in its own time and starts the next run from the new context', () => {
  const { a, b } = idlePair();
  const run = forwardRun(a.begin(), b);
  const next = new KudosConfirmed(run.done).idle(config());
  const busy = next.begin();
  const sent = granted(busy.protectRequest(ping));
  const received = granted(run.pending.receive(request(sent.message)));
  const pending = pendingOf(received.next);
  assert.ok(received.exchange);
  const answer = granted(pending.protectResponse(received.exchange, pong));
  const done = granted(
    busy.receive({ kind: 'response', message: answer, exchange: sent.exchange }),
  );
  sameContext(confirmedOf(done.next), pending.fresh);
  assert.notDeepEqual(pending.fresh.material.masterSecret, run.done.material.masterSecret);
});

test('§4.3.3: to whoever is idle a convergent message is an ordinary one', () => {
  const { a, b } = idlePair();
  const run = forwardRun(a.begin(), b);
  const convergent = granted(run.pending.protectRequest(ping));
  const { context, window } = run.done;
  const opened = granted(unprotectRequest(context, window, convergent.message));
  const answer = granted(protectResponse(opened.exchange, pong));
  const idle = new KudosConfirmed(run.done).idle(config());
  assert.equal(refusalOf(idle.receive(request(convergent.message))), 'unexpected-key-update');
  const done = granted(
    run.pending.receive({ kind: 'response', message: answer, exchange: convergent.exchange }),
  );
  talk(confirmedOf(done.next), run.done);
});

test('nothing is sent under a new context before numbers were reserved', () => {
  const { a, b } = idlePair();
  const sent = granted(a.begin().protectRequest(ping));
  const received = granted(b.receive(request(sent.message)));
  assert.ok(received.exchange);
  const early = received.next.protectResponse(received.exchange, pong);
  assert.equal(refusalOf(early), 'reservation-needed');
  granted(store(received.next).protectResponse(received.exchange, pong));
});

test('a pending run survives a restart', () => {
  const { a, b } = idlePair();
  const busy = a.begin();
  const sent = granted(busy.protectRequest(ping));
  const received = granted(b.receive(request(sent.message)));
  const before = store(received.next);
  const { sequence, context, window } = before.fresh;
  const kept = {
    sequenceEnd: sequence.durableEnd,
    window: window.state(),
    usage: context.usage,
  };
  const after = store(KudosPending.restore(config(), before.state(), kept));
  sameContext(after.fresh, before.fresh);
  assert.equal(refusalOf(after.receive(request(sent.message))), 'replay');
  const again = granted(busy.protectRequest(ping));
  const stayed = granted(after.receive(request(again.message)));
  assert.ok(stayed.exchange);
  const answer = granted(pendingOf(stayed.next).protectResponse(stayed.exchange, pong));
  const done = granted(
    busy.receive({ kind: 'response', message: answer, exchange: again.exchange }),
  );
  assert.equal(done.next instanceof KudosConfirmed, true);
  const option = findOption(answer.options, optionNumbers.oscore);
  assert.ok(option);
  // Numbers below the durable end are skipped.
  assert.deepEqual(parseOscoreOption(option).partialIv, Uint8Array.of(32));
});

test('what is no KUDOS message of the peer changes nothing', () => {
  const { a, b } = idlePair();
  const busy = a.begin();
  const sent = granted(busy.protectRequest(ping));
  const flip = (index: number): CoapContent => ({
    ...sent.message,
    options: sent.message.options.map((option) =>
      option.number === optionNumbers.oscore
        ? { ...option, value: option.value.with(index, (option.value[index] ?? 0) ^ 1) }
        : option,
    ),
  });
  for (const [name, message, refused] of [
    ['nonce changed', flip(6), 'decryption-failed'],
    ['Partial IV changed', flip(2), 'decryption-failed'],
    ['kid changed', flip(12), 'unknown-context'],
    [
      'tag changed',
      { ...sent.message, payload: sent.message.payload.with(9, 0) },
      'decryption-failed',
    ],
    ['not protected', ping, 'not-oscore'],
  ] as const) {
    assert.equal(refusalOf(b.receive(request(message))), refused, name);
  }
  // Reflected.
  assert.equal(refusalOf(busy.receive(request(sent.message))), 'unknown-context');
  const ordinary = volatileSequence(deriveContext({ ...material('a'), crypto: nodeCrypto }));
  const plain = granted(protectRequest(ping, granted(ordinary.take())));
  assert.equal(refusalOf(b.receive(request(plain.message))), 'unexpected-key-update');
  assert.equal(refusalOf(busy.receive(request(plain.message))), 'unexpected-key-update');
  const received = granted(b.receive(request(sent.message)));
  const pending = store(received.next);
  // Under the old context nothing confirms the new one.
  const old = granted(protectRequest(ping, granted(ordinary.take())));
  assert.equal(refusalOf(pending.receive(request(old.message))), 'decryption-failed');
  assert.throws(() => b.begin(), TypeError);
  busy.abandon();
  assert.throws(() => busy.receive(request(old.message)), TypeError);
});

test('states show no secret', () => {
  const { a, b } = idlePair();
  const run = forwardRun(a.begin(), b);
  const shown = inspect([a, b, run.pending, run.done], { depth: 12, showHidden: true });
  for (const secret of [material('a').masterSecret, run.done.material.masterSecret]) {
    assert.ok(!shown.includes([...secret].join(', ')), shown);
  }
  assert.ok(!JSON.stringify([run.pending, run.done]).includes('masterSecret'));
});

test('§5: what EDHOC peers tell each other', () => {
  assert.ok(asksKudosSupport(askKudosSupport) && !asksKudosSupport(undefined));
  assert.ok(!asksKudosSupport(Uint8Array.of(0)));
  for (const support of ['none', 'full', 'part'] as const) {
    assert.equal(parseKudosSupport(encodeKudosSupport(support)), support);
  }
  assert.equal(parseKudosSupport(Uint8Array.of(3)), undefined);
  assert.equal(parseKudosSupport(none), undefined);
  assert.deepEqual((['none', 'full', 'part'] as const).map(peerCapability), [
    'unknown',
    'capable',
    'non-capable',
  ]);
});
