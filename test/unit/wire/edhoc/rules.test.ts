/** What states allow and refuse beyond the traces. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { concat, empty } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import { MalformedError } from '../../../../src/wire/bytes/malformed.ts';
import * as cbor from '../../../../src/wire/cbor/writer.ts';
import { AwaitApplication, AwaitMessage4 } from '../../../../src/wire/edhoc/completion.ts';
import type { EadItem } from '../../../../src/wire/edhoc/ead.ts';
import {
  AwaitMessage2,
  type ResponderCredentialNeeded,
  startInitiator,
} from '../../../../src/wire/edhoc/initiator.ts';
import { encodeMessage1 } from '../../../../src/wire/edhoc/messages.ts';
import type { InitiatorProfile, ResponderProfile } from '../../../../src/wire/edhoc/profile.ts';
import {
  type EdhocRefusal,
  errorMessageFor,
  isEdhocRefusal,
  refuse,
} from '../../../../src/wire/edhoc/refusal.ts';
import {
  AwaitMessage3,
  type InitiatorCredentialNeeded,
  readMessage1,
} from '../../../../src/wire/edhoc/responder.ts';
import { EdhocSession } from '../../../../src/wire/edhoc/session.ts';
import { maximumRefusals } from '../../../../src/wire/edhoc/state.ts';
import { storedKind } from '../../../../src/wire/edhoc/stored.ts';
import type { Method } from '../../../../src/wire/edhoc/suites.ts';
import {
  act,
  granted,
  handshake,
  importPrivate,
  makeParty,
  type Party,
  partyFor,
  withEphemerals,
} from '../../../support/edhoc.ts';

const initiator = partyFor(3, 2, 'initiator', fromHex('2b'));
const responder = partyFor(3, 2, 'responder', fromHex('32'));
const cI = fromHex('0e');
const cR = fromHex('27');
const initiatorProfile: InitiatorProfile = { method: 3, suites: [2], message4: true };
const responderProfile: ResponderProfile = { methods: [3], suites: [2], message4: true };

function refused(outcome: object): EdhocRefusal {
  assert.ok(isEdhocRefusal(outcome), 'it was accepted');
  return outcome;
}

/** Up to where the initiator needs the responder's credential. */
function untilCredentialR(
  options: {
    readonly own?: Party;
    readonly ead2?: readonly EadItem[];
    readonly oscore?: boolean;
    readonly cR?: Uint8Array;
    readonly cI?: Uint8Array;
    readonly message4?: boolean;
  } = {},
): {
  needed: ResponderCredentialNeeded | EdhocRefusal;
  next: AwaitMessage3;
  waiting: AwaitMessage2;
} {
  const oscore = options.oscore ?? true;
  const started = startInitiator(
    nodeCrypto,
    { ...initiatorProfile, oscore },
    { connectionId: options.cI ?? cI },
  );
  // Our responder would refuse what some tests are about.
  const theirs = { ...responderProfile, oscore: false, message4: options.message4 ?? true };
  const accepted = granted(readMessage1(nodeCrypto, theirs, started.message1));
  const own = options.own ?? responder;
  const composing = accepted.compose({
    connectionId: options.cR ?? cR,
    own: own.credential,
    ead2: options.ead2 ?? [],
  });
  const { next, message2 } = act(granted(composing), own);
  return { needed: started.next.readMessage2(message2), next, waiting: started.next };
}

/** Up to where the responder needs the initiator's credential. */
function untilCredentialI(own: Party = initiator): InitiatorCredentialNeeded {
  const { needed, next } = untilCredentialR();
  const verified = granted(granted(needed).accept(responder.credential));
  const { message3 } = act(granted(verified.compose({ own: own.credential })), own);
  return granted(next.readMessage3(message3));
}

function message1With(suites: readonly number[], method = 3): Uint8Array {
  const gX = nodeCrypto.generateKeyPair('P-256').publicKey;
  return encodeMessage1({ method, suites, gX, cI, ead1: empty });
}

