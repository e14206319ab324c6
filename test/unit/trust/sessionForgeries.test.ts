/** What strangers may try on the session service, and how often, before it lets go of what they try it on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { empty } from '../../../src/wire/bytes/bytes.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import type { Endpoint } from '../../../src/trust/ports/sessionStore.ts';
import type { FrameOutcome } from '../../../src/trust/sessions/sessionService.ts';
import type { FrameRefusal } from '../../../src/trust/sessions/ports.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { kidIdCred } from '../../../src/wire/edhoc/idCred.ts';
import type { PskCredential } from '../../../src/wire/edhoc/psk.ts';
import { startPskInitiator } from '../../../src/wire/edhoc/pskInitiator.ts';
import { readMessage1 } from '../../../src/wire/edhoc/responder.ts';
import { maximumRefusals } from '../../../src/wire/edhoc/state.ts';
import { type LinkFrame, readFrame, writeFrame } from '../../../src/wire/relay/frame.ts';
import { act, granted, makeParty } from '../../support/edhoc.ts';
import { Field, gatewayId } from '../../support/field.ts';
import { MemorySessionStore } from '../../support/memorySessionStore.ts';

const endpoint = { ingress: gatewayId, linkAddress: fromHex('02005efffe000007') };
/** As over CoAP: known by its connection identifier alone. */
const roaming = { ingress: 'coap', linkAddress: empty };
const profile = { suites: [2], message4: false } as const;

interface World {
  readonly store: MemorySessionStore;
  readonly field: Field;
  /** The code of the refusal, or the frame that answers. */
  readonly send: (frame: LinkFrame, from?: Endpoint) => Promise<FrameRefusal | LinkFrame>;
}

function world(store: MemorySessionStore = new MemorySessionStore()): World {
  const field = new Field({ store });
  return {
    store,
    field,
    send: async (frame, from = endpoint) =>
      answered(await field.relay.take(from, writeFrame(frame))),
  };
}

function answered(outcome: FrameOutcome): FrameRefusal | LinkFrame {
  assert.ok(outcome !== undefined, 'neither answered nor refused');
  return typeof outcome === 'string' ? outcome : readFrame(outcome);
}

test('where every connection identifier is taken, no handshake begins', async () => {
  class FullStore extends MemorySessionStore {
    override async connectionIds(): Promise<readonly Uint8Array[]> {
      const places = Array.from({ length: 24 }, (_, place) => place);
      return [...places, ...places.map((place) => 0x20 + place)].map((id) => Uint8Array.of(id));
    }
  }
  const { store, field, send } = world(new FullStore());
  const { message1 } = startPskInitiator(field.crypto, profile, { connectionId: fromHex('05') });
  assert.equal(await send({ kind: 'edhoc-start', message1 }), 'endpoint-full');
  assert.equal(store.handshakeRows.length, 0);
});

test('resumptions under keys that nobody has end the handshake, after very many', async () => {
  const { store, field, send } = world();
  const started = startPskInitiator(field.crypto, profile, { connectionId: fromHex('05') });
  const second = await send({ kind: 'edhoc-start', message1: started.message1 });
  assert.ok(typeof second === 'object' && second.kind === 'edhoc');
  const read = granted(started.next.readMessage2(second.message));
  const psk: PskCredential = {
    idCred: kidIdCred(fromHex('abcd')),
    psk: new Uint8Array(32),
    hash: 'SHA-256',
    credI: fromHex('a10101'),
    credR: fromHex('a10102'),
  };
  const { connectionId } = store.handshakeRows[0] ?? assert.fail('no handshake began');
  const { message3: message } = read.compose({ psk });
  for (let count = 1; count <= maximumRefusals; count++) {
    const isLast = count === maximumRefusals;
    const code = await send({ kind: 'edhoc', connectionId, message });
    assert.equal(code, isLast ? 'exhausted' : 'unknown-credential', `${count}`);
    assert.equal(store.handshakeRows.length, isLast ? 0 : 1);
    if (count === 7) field.restartServer();
  }
});

test('answers to our own message_1 by somebody whom nobody knows end the handshake, after very many', async () => {
  const { store, field, send } = world();
  const first = answered(await field.relay.beginReverse(roaming));
  assert.ok(typeof first === 'object' && first.kind === 'edhoc-start');
  const { message1 } = first;
  for (let count = 1; count <= maximumRefusals; count++) {
    const code = await send(strangersAnswer(message1), roaming);
    assert.equal(code, 'unknown-credential');
    assert.equal(store.handshakeRows.length, count === maximumRefusals ? 0 : 1);
    if (count === 7) field.restartServer();
  }
});

function strangersAnswer(message1: Uint8Array): LinkFrame {
  const stranger = makeParty('P-256', fromHex('2b'), 'stranger');
  const accepted = granted(readMessage1(nodeCrypto, { ...profile, methods: [3] }, message1));
  const { peerConnectionId: connectionId } = accepted;
  const own = { connectionId: fromHex('06'), own: stranger.credential };
  const { message2: message } = act(granted(accepted.compose(own)), stranger);
  return { kind: 'edhoc', connectionId, message };
}
