/** Changed messages of OSCORE: records, the request that carries message_3, and KUDOS. */
import assert from 'node:assert/strict';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { equal } from '../../../src/wire/bytes/bytes.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../../src/wire/bytes/malformed.ts';
import { utf8 } from '../../../src/wire/bytes/utf8.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import {
  type CoapContent,
  type CoapMessage,
  encodeMessage,
  parseMessage,
} from '../../../src/wire/coap/message.ts';
import { optionNumbers, text } from '../../../src/wire/coap/options.ts';
import { AwaitMessage3, readMessage1 } from '../../../src/wire/edhoc/responder.ts';
import { startInitiator } from '../../../src/wire/edhoc/initiator.ts';
import { isEdhocRefusal } from '../../../src/wire/edhoc/refusal.ts';
import { protectRequest, unprotectResponse } from '../../../src/wire/oscore/client.ts';
import { deriveContext, type SecurityContext } from '../../../src/wire/oscore/context.ts';
import type { ContextMaterial } from '../../../src/wire/oscore/contextUpdate.ts';
import { combineRequest, splitCombined } from '../../../src/wire/oscore/edhocRequest.ts';
import {
  KudosBusy,
  KudosConfirmed,
  KudosIdle,
  KudosPending,
} from '../../../src/wire/oscore/kudos.ts';
import { makeOffer } from '../../../src/wire/oscore/kudosOffer.ts';
import { isRefused } from '../../../src/wire/oscore/refusal.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { protectResponse, unprotectRequest } from '../../../src/wire/oscore/server.ts';
import { campaign, type Subject } from '../../support/campaign.ts';
import { act, granted as edhoc, partyFor, seededCrypto } from '../../support/edhoc.ts';
import { config, store } from '../../support/kudos.ts';
import { granted, numberOf } from '../../support/oscore.ts';

const head = { type: 'CON', messageId: 0x1234, token: fromHex('4a') } as const;

const requestOf = (seed: string): CoapMessage => ({
  ...head,
  code: methods.post,
  options: [text(optionNumbers.uriPath, 'valve'), text(optionNumbers.uriQuery, seed)],
  payload: utf8('open'),
});
const responseOf = (seed: string): CoapMessage => ({
  ...head,
  type: 'ACK',
  code: responses.changed,
  options: [],
  payload: utf8(`opened ${seed}`),
});

/** What stands outside is anybody's: header, token, and options that a proxy may write. */
const outside: ReadonlySet<number> = new Set([
  optionNumbers.uriHost,
  optionNumbers.uriPort,
  optionNumbers.hopLimit,
  optionNumbers.edhoc,
  optionNumbers.proxyUri,
  optionNumbers.proxyScheme,
]);

function saysTheSame(left: CoapContent, right: CoapContent): boolean {
  return said(left) === said(right);
}

function said({ code, options, payload }: CoapContent): string {
  const inner = options.filter(({ number }) => !outside.has(number));
  const list = inner.map(({ number, value }) => `${number} ${toHex(value)}`);
  return `${code} ${list.join(' ')} ${toHex(payload)}`;
}

/** The genuine message is to be taken; of another one, nothing that was not said. */
function isTaken(
  bytes: Uint8Array,
  genuine: Uint8Array,
  opened: CoapContent,
  meant: CoapContent,
): boolean {
  return equal(bytes, genuine) ? saysTheSame(opened, meant) : !saysTheSame(opened, meant);
}

function readable<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

function material(seed: string, side: 'client' | 'server'): ContextMaterial {
  const [senderId, recipientId] = side === 'client' ? ['0c', '05'] : ['05', '0c'];
  return {
    masterSecret: nodeCrypto.hash('SHA-256', utf8(seed)).slice(0, 16),
    masterSalt: new Uint8Array(8).fill(7),
    senderId: fromHex(senderId ?? ''),
    recipientId: fromHex(recipientId ?? ''),
    aead: 'AES-CCM-16-64-128',
    hkdf: 'SHA-256',
  };
}

/** Keys wear out by what fails to verify: new objects before they do. */
function lasting(derive: () => SecurityContext): () => SecurityContext {
  let context = derive();
  return () => {
    if (context.usage.failedVerifications > 10_000) context = derive();
    return context;
  };
}

function record(seed: string): Subject {
  const client = (): SecurityContext =>
    deriveContext({ ...material(seed, 'client'), crypto: nodeCrypto });
  const server = lasting(() => deriveContext({ ...material(seed, 'server'), crypto: nodeCrypto }));
  const [meant, answered] = [requestOf(seed), responseOf(seed)];
  const request = encodeMessage(granted(protectRequest(meant, numberOf(client(), 20))).message);
  const { exchange } = granted(
    unprotectRequest(server(), ReplayWindow.empty(), parseMessage(request)),
  );
  const response = encodeMessage(granted(protectResponse(exchange, answered)));
  // 19 came before, 20 did not.
  const window = ReplayWindow.empty().accept(19);
  const waiting = lasting(client);
  return {
    name: 'OSCORE',
    messages: [request, response],
    deliver: (index, bytes) => {
      const message = readable(() => parseMessage(bytes));
      if (message === undefined) return false;
      if (index === 0) {
        const opened = unprotectRequest(server(), window, message);
        return (
          !isRefused(opened) &&
          'message' in opened &&
          isTaken(bytes, request, opened.message, meant)
        );
      }
      const { exchange: open } = granted(protectRequest(meant, numberOf(waiting(), 20)));
      const opened = unprotectResponse(open, message);
      return !isRefused(opened) && isTaken(bytes, response, opened.message, answered);
    },
  };
}