test('RFC 9528 §6.3.2: suite negotiation', () => {
  const answer = (supported: readonly number[], suitesI: readonly number[]): unknown => {
    const outcome = readMessage1(
      nodeCrypto,
      { ...responderProfile, suites: supported },
      message1With(suitesI),
    );
    return isEdhocRefusal(outcome) ? (outcome.suitesR ?? outcome.refused) : outcome.suite;
  };
  // The figures of the RFC with suites that exist: 5 and 6 for 5 and 6, 3 and 2 for 8 and 9.
  assert.deepEqual(answer([6], [5]), [6]);
  assert.deepEqual(answer([3, 2], [5, 6]), [3, 2]);
  assert.deepEqual(answer([5, 6], [5, 6]), [5]);
  assert.deepEqual(answer([2], [6, 2]), 2);
  assert.deepEqual(answer([2, 3], [3, 2]), [3]);
  assert.deepEqual(answer([3], [2, 3, 6]), [3]);
  assert.deepEqual(answer([2], [7, 8, 2]), 2);
  assert.deepEqual(answer([2, 3], [99, -24]), [2, 3]);
});

test('a method that is not accepted is refused, and the peer learns only that', () => {
  const outcome = refused(readMessage1(nodeCrypto, responderProfile, message1With([2], 0)));
  assert.equal(outcome.refused, 'unsupported');
  assert.equal(toHex(errorMessageFor(outcome) ?? empty), '016772656675736564');
});

test('SUITES_I holds every suite that is preferred to the selected one', () => {
  const profile = { ...initiatorProfile, suites: [6, 5, 2, 3], selectedSuite: 2 };
  const { message1 } = startInitiator(nodeCrypto, profile, { connectionId: cI });
  assert.equal(toHex(message1.subarray(0, 5)), '0383060502');
  const absent = { ...initiatorProfile, selectedSuite: 3 };
  assert.throws(() => startInitiator(nodeCrypto, absent, { connectionId: cI }), TypeError);
});

test('RFC 9528 §3.3.3: identifiers that OSCORE could not use', () => {
  assert.equal(refused(untilCredentialR({ cR: cI }).needed).refused, 'same-identifiers');
  assert.equal(refused(untilCredentialR({ cR: new Uint8Array(8) }).needed).refused, 'unsupported');
  granted(untilCredentialR({ cR: cI, oscore: false }).needed);
  granted(untilCredentialR({ cR: new Uint8Array(7) }).needed);
  const long = { connectionId: new Uint8Array(8) };
  assert.throws(() => startInitiator(nodeCrypto, initiatorProfile, long), TypeError);
  const accepted = granted(readMessage1(nodeCrypto, responderProfile, message1With([2])));
  const own = responder.credential;
  assert.throws(() => accepted.compose({ connectionId: cI, own }), TypeError);
  const gX = nodeCrypto.generateKeyPair('P-256').publicKey;
  const eight = encodeMessage1({ method: 3, suites: [2], gX, cI: new Uint8Array(8), ead1: empty });
  assert.equal(refused(readMessage1(nodeCrypto, responderProfile, eight)).refused, 'unsupported');
});

test('RFC 9528 §9.2: nobody authenticates to us as ourselves', () => {
  // Reflected: the responder is the initiator's own device, in either form of its credential.
  const otherForm: Party = {
    ...initiator,
    credential: { ...initiator.credential, cred: cbor.bytes(fromHex('3000')) },
  };
  for (const ourselves of [initiator, otherForm]) {
    const { needed } = untilCredentialR({ own: ourselves });
    const verified = granted(granted(needed).accept(ourselves.credential));
    const outcome = refused(verified.compose({ own: initiator.credential }));
    assert.equal(outcome.refused, 'own-identity');
    assert.ok(verified.abort(outcome));
  }
  // An initiator that presents the responder's own credential has its key, or reflects.
  const outcome = refused(untilCredentialI().accept(responder.credential));
  assert.equal(outcome.refused, 'own-identity');
});

