/**
 * Several parties, many handshakes, and a network that delivers any message to anybody, at any time, as
 * often as it likes, changed or not. Whatever it does: two sides that complete agree on everything.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { equal } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import type { Crypto } from '../../../../src/wire/crypto/crypto.ts';
import type { AwaitMessage4 } from '../../../../src/wire/edhoc/completion.ts';
import { type AwaitMessage2, startInitiator } from '../../../../src/wire/edhoc/initiator.ts';
import { isEdhocRefusal } from '../../../../src/wire/edhoc/refusal.ts';
import { type AwaitMessage3, readMessage1 } from '../../../../src/wire/edhoc/responder.ts';
import type { EdhocSession } from '../../../../src/wire/edhoc/session.ts';
import type { Method } from '../../../../src/wire/edhoc/suites.ts';
import { act, makeParty, type Party, seededCrypto } from '../../../support/edhoc.ts';
import { type Action, actions as anyActions, arriving, pick, receiver, runs } from './network.ts';

interface Initiating {
  readonly party: Party;
  waiting2?: AwaitMessage2;
  waiting4?: AwaitMessage4;
  session?: EdhocSession;
}

interface Responding {
  readonly party: Party;
  waiting3: AwaitMessage3;
  session?: EdhocSession;
}

interface World {
  readonly crypto: Crypto;
  readonly method: Method;
  readonly parties: readonly Party[];
  readonly initiating: Initiating[];
  readonly responding: Responding[];
  /** Everything that was ever sent, by kind. */
  readonly sent: readonly Uint8Array[][];
}

const profile = { suites: [2], message4: true };

const perform: Readonly<Record<Action['kind'], (world: World, action: Action) => void>> = {
  start: (world, { who }) => {
    const party = pick(world.parties, who);
    const { crypto, method } = world;
    const connectionId = crypto.random(3);
    const { next, message1 } = startInitiator(crypto, { ...profile, method }, { connectionId });
    world.initiating.push({ party, waiting2: next });
    world.sent[0]?.push(message1);
  },
  answer: (world, action) => {
    const party = pick(world.parties, action.who);
    const bytes = arriving(world.sent, 0, action);
    if (bytes === undefined) return;
    const accepted = readMessage1(world.crypto, { ...profile, methods: [world.method] }, bytes);
    if (isEdhocRefusal(accepted)) return;
    const connectionId = world.crypto.random(3);
    const step = accepted.compose({ connectionId, own: party.credential });
    if (isEdhocRefusal(step)) return;
    const { next, message2 } = act(step, party);
    world.responding.push({ party, waiting3: next });
    world.sent[1]?.push(message2);
  },
  'to initiator': (world, action) => {
    if (world.initiating.length === 0) return;
    const run = receiver(world.initiating, action);
    const bytes = arriving(world.sent, run.waiting4 === undefined ? 1 : 3, action);
    if (bytes === undefined) return;
    if (run.waiting4 !== undefined && !run.waiting4.spent) {
      const outcome = run.waiting4.readMessage4(bytes);
      if (!isEdhocRefusal(outcome)) run.session = outcome.session;
    } else if (run.waiting2 !== undefined && !run.waiting2.spent) {
      readMessage2(world, run, run.waiting2, bytes);
    }
  },
  'to responder': (world, action) => {
    if (world.responding.length === 0) return;
    const run = receiver(world.responding, action);
    const bytes = arriving(world.sent, 2, action);
    if (bytes === undefined || run.waiting3.spent) return;
    const needed = run.waiting3.readMessage3(bytes);
    if (isEdhocRefusal(needed)) return;
    for (const { credential } of world.parties) {
      const accepted = needed.spent ? undefined : needed.accept(credential);
      if (accepted === undefined || isEdhocRefusal(accepted)) continue;
      const { session, message4 } = accepted.finish();
      run.session = session;
      world.sent[3]?.push(message4 ?? assert.fail());
    }
  },
};

/** Everybody trusts everybody, itself included: that nobody ends with itself is not left to the policy. */
function readMessage2(
  world: World,
  run: Initiating,
  waiting: AwaitMessage2,
  bytes: Uint8Array,
): void {
  const needed = waiting.readMessage2(bytes);
  if (isEdhocRefusal(needed)) return;
  for (const { credential } of world.parties) {
    const verified = needed.accept(credential);
    if (isEdhocRefusal(verified)) continue;
    const step = verified.compose({ own: run.party.credential });
    if (isEdhocRefusal(step)) return;
    const { next, message3 } = act(step, run.party);
    assert.ok(next.kind === 'await-message-4');
    run.waiting4 = next;
    world.sent[2]?.push(message3);
    return;
  }
  const again = needed.keepWaiting();
  if (!isEdhocRefusal(again)) run.waiting2 = again;
}

const keyOf = (session: EdhocSession): string => toHex(session.exporter(0, new Uint8Array(0), 16));

/** How many completed handshakes there are, after checking what must hold of them. */
function check(world: World): number {
  const ours = world.initiating.flatMap(({ party, session }) =>
    session === undefined ? [] : [{ party, session }],
  );
  const theirs = world.responding.flatMap(({ party, session }) =>
    session === undefined ? [] : [{ party, session }],
  );
  const keys = [...ours, ...theirs].map(({ session }) => keyOf(session));
  for (const key of keys) assert.ok(keys.filter((other) => other === key).length <= 2);
  assert.equal(new Set(ours.map(({ session }) => keyOf(session))).size, ours.length);
  assert.equal(new Set(theirs.map(({ session }) => keyOf(session))).size, theirs.length);
  for (const { party, session } of ours) {
    // message_4 tells the initiator that the responder has completed.
    const partner = theirs.find((candidate) => keyOf(candidate.session) === keyOf(session));
    assert.ok(partner, 'an initiator that is alone');
    assert.ok(equal(session.peer.cred, partner.party.credential.cred));
    assert.ok(equal(partner.session.peer.cred, party.credential.cred));
    assert.ok(!equal(session.peer.cred, party.credential.cred), 'a handshake with oneself');
    assert.ok(equal(session.ownConnectionId, partner.session.peerConnectionId));
    assert.ok(equal(session.peerConnectionId, partner.session.ownConnectionId));
    assert.equal(session.suite, partner.session.suite);
    assert.equal(session.method, partner.session.method);
  }
  for (const { session } of theirs) {
    // message_3 tells the responder that this initiator meant it.
    const meant = world.initiating.filter(({ party }) =>
      equal(party.credential.cred, session.peer.cred),
    );
    assert.ok(meant.some(({ waiting4 }) => waiting4 !== undefined));
  }
  return ours.length;
}

for (const method of [0, 3] satisfies Method[]) {
  test(`method ${method}: whatever the network does, who completes agrees`, (context) => {
    const setup = seededCrypto('parties');
    // All with the same kid: every reference is ambiguous.
    const parties = ['a', 'b', 'c'].map((name) => makeParty('P-256', fromHex('32'), name, setup));
    let completed = 0;
    let messages = 0;
    fc.assert(
      fc.property(anyActions, (actions) => {
        const crypto = seededCrypto('network');
        const sent = [[], [], [], []];
        const world: World = { crypto, method, parties, initiating: [], responding: [], sent };
        for (const step of actions) perform[step.kind](world, step);
        completed += check(world);
        messages += actions.length;
      }),
      { numRuns: runs },
    );
    context.diagnostic(`${messages} deliveries, ${completed} handshakes completed`);
    assert.ok(completed > runs / 20, 'too few completed to show anything');
  });
}
