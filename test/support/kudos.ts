/** Two sides of a KUDOS run, and what a session does around it. */
import assert from 'node:assert/strict';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { methods, responses } from '../../src/wire/coap/codes.ts';
import type { CoapContent } from '../../src/wire/coap/message.ts';
import { findOption, optionNumbers, uriPath } from '../../src/wire/coap/options.ts';
import { protectRequest, unprotectResponse } from '../../src/wire/oscore/client.ts';
import type { ContextMaterial } from '../../src/wire/oscore/contextUpdate.ts';
import {
  type KudosBusy,
  KudosConfirmed,
  KudosIdle,
  KudosPending,
} from '../../src/wire/oscore/kudos.ts';
import type { NewContext } from '../../src/wire/oscore/kudosContext.ts';
import type { KudosConfig } from '../../src/wire/oscore/kudosOffer.ts';
import { encodeX, parseOscoreOption } from '../../src/wire/oscore/option.ts';
import { protectResponse, unprotectRequest } from '../../src/wire/oscore/server.ts';
import { granted } from './oscore.ts';

export const ping: CoapContent = {
  code: methods.post,
  options: uriPath('/.well-known/kudos'),
  payload: new Uint8Array(0),
};
export const pong: CoapContent = {
  code: responses.changed,
  options: [],
  payload: new Uint8Array(0),
};

export function material(side: 'a' | 'b', secret = 1): ContextMaterial {
  const [senderId, recipientId] = side === 'a' ? ['0a', '0b'] : ['0b', '0a'];
  return {
    masterSecret: new Uint8Array(16).fill(secret),
    masterSalt: new Uint8Array(8).fill(9),
    senderId: fromHex(senderId ?? ''),
    recipientId: fromHex(recipientId ?? ''),
    aead: 'AES-CCM-16-64-128',
    hkdf: 'SHA-256',
  };
}

export function config(overrides: Partial<KudosConfig> = {}): KudosConfig {
  return {
    crypto: nodeCrypto,
    isCapable: true,
    peer: 'unknown',
    preserveObservations: false,
    ...overrides,
  };
}

export function idlePair(
  a: Partial<KudosConfig> = {},
  b: Partial<KudosConfig> = {},
): { readonly a: KudosIdle; readonly b: KudosIdle } {
  return {
    a: new KudosIdle(config(a), material('a')),
    b: new KudosIdle(config(b), material('b')),
  };
}

export function request(message: CoapContent): {
  readonly kind: 'request';
  readonly message: CoapContent;
} {
  return { kind: 'request', message };
}

/** What a session does before it sends under a new context. */
export function store(pending: KudosPending): KudosPending {
  const end = pending.fresh.sequence.reservation(32);
  assert.ok(typeof end === 'number');
  pending.fresh.sequence.confirm(end);
  return pending;
}

export function pendingOf(next: KudosConfirmed | KudosPending): KudosPending {
  assert.ok(next instanceof KudosPending);
  return store(next);
}

export function confirmedOf(next: KudosConfirmed | KudosPending): NewContext {
  assert.ok(next instanceof KudosConfirmed);
  return next.fresh;
}

export function xOf(message: CoapContent): number {
  const value = findOption(message.options, optionNumbers.oscore);
  assert.ok(value);
  const { keyUpdate } = parseOscoreOption(value);
  assert.ok(keyUpdate);
  return encodeX(keyUpdate);
}

export function sameContext(left: NewContext, right: NewContext): void {
  assert.deepEqual(left.material.masterSecret, right.material.masterSecret);
  assert.deepEqual(left.material.masterSalt, right.material.masterSalt);
  assert.notDeepEqual(left.material.masterSecret, material('a').masterSecret);
}

/** An ordinary exchange under what both have now. */
export function talk(client: NewContext, server: NewContext): void {
  const end = client.sequence.reservation(1);
  assert.ok(typeof end === 'number');
  client.sequence.confirm(end);
  const sent = granted(protectRequest(ping, granted(client.sequence.take())));
  const opened = granted(unprotectRequest(server.context, server.window, sent.message));
  const answer = granted(protectResponse(opened.exchange, pong));
  granted(unprotectResponse(sent.exchange, answer));
}

/** A starts with a request; the two states after the convergent response. */
export function forwardRun(
  a: KudosBusy,
  b: KudosIdle,
): {
  readonly divergent: CoapContent;
  readonly convergent: CoapContent;
  readonly done: NewContext;
  readonly pending: KudosPending;
} {
  const sent = granted(a.protectRequest(ping));
  const received = granted(b.receive(request(sent.message)));
  const pending = store(received.next);
  assert.ok(received.exchange);
  const answer = granted(pending.protectResponse(received.exchange, pong));
  const done = granted(a.receive({ kind: 'response', message: answer, exchange: sent.exchange }));
  return { divergent: sent.message, convergent: answer, done: confirmedOf(done.next), pending };
}
