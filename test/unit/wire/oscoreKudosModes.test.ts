/** KUDOS: observations that go on, and the mode without forward secrecy. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import { optionNumbers, uint } from '../../../src/wire/coap/options.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { deriveContext } from '../../../src/wire/oscore/context.ts';
import { KudosIdle } from '../../../src/wire/oscore/kudos.ts';
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
  xOf,
} from '../../support/kudos.ts';
import { granted, refusalOf } from '../../support/oscore.ts';

test('§4.5: observations go on when both wish it, beyond the numbers they occupy', () => {
  for (const [wishA, wishB, preserved] of [
    [true, true, true],
    [true, false, false],
    [false, true, false],
  ] as const) {
    const { a, b } = idlePair(
      { preserveObservations: wishA, highestRegistration: 70 },
      { preserveObservations: wishB, highestRegistration: 5 },
    );
    const run = forwardRun(a.begin(), b);
    assert.equal(run.done.preservesObservations, preserved);
    assert.equal(run.pending.fresh.preservesObservations, preserved);
    assert.equal(run.done.sequence.next, preserved ? 71 : 0);
    assert.equal(run.pending.fresh.sequence.durableEnd, 32 + (preserved ? 6 : 0));
    if (!wishA) assert.equal(xOf(run.convergent) & 0x20, 0);
  }
});

test('§4.5: notifications of a preserved observation come under the new context', () => {
  const observe = (value: number) => uint(optionNumbers.observe, value);
  const wish = { preserveObservations: true, highestRegistration: 0 };
  const { a, b } = idlePair(wish, { preserveObservations: true });
  const old = volatileSequence(deriveContext({ ...material('a'), crypto: nodeCrypto }));
  const server = volatileSequence(deriveContext({ ...material('b'), crypto: nodeCrypto }));
  const register = { ...ping, code: methods.get, options: [observe(0)] };
  const sent = granted(protectRequest(register, granted(old.take())));
  const { context } = granted(server.take());
  const opened = granted(unprotectRequest(context, ReplayWindow.empty(), sent.message));
  const notification = { ...pong, code: responses.content, options: [observe(1)] };
  granted(server.take());
  const number = granted(server.take());
  const before = granted(protectResponse(opened.exchange, notification, number));
  const late = granted(protectResponse(opened.exchange, notification, granted(server.take())));
  assert.equal(granted(unprotectResponse(sent.exchange, before)).sequenceNumber, 2);

  const run = forwardRun(a.begin(), b);
  const fresh = run.pending.fresh.sequence;
  const after = granted(protectResponse(opened.exchange, notification, granted(fresh.take())));
  const received = granted(unprotectResponse(sent.exchange, after, run.done.context));
  // The numbers started again (KUDOS §4.2), and what is of the old context is too late now.
  assert.ok((received.sequenceNumber ?? 9) < 2);
  assert.equal(refusalOf(unprotectResponse(sent.exchange, late)), 'replay');
  assert.equal(refusalOf(unprotectResponse(sent.exchange, after, run.done.context)), 'replay');
});

test('§4.4: without forward secrecy every run starts from the bootstrap material', () => {
  const bootstrapA = material('a', 7);
  const bootstrapB = material('b', 7);
  // B cannot write and has restarted: all it has is what it was born with.
  const a = new KudosIdle(config({ bootstrap: bootstrapA, peer: 'non-capable' }), material('a'));
  const b = new KudosIdle(config({ bootstrap: bootstrapB, isCapable: false }), bootstrapB);
  const run = forwardRun(a.begin(), b);
  assert.equal(xOf(run.divergent), 0x17);
  assert.equal(xOf(run.convergent), 0x57);
  assert.ok(!run.done.hasForwardSecrecy && !run.pending.fresh.hasForwardSecrecy);
  assert.deepEqual(run.done.material.masterSecret, run.pending.fresh.material.masterSecret);
});

test('§4.4.2: a peer that cannot write answers a run with forward secrecy in its own mode', () => {
  const { a, b } = idlePair(
    { bootstrap: material('a', 7) },
    { bootstrap: material('b', 7), isCapable: false },
  );
  const run = forwardRun(a.begin(), b);
  assert.equal(xOf(run.divergent), 0x07);
  assert.equal(xOf(run.convergent), 0x57);
  assert.ok(!run.done.hasForwardSecrecy);
  assert.deepEqual(run.done.material.masterSecret, run.pending.fresh.material.masterSecret);
});

test('§4.4.2: who started with forward secrecy changes its pair when the peer cannot', () => {
  const { a, b } = idlePair(
    { bootstrap: material('a', 7) },
    { bootstrap: material('b', 7), isCapable: false },
  );
  const busyA = a.begin();
  granted(busyA.protectRequest(ping));
  const busyB = b.begin();
  const fromB = granted(busyB.protectRequest(ping));
  const atA = granted(busyA.receive(request(fromB.message)));
  const pending = pendingOf(atA.next);
  assert.ok(atA.exchange);
  const answer = granted(pending.protectResponse(atA.exchange, pong));
  assert.equal(xOf(answer), 0x57);
  const done = granted(
    busyB.receive({ kind: 'response', message: answer, exchange: fromB.exchange }),
  );
  assert.deepEqual(
    confirmedOf(done.next).material.masterSecret,
    pending.fresh.material.masterSecret,
  );
});

test('§4.4.2: two that can write are not talked out of forward secrecy', () => {
  const bootstrap = { a: material('a', 7), b: material('b', 7) };
  const downgraded = new KudosIdle(
    config({ bootstrap: bootstrap.b, peer: 'non-capable' }),
    material('b'),
  );
  const { message } = granted(downgraded.begin().protectRequest(ping));
  for (const settings of [
    { bootstrap: bootstrap.a, peer: 'capable' as const },
    { peer: 'unknown' as const },
  ]) {
    const a = new KudosIdle(config(settings), material('a'));
    assert.equal(refusalOf(a.receive(request(message))), 'unexpected-key-update');
  }
});
