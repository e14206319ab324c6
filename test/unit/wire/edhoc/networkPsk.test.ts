/**
 * The same network with PSKs: each pair of parties has one, all have the same kid, and a party does not know
 * before message_3 whom it answers. Two sides that complete agree on everything, and share that PSK.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { equal } from '../../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../../src/wire/bytes/hex.ts';
import type { Crypto } from '../../../../src/wire/crypto/crypto.ts';
import type { AwaitMessage4 } from '../../../../src/wire/edhoc/completion.ts';
import type { PskCredential } from '../../../../src/wire/edhoc/psk.ts';
import {
  type PskAwaitMessage2,
  startPskInitiator,
} from '../../../../src/wire/edhoc/pskInitiator.ts';
import { type PskAwaitMessage3, readPskMessage1 } from '../../../../src/wire/edhoc/pskResponder.ts';
import { isEdhocRefusal } from '../../../../src/wire/edhoc/refusal.ts';
import type { EdhocSession } from '../../../../src/wire/edhoc/session.ts';
import { makeParty, seededCrypto } from '../../../support/edhoc.ts';
import { type Action, actions, arriving, pick, receiver, runs } from './network.ts';

interface Initiating {
  /** What it means to use, and so whom it means to reach. */
  readonly psk: PskCredential;
  waiting2?: PskAwaitMessage2;
  waiting4?: AwaitMessage4;
  session?: EdhocSession;
}

interface Responding {
  /** CRED_R of the party that answers. */
  readonly cred: Uint8Array;
  waiting3: PskAwaitMessage3;
  session?: EdhocSession;
}

interface World {
  readonly crypto: Crypto;
  readonly creds: readonly Uint8Array[];
  readonly psks: readonly PskCredential[];
  readonly initiating: Initiating[];
  readonly responding: Responding[];
  readonly sent: readonly Uint8Array[][];
}

const profile = { suites: [2], message4: true };

const perform: Readonly<Record<Action['kind'], (world: World, action: Action) => void>> = {
  start: ({ crypto, psks, initiating, sent }, { who }) => {
    const fields = { connectionId: crypto.random(3) };
    const { next, message1 } = startPskInitiator(crypto, profile, fields);
    initiating.push({ psk: pick(psks, who), waiting2: next });
    sent[0]?.push(message1);
  },
  answer: ({ crypto, creds, responding, sent }, action) => {
    const bytes = arriving(sent, 0, action);
    if (bytes === undefined) return;
    const accepted = readPskMessage1(crypto, profile, bytes);
    if (isEdhocRefusal(accepted)) return;
    const step = accepted.compose({ connectionId: crypto.random(3) });
    if (isEdhocRefusal(step)) return;
    responding.push({ cred: pick(creds, action.who), waiting3: step.next });
    sent[1]?.push(step.message2);
  },
  'to initiator': ({ initiating, sent }, action) => {
    if (initiating.length === 0) return;
    const run = receiver(initiating, action);
    const bytes = arriving(sent, run.waiting4 === undefined ? 1 : 3, action);
    if (bytes === undefined) return;
    if (run.waiting4 !== undefined && !run.waiting4.spent) {
      const outcome = run.waiting4.readMessage4(bytes);
      if (!isEdhocRefusal(outcome)) run.session = outcome.session;
    } else if (run.waiting2 !== undefined && !run.waiting2.spent) {
      const read = run.waiting2.readMessage2(bytes);
      if (isEdhocRefusal(read)) return;
      const { next, message3 } = read.compose({ psk: run.psk });
      assert.ok(next.kind === 'await-message-4');
      run.waiting4 = next;
      sent[2]?.push(message3);
    }
  },
  'to responder': ({ psks, responding, sent }, action) => {
    if (responding.length === 0) return;
    const run = receiver(responding, action);
    const bytes = arriving(sent, 2, action);
    if (bytes === undefined || run.waiting3.spent) return;
    const needed = run.waiting3.readMessage3(bytes);
    if (isEdhocRefusal(needed)) return;
    for (const psk of psks.filter(({ credR }) => equal(credR, run.cred))) {
      const accepted = needed.spent ? undefined : needed.accept(psk);
      if (accepted === undefined || isEdhocRefusal(accepted)) continue;
      const { session, message4 } = accepted.finish();
      run.session = session;
      sent[3]?.push(message4 ?? assert.fail());
      return;
    }
    const waiting = needed.spent ? undefined : needed.keepWaiting();
    if (waiting !== undefined && !isEdhocRefusal(waiting)) run.waiting3 = waiting;
  },
};

const keyOf = (session: EdhocSession): string => toHex(session.exporter(0, new Uint8Array(0), 16));

/** How many completed handshakes there are, after checking what must hold of them. */
function check({ initiating, responding }: World): number {
  const ours = initiating.flatMap(({ psk, session }) => (session ? [{ psk, session }] : []));
  const theirs = responding.flatMap(({ cred, session }) => (session ? [{ cred, session }] : []));
  assert.equal(new Set(ours.map(({ session }) => keyOf(session))).size, ours.length);
  assert.equal(new Set(theirs.map(({ session }) => keyOf(session))).size, theirs.length);
  for (const { psk, session } of ours) {
    const partner = theirs.find((candidate) => keyOf(candidate.session) === keyOf(session));
    assert.ok(partner, 'an initiator that is alone');
    assert.ok(equal(partner.cred, psk.credR), 'another party than it meant');
    assert.ok(equal(session.peer.cred, partner.cred));
    assert.ok(equal(partner.session.peer.cred, psk.credI));
    assert.ok(!equal(session.peer.cred, session.own.cred), 'a handshake with oneself');
    assert.ok(equal(session.ownConnectionId, partner.session.peerConnectionId));
    assert.ok(equal(session.peerConnectionId, partner.session.ownConnectionId));
  }
  for (const { cred, session } of theirs) {
    // message_3 tells the responder that this initiator meant it.
    const meant = initiating.filter(
      ({ psk, waiting4 }) =>
        waiting4 !== undefined && equal(psk.credI, session.peer.cred) && equal(psk.credR, cred),
    );
    assert.ok(meant.length > 0, 'a responder that nobody meant');
  }
  return ours.length;
}

test('PSK: whatever the network does, who completes agrees', (context) => {
  const setup = seededCrypto('parties');
  const creds = ['a', 'b', 'c'].map(
    (name) => makeParty('P-256', fromHex('32'), name, setup).credential.cred,
  );
  const pairs = creds.flatMap((credI) =>
    creds.filter((credR) => !equal(credI, credR)).map((credR) => ({ credI, credR })),
  );
  const psks = pairs.map((pair): PskCredential => ({
    ...pair,
    idCred: fromHex('a1044110'),
    psk: setup.random(32),
    hash: 'SHA-256',
  }));
  let completed = 0;
  let messages = 0;
  fc.assert(
    fc.property(actions, (steps) => {
      const crypto = seededCrypto('network');
      const world = { crypto, creds, psks, initiating: [], responding: [], sent: [[], [], [], []] };
      for (const step of steps) perform[step.kind](world, step);
      completed += check(world);
      messages += steps.length;
    }),
    { numRuns: runs },
  );
  context.diagnostic(`${messages} deliveries, ${completed} handshakes completed`);
  assert.ok(completed > runs / 40, 'too few completed to show anything');
});