test('a long-term key as ephemeral key is refused on both sides', () => {
  // Our static key comes back as G_X.
  const gX = responder.privateKey.publicKey;
  const message1 = encodeMessage1({ method: 3, suites: [2], gX, cI, ead1: empty });
  const accepted = granted(readMessage1(nodeCrypto, responderProfile, message1));
  assert.deepEqual(accepted.peerEphemeral, gX);
  const composing = accepted.compose({ connectionId: cR, own: responder.credential });
  assert.equal(refused(composing).refused, 'invalid-key');
  // The peer's static key as its ephemeral key, G_Y and then G_X.
  const responderStatic = withEphemerals(nodeCrypto.exportEphemeral(responder.privateKey));
  const started = startInitiator(nodeCrypto, initiatorProfile, { connectionId: cI });
  const answering = granted(readMessage1(responderStatic, responderProfile, started.message1));
  const step = act(
    granted(answering.compose({ connectionId: cR, own: responder.credential })),
    responder,
  );
  const needed = granted(started.next.readMessage2(step.message2));
  assert.equal(refused(needed.accept(responder.credential)).refused, 'invalid-key');
});

test('our own G_X does not come back as G_Y', () => {
  const { next, message1 } = startInitiator(nodeCrypto, initiatorProfile, { connectionId: cI });
  const reflected = cbor.bytes(concat(message1.subarray(4, 36), new Uint8Array(11)));
  assert.equal(refused(next.readMessage2(reflected)).refused, 'invalid-key');
});

test('RFC 9528 §3.5.1: a key that does not fit method and suite', () => {
  const wrong = makeParty('P-384', fromHex('32'), 'responder').credential;
  const { needed } = untilCredentialR();
  assert.equal(refused(granted(needed).accept(wrong)).refused, 'unsuitable-credential');
  const accepted = granted(readMessage1(nodeCrypto, responderProfile, message1With([2])));
  assert.throws(() => accepted.compose({ connectionId: cR, own: wrong }), TypeError);
});

test('RFC 9528 §3.8: an unknown critical EAD item, in every message', () => {
  const critical = [{ label: 9, critical: true }];
  const started = startInitiator(nodeCrypto, initiatorProfile, {
    connectionId: cI,
    ead1: critical,
  });
  const first = readMessage1(nodeCrypto, responderProfile, started.message1);
  assert.equal(refused(first).refused, 'critical-ead');
  granted(readMessage1(nodeCrypto, { ...responderProfile, knownEad: [9] }, started.message1));
  assert.equal(refused(untilCredentialR({ ead2: critical }).needed).refused, 'critical-ead');
  const harmless = [{ label: 9, critical: false, value: fromHex('01') }];
  assert.deepEqual(granted(untilCredentialR({ ead2: harmless }).needed).ead2, harmless);

  const third = untilCredentialR();
  const verified = granted(granted(third.needed).accept(responder.credential));
  const step = act(
    granted(verified.compose({ own: initiator.credential, ead3: critical })),
    initiator,
  );
  assert.equal(refused(third.next.readMessage3(step.message3)).refused, 'critical-ead');

  const fourth = untilCredentialR();
  const again = granted(granted(fourth.needed).accept(responder.credential));
  const last = act(granted(again.compose({ own: initiator.credential })), initiator);
  const done = granted(
    granted(fourth.next.readMessage3(last.message3)).accept(initiator.credential),
  );
  const { message4 } = done.finish({ ead4: critical });
  assert.ok(message4 !== undefined && last.next.kind === 'await-message-4');
  assert.equal(refused(last.next.readMessage4(message4)).refused, 'critical-ead');
});

test('EAD travels in all four messages, padded, and is authentic in the end', () => {
  const ead = [1, 2, 3, 4].map((label) => [{ label, critical: true, value: Uint8Array.of(label) }]);
  const done = handshake({ method: 3, initiator, responder, ead });
  assert.deepEqual(
    done.messages.map(({ length }) => length),
    [40, 48, 22, 12],
  );
});

