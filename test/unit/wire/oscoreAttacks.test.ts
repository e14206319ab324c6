/** OSCORE on a hostile path: flipped, cut, replayed, reordered, reflected and mixed messages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fromUtf8, utf8 } from '../../../src/wire/bytes/utf8.ts';
import { methods, responses } from '../../../src/wire/coap/codes.ts';
import { type CoapMessage, encodeMessage, parseMessage } from '../../../src/wire/coap/message.ts';
import { uriPath } from '../../../src/wire/coap/options.ts';
import {
  type ClientExchange,
  protectRequest,
  type ResponseRefusal,
  unprotectResponse,
  type VerifiedResponse,
} from '../../../src/wire/oscore/client.ts';
import { isRefused } from '../../../src/wire/oscore/refusal.ts';
import { ReplayWindow } from '../../../src/wire/oscore/replayWindow.ts';
import { volatileSequence } from '../../../src/wire/oscore/sequence.ts';
import { protectResponse, unprotectRequest } from '../../../src/wire/oscore/server.ts';
import { contextPair, granted, numberOf } from '../../support/oscore.ts';
import { isNightly } from '../../support/nightly.ts';

const runs = isNightly ? 20_000 : 150;
const unlimited = { encryptions: 0, failedVerifications: Number.NEGATIVE_INFINITY };

function request(payload: string): CoapMessage {
  const token = Uint8Array.of(1);
  const options = uriPath('/actuator');
  return { type: 'NON', code: methods.put, messageId: 1, token, options, payload: utf8(payload) };
}

function responseOf(received: CoapMessage, payload: string): CoapMessage {
  return { ...received, code: responses.changed, options: [], payload: utf8(payload) };
}

/** Bytes of an encoded message with one bit flipped, parsed again; `undefined` when that fails. */
function flipped(message: CoapMessage, bit: number): CoapMessage | undefined {
  const bytes = encodeMessage(message);
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  try {
    return parseMessage(bytes);
  } catch {
    return undefined;
  }
}

test('any bit flipped: refused, or a bit that nobody protects', () => {
  const { client, server } = contextPair({ usage: unlimited });
  const asked = request('open');
  const sent = granted(protectRequest(asked, numberOf(client, 300)));
  const opened = granted(unprotectRequest(server, ReplayWindow.empty(), sent.message));
  assert.equal(opened.outcome, 'accepted');
  const said = responseOf(asked, 'done');
  const answer = granted(protectResponse(opened.exchange, said, numberOf(server, 9)));
  let accepted = 0;
  for (let bit = 0; bit < encodeMessage(sent.message).length * 8; bit++) {
    const message = flipped(sent.message, bit);
    if (message === undefined) continue;
    const outcome = unprotectRequest(server, ReplayWindow.empty(), message);
    if (isRefused(outcome)) continue;
    assert.equal(outcome.outcome, 'accepted');
    accepted += 1;
    assert.equal(outcome.message.code, asked.code);
    assert.deepEqual(outcome.message.payload, asked.payload);
    assert.deepEqual(outcome.message.options, asked.options);
  }
  for (let bit = 0; bit < encodeMessage(answer).length * 8; bit++) {
    const message = flipped(answer, bit);
    if (message === undefined) continue;
    const again = granted(protectRequest(asked, numberOf(client, 300)));
    const outcome = unprotectResponse(again.exchange, message);
    if (isRefused(outcome)) continue;
    accepted += 1;
    assert.equal(outcome.message.code, said.code);
    assert.deepEqual(outcome.message.payload, said.payload);
  }
  // Type, outer code, message ID and token belong to the hop (RFC 8613 §4.2).
  assert.ok(accepted > 30 && accepted < 90, String(accepted));
});