function combined(seed: string): Subject {
  const crypto = seededCrypto(seed);
  const initiator = partyFor(3, 2, 'initiator', fromHex('2b'), crypto);
  const responder = partyFor(3, 2, 'responder', fromHex('32'), crypto);
  const profile = { method: 3, suites: [2], message4: false } as const;
  const first = startInitiator(crypto, profile, { connectionId: fromHex('0e') });
  const accepted = edhoc(readMessage1(crypto, { ...profile, methods: [3] }, first.message1));
  const own = { connectionId: fromHex('27'), own: responder.credential };
  const second = act(edhoc(accepted.compose(own)), responder);
  const stored = second.next.store();
  const read = edhoc(first.next.readMessage2(second.message2));
  const verified = edhoc(read.accept(responder.credential));
  const third = act(edhoc(verified.compose({ own: initiator.credential })), initiator);
  assert.ok(third.next.kind === 'await-application');
  const keys = third.next.pendingKeys.oscoreParameters();
  const meant = requestOf(seed);
  const number = numberOf(deriveContext({ ...keys, crypto }), 0);
  const { message } = granted(protectRequest(meant, number));
  const whole = granted(
    combineRequest(meant, message, third.message3, { maximumPayloadBytes: 1024 }),
  );
  const genuine = encodeMessage(whole);
  return {
    name: 'message_3 with a request',
    messages: [genuine],
    deliver: (_index, bytes) => {
      const parts = readable(() => splitCombined(parseMessage(bytes)));
      if (parts === undefined) return false;
      const needed = AwaitMessage3.restore(crypto, stored).readMessage3(parts.message3);
      if (isEdhocRefusal(needed)) return false;
      const done = needed.accept(initiator.credential);
      if (isEdhocRefusal(done)) return false;
      // Whatever was in front of the request: a session comes of the genuine message_3 alone.
      if (!equal(parts.message3, third.message3)) return true;
      const server = deriveContext({ ...done.finish().session.oscoreParameters(), crypto });
      const opened = unprotectRequest(server, ReplayWindow.empty(), parts.request);
      return (
        !isRefused(opened) && 'message' in opened && isTaken(bytes, genuine, opened.message, meant)
      );
    },
  };
}

/** Divergent request, convergent response, and the first request under the new keys. */
function kudos(seed: string): Subject {
  const crypto = seededCrypto(seed);
  const settings = config({ crypto });
  const offer = makeOffer(settings, false);
  const begin = (): KudosBusy => new KudosBusy(settings, material(seed, 'client'), offer);
  const idle = (): KudosIdle => new KudosIdle(settings, material(seed, 'server'));
  const [meant, answered] = [requestOf(seed), responseOf(seed)];
  const divergent = encodeMessage(granted(begin().protectRequest(meant)).message);
  const received = granted(idle().receive({ kind: 'request', message: parseMessage(divergent) }));
  const pending = store(received.next);
  assert.ok(received.exchange);
  const convergent = encodeMessage(granted(pending.protectResponse(received.exchange, answered)));
  const busy = begin();
  const sent = granted(busy.protectRequest(meant));
  const message = parseMessage(convergent);
  const done = granted(busy.receive({ kind: 'response', message, exchange: sent.exchange }));
  assert.ok(done.next instanceof KudosConfirmed);
  const fresh = done.next.fresh.material;
  const proof = numberOf(deriveContext({ ...fresh, crypto }), 0);
  const first = encodeMessage(granted(protectRequest(meant, proof)).message);
  const state = pending.state();
  const window = ReplayWindow.empty().state();
  const kept = { sequenceEnd: 32, window, usage: { encryptions: 0, failedVerifications: 0 } };
  const secret = toHex(pending.fresh.material.masterSecret);
  const secretOf = ({ fresh: made }: KudosConfirmed | KudosPending): string =>
    toHex(made.material.masterSecret);
  const receive = (index: number, incoming: CoapMessage) => {
    if (index === 0) return idle().receive({ kind: 'request', message: incoming });
    if (index === 2) {
      const open = KudosPending.restore(settings, state, kept);
      return open.receive({ kind: 'request', message: incoming });
    }
    const open = begin();
    const { exchange } = granted(open.protectRequest(meant));
    return open.receive({ kind: 'response', message: incoming, exchange });
  };
  const messages = [divergent, convergent, first];
  const contents = [meant, answered, meant];
  return {
    name: 'KUDOS',
    messages,
    deliver: (index, bytes) => {
      const incoming = readable(() => parseMessage(bytes));
      const outcome = incoming === undefined ? undefined : receive(index, incoming);
      if (outcome === undefined || isRefused(outcome)) return false;
      const [genuine, content] = [messages[index], contents[index]];
      assert.ok(genuine && content);
      // Divergent while pending: it is still about the keys that the first of its kind was about.
      const isRepeated = index === 2 && equal(bytes, divergent);
      if (isRepeated) return secretOf(outcome.next) !== secret;
      // Both sides of a run that ends have the same keys.
      if (index > 0 && secretOf(outcome.next) !== secret) return true;
      return isTaken(bytes, genuine, outcome.message, content);
    },
  };
}

campaign([record, combined, kudos]);