test('RFC 9528 Appendix G: PLAINTEXT_2 longer than one HKDF output', () => {
  for (const length of [8140, 8160, 8161, 16_330, 40_000]) {
    const ead2 = [{ label: 1, critical: false, value: new Uint8Array(length).fill(length & 255) }];
    const done = handshake({ method: 3, initiator, responder, ead: [[], ead2] });
    assert.deepEqual(done.initiator.exporter(0, empty, 16), done.responder.exporter(0, empty, 16));
  }
});

test('a kid is not unique: candidates are tried one after the other, and not for ever', () => {
  const others = [1, 2, 3].map(() => makeParty('P-256', fromHex('32'), 'other').credential);
  const needed = granted(untilCredentialR().needed);
  for (const other of others) assert.equal(refused(needed.accept(other)).refused, 'not-authentic');
  assert.deepEqual(
    granted(needed.accept(responder.credential)).peer.cred,
    responder.credential.cred,
  );

  const candidate = untilCredentialI();
  for (const other of others)
    assert.equal(refused(candidate.accept(other)).refused, 'not-authentic');
  assert.equal(granted(candidate.accept(initiator.credential)).kind, 'initiator-verified');

  const hopeless = untilCredentialI();
  const [wrong] = others;
  assert.ok(wrong);
  for (let count = 1; count < maximumRefusals; count++) {
    assert.equal(refused(hopeless.accept(wrong)).refused, 'not-authentic');
  }
  assert.equal(refused(hopeless.accept(wrong)).refused, 'exhausted');
  assert.throws(() => hopeless.accept(initiator.credential), TypeError);
});

test('a candidate with the right key but another CRED_x is not the one', () => {
  const impostor = { ...responder.credential, cred: cbor.bytes(fromHex('aa')) };
  const needed = granted(untilCredentialR().needed);
  assert.equal(refused(needed.accept(impostor)).refused, 'not-authentic');
});

test('forged messages leave a state as it was, up to a limit', () => {
  const { next } = untilCredentialR();
  const forged = cbor.bytes(new Uint8Array(18));
  for (let count = 1; count < maximumRefusals; count++) {
    assert.equal(refused(next.readMessage3(forged)).refused, 'not-authentic');
  }
  assert.equal(refused(next.readMessage3(fromHex('03f5'))).refused, 'peer-error');
  assert.ok(!next.spent);
  assert.equal(refused(next.readMessage3(forged)).refused, 'exhausted');
  assert.ok(next.spent);
});

test('a forged message_2 does not keep the genuine one out', () => {
  const started = startInitiator(nodeCrypto, initiatorProfile, { connectionId: cI });
  const answerTo = (own: Party): { next: AwaitMessage3; message2: Uint8Array } => {
    const accepted = granted(readMessage1(nodeCrypto, responderProfile, started.message1));
    return act(granted(accepted.compose({ connectionId: cR, own: own.credential })), own);
  };
  const attacker = makeParty('P-256', fromHex('32'), 'attacker');
  const needed = granted(started.next.readMessage2(answerTo(attacker).message2));
  const outcome = refused(needed.accept(responder.credential));
  assert.equal(outcome.refused, 'not-authentic');
  const waiting = granted(needed.keepWaiting());
  const genuine = granted(waiting.readMessage2(answerTo(responder).message2));
  assert.equal(granted(genuine.accept(responder.credential)).kind, 'responder-verified');

  let left: AwaitMessage2 = waitingAgain();
  for (let count = 1; count < maximumRefusals; count++) {
    left = granted(granted(left.readMessage2(answerAgain(left))).keepWaiting());
  }
  const last = granted(left.readMessage2(answerAgain(left)));
  assert.equal(refused(last.keepWaiting()).refused, 'exhausted');

  function waitingAgain(): AwaitMessage2 {
    return startInitiator(withEphemerals(fixed), initiatorProfile, { connectionId: cI }).next;
  }
  function answerAgain(_state: AwaitMessage2): Uint8Array {
    const again = startInitiator(withEphemerals(fixed), initiatorProfile, { connectionId: cI });
    const accepted = granted(readMessage1(nodeCrypto, responderProfile, again.message1));
    const composing = accepted.compose({ connectionId: cR, own: attacker.credential });
    return act(granted(composing), attacker).message2;
  }
});