test('two sessions on a path that does what it wants: nothing twice, nothing mixed up', () => {
  const totals = { accepted: 0, answered: 0 };
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          act: fc.constantFrom(
            'send',
            'send',
            'deliver',
            'deliver',
            'deliver',
            'reflect',
            'answer',
          ),
          session: fc.integer({ min: 0, max: 1 }),
          pick: fc.nat(1000),
          bit: fc.option(fc.nat(400), { freq: 4 }),
        }),
        { minLength: 40, maxLength: 160, size: 'max' },
      ),
      (steps) => {
        const air = new Air();
        for (const step of steps) air.step(step);
        totals.accepted += air.accepted;
        totals.answered += air.answered;
      },
    ),
    { numRuns: runs },
  );
  // Honest messages got through, or the property would hold for nothing.
  assert.ok(totals.accepted > 5 * runs && totals.answered > runs, JSON.stringify(totals));
});

interface Step {
  readonly act: 'send' | 'deliver' | 'reflect' | 'answer';
  readonly session: number;
  readonly pick: number;
  readonly bit: number | null;
}

/** Two pairs of contexts with different secrets and the same identifiers, and all that was ever sent. */
class Air {
  readonly #sessions = [1, 2].map((secret) => {
    const pair = contextPair({
      masterSecret: new Uint8Array(16).fill(secret),
      usage: unlimited,
    });
    return {
      ...pair,
      sequence: volatileSequence(pair.client),
      window: ReplayWindow.empty(),
      exchanges: new Map<string, ClientExchange>(),
      sent: new Set<string>(),
      accepted: new Set<string>(),
      answered: new Set<string>(),
    };
  });
  readonly #requests: CoapMessage[] = [];
  readonly #answers: CoapMessage[] = [];
  #count = 0;

  get accepted(): number {
    return this.#sessions.reduce((sum, { accepted }) => sum + accepted.size, 0);
  }

  get answered(): number {
    return this.#sessions.reduce((sum, { answered }) => sum + answered.size, 0);
  }

  step({ act, session, pick, bit }: Step): void {
    if (act === 'send') this.#send(session);
    if (act === 'deliver') this.#deliver(session, this.#choose(this.#requests, pick, bit));
    if (act === 'reflect') this.#deliver(session, this.#choose(this.#answers, pick, bit));
    if (act === 'answer') this.#receive(session, this.#choose(this.#answers, pick, bit));
  }

  #choose(messages: readonly CoapMessage[], pick: number, bit: number | null) {
    const message = messages[pick % Math.max(1, messages.length)];
    if (message === undefined || bit === null) return message;
    return flipped(message, bit % (encodeMessage(message).length * 8));
  }

  #send(index: number): void {
    const session = this.#session(index);
    const text = `${index}/${this.#count++}`;
    const number = granted(session.sequence.take());
    const { message, exchange } = granted(protectRequest(request(text), number));
    session.sent.add(text);
    session.exchanges.set(text, exchange);
    this.#requests.push(message);
  }

  #deliver(index: number, message: CoapMessage | undefined): void {
    if (message === undefined) return;
    const session = this.#session(index);
    const outcome = unprotectRequest(session.server, session.window, message);
    if (isRefused(outcome)) return;
    assert.equal(outcome.outcome, 'accepted');
    const text = fromUtf8(outcome.message.payload) ?? '';
    assert.ok(session.sent.has(text), 'a request of nobody was accepted');
    assert.ok(!session.accepted.has(text), 'a request was accepted twice');
    session.accepted.add(text);
    session.window = outcome.window;
    const answer = responseOf(message, text);
    this.#answers.push(granted(protectResponse(outcome.exchange, answer)));
  }

  #receive(index: number, message: CoapMessage | undefined): void {
    if (message === undefined) return;
    const session = this.#session(index);
    for (const [text, exchange] of session.exchanges) {
      const outcome: VerifiedResponse<CoapMessage> | ResponseRefusal = unprotectResponse(
        exchange,
        message,
      );
      if (isRefused(outcome)) continue;
      assert.equal(fromUtf8(outcome.message.payload), text, 'an answer to another request');
      assert.ok(!session.answered.has(text), 'an answer was accepted twice');
      session.answered.add(text);
    }
  }

  #session(index: number) {
    const session = this.#sessions[index];
    assert.ok(session);
    return session;
  }
}