const fixed = nodeCrypto.exportEphemeral(nodeCrypto.generateKeyPair('P-256'));

test('a state is spent by its step: every further use is a TypeError', () => {
  const started = startInitiator(nodeCrypto, initiatorProfile, { connectionId: cI });
  const accepted = granted(readMessage1(nodeCrypto, responderProfile, started.message1));
  const composeR = { connectionId: cR, own: responder.credential };
  const pauseR = granted(accepted.compose(composeR));
  assert.throws(() => accepted.compose(composeR), TypeError);
  const secret = new Uint8Array(32).fill(1);
  assert.ok(pauseR.kind === 'agreement-needed');
  assert.throws(() => pauseR.finish(secret.subarray(1)), TypeError);
  const second = act(pauseR, responder);
  assert.throws(() => pauseR.finish(secret), TypeError);
  const needed = granted(started.next.readMessage2(second.message2));
  assert.throws(() => started.next.readMessage2(second.message2), TypeError);
  assert.throws(() => started.next.store(), TypeError);
  const verified = granted(needed.accept(responder.credential));
  assert.throws(() => needed.accept(responder.credential), TypeError);
  assert.throws(() => needed.keepWaiting(), TypeError);
  const pauseI = granted(verified.compose({ own: initiator.credential }));
  assert.throws(() => verified.compose({ own: initiator.credential }), TypeError);
  const third = act(pauseI, initiator);
  const candidate = granted(second.next.readMessage3(third.message3));
  assert.throws(() => second.next.readMessage3(third.message3), TypeError);
  const done = granted(candidate.accept(initiator.credential));
  assert.throws(() => candidate.accept(initiator.credential), TypeError);
  const { message4 } = done.finish();
  assert.throws(() => done.finish(), TypeError);
  assert.ok(third.next.kind === 'await-message-4' && message4 !== undefined);
  granted(third.next.readMessage4(message4));
  assert.ok(third.next.spent);
  assert.throws(() => third.next.store(), TypeError);
});

test('who sends an error has given the handshake up', () => {
  const { next } = untilCredentialR();
  const error = next.abort(refuse('unknown-credential', 'nobody has that kid'));
  assert.deepEqual(error, fromHex('03f5'));
  assert.ok(next.spent);
  assert.throws(() => next.readMessage3(fromHex('40')), TypeError);
});

test('EAD_4 needs a profile with message_4', () => {
  const { needed, next } = untilCredentialR({ message4: false });
  const verified = granted(granted(needed).accept(responder.credential));
  const step = act(granted(verified.compose({ own: initiator.credential })), initiator);
  // The initiator's profile has one: it waits for what will not come.
  assert.equal(step.next.kind, 'await-message-4');
  assert.ok(!next.hasMessage4);
  const done = granted(granted(next.readMessage3(step.message3)).accept(initiator.credential));
  assert.throws(() => done.finish({ ead4: [] }), TypeError);
  assert.equal(done.finish().message4, undefined);
});

for (const method of [0, 1, 2, 3] satisfies Method[]) {
  test(`method ${method}: a restart between any two messages`, () => {
    const us = partyFor(method, 2, 'initiator', fromHex('2b'));
    const them = partyFor(method, 2, 'responder', fromHex('32'));
    for (const message4 of [true, false]) {
      const ours = { ...initiatorProfile, method, message4 };
      const started = startInitiator(nodeCrypto, ours, { connectionId: cI });
      const accepted = granted(
        readMessage1(
          nodeCrypto,
          { ...responderProfile, methods: [method], message4 },
          started.message1,
        ),
      );
      const composing = accepted.compose({ connectionId: cR, own: them.credential });
      const second = act(granted(composing), them);
      const one = started.next.store();
      assert.equal(storedKind(one), 'awaitMessage2');
      const needed = granted(AwaitMessage2.restore(nodeCrypto, one).readMessage2(second.message2));
      const verified = granted(needed.accept(them.credential));
      const third = act(granted(verified.compose({ own: us.credential })), us);
      const two = second.next.store();
      assert.equal(storedKind(two), 'awaitMessage3');
      const waiting = AwaitMessage3.restore(nodeCrypto, two);
      const candidate = granted(waiting.readMessage3(third.message3));
      const done = granted(candidate.accept(us.credential)).finish();
      const three = third.next.store();
      let session: EdhocSession;
      if (done.message4 === undefined) {
        assert.equal(storedKind(three), 'awaitApplication');
        session = AwaitApplication.restore(nodeCrypto, three).confirm();
      } else {
        assert.equal(storedKind(three), 'awaitMessage4');
        const last = AwaitMessage4.restore(nodeCrypto, three);
        ({ session } = granted(last.readMessage4(done.message4)));
      }
      const kept = EdhocSession.restore(nodeCrypto, done.session.keyUpdate(empty).store());
      assert.equal(kept.epoch, 1);
      assert.deepEqual(kept.oscoreParameters(), done.session.keyUpdate(empty).oscoreParameters());
      assert.deepEqual(kept.peer, done.session.peer);
      assert.deepEqual(session.exporter(0, empty, 16), done.session.exporter(0, empty, 16));
    }
  });
}

test('stored states of another kind, version or shape are refused', () => {
  const { next } = startInitiator(nodeCrypto, initiatorProfile, { connectionId: cI });
  const stored = next.store();
  assert.throws(() => AwaitMessage3.restore(nodeCrypto, stored), MalformedError);
  const later = stored.slice();
  later[1] = 2;
  assert.throws(() => AwaitMessage2.restore(nodeCrypto, later), MalformedError);
  assert.throws(() => AwaitMessage2.restore(nodeCrypto, stored.subarray(0, 40)), MalformedError);
  assert.throws(
    () => AwaitMessage2.restore(nodeCrypto, concat(stored, fromHex('00'))),
    MalformedError,
  );
  assert.throws(() => storedKind(fromHex('820118ff')), MalformedError);
});

test('what a stored state has left of refusals comes back with it', () => {
  const { next } = untilCredentialR();
  refused(next.readMessage3(cbor.bytes(new Uint8Array(18))));
  const restored = AwaitMessage3.restore(nodeCrypto, next.store());
  for (let count = 2; count < maximumRefusals; count++) {
    refused(restored.readMessage3(cbor.bytes(new Uint8Array(18))));
  }
  const last = refused(restored.readMessage3(cbor.bytes(new Uint8Array(18))));
  assert.equal(last.refused, 'exhausted');
});

test('secrets are in no state that is printed', () => {
  const x = importPrivate('P-256', fixed);
  const secret = toHex(nodeCrypto.exportEphemeral(x)).slice(0, 16);
  const started = startInitiator(withEphemerals(fixed), initiatorProfile, { connectionId: cI });
  const done = handshake({ method: 3, initiator, responder });
  for (const value of [started.next, done.initiator, done.responder, started]) {
    const printed = inspect(value, { depth: 10, showHidden: true }) + JSON.stringify(value);
    assert.ok(!printed.includes(secret) && !printed.includes('prkOut'));
    assert.ok(!/Uint8Array\(32\)/.test(printed));
  }
});

test('exporter labels are uint, and (label, context, length) all count', () => {
  const { initiator: session } = handshake({ method: 3, initiator, responder });
  assert.throws(() => session.exporter(-1, empty, 16), TypeError);
  assert.throws(() => session.exporter(1.5, empty, 16), TypeError);
  const outputs = [
    session.exporter(0, empty, 16),
    session.exporter(1, empty, 16),
    session.exporter(0, fromHex('00'), 16),
    session.exporter(0, empty, 17).subarray(0, 16),
  ].map(toHex);
  assert.equal(new Set(outputs).size, outputs.length);
});
