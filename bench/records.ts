/** OSCORE beside the cipher: protecting and verifying 20 bytes against AES-CCM alone, in the same run. */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { nodeCrypto } from '../src/drivers/keys/software/nodeCrypto.ts';
import { methods, responses } from '../src/wire/coap/codes.ts';
import { type CoapMessage, encodeMessage, parseMessage } from '../src/wire/coap/message.ts';
import { uriPath } from '../src/wire/coap/options.ts';
import { protectRequest, unprotectResponse } from '../src/wire/oscore/client.ts';
import { deriveContext, type SecurityContext } from '../src/wire/oscore/context.ts';
import { isRefused, type OscoreRefusal } from '../src/wire/oscore/refusal.ts';
import { ReplayWindow } from '../src/wire/oscore/replayWindow.ts';
import { type SenderSequence, volatileSequence } from '../src/wire/oscore/sequence.ts';
import {
  type AcceptedRequest,
  protectResponse,
  type UnsynchronizedRequest,
  unprotectRequest,
} from '../src/wire/oscore/server.ts';
import { atLeast, type BenchResult, row } from './result.ts';

/** Of the cipher's speed. */
const promisedRatio = 0.5;
const rounds = 15;
const turns = 2_000;
const payload: Uint8Array = new Uint8Array(randomBytes(20));

export function run(): BenchResult {
  const measured = interleaved({
    cipher: rawCipher(),
    request: requestOnly(),
    exchange: wholeExchange(),
    bytes: overBytes(),
  });
  const { cipher, request, exchange, bytes } = measured;
  const ratio = cipher / request;
  return {
    rows: [
      row('AES-CCM-16-64-128 alone, seal and open 20 bytes', cipher, 'µs'),
      row('OSCORE request of 20 bytes, protect and verify', request, 'µs'),
      row('the same with encoding and parsing of the message', bytes, 'µs'),
      row('request and response, both sides', exchange, 'µs'),
      row('requests protected and verified', 1e6 / request, '1/s'),
    ],
    promises: [atLeast('of the speed of AES-CCM alone', promisedRatio, ratio)],
  };
}

/** The fastest calls of node:crypto that do the same: KeyObject, nonce and AAD of an OSCORE message. */
function rawCipher(): () => void {
  const key: KeyObject = createSecretKey(randomBytes(16));
  const nonce = randomBytes(13);
  const aad = randomBytes(22);
  const plaintextLength = payload.length;
  const parameters = { authTagLength: 8 };
  return () => {
    const cipher = createCipheriv('aes-128-ccm', key, nonce, parameters);
    cipher.setAAD(aad, { plaintextLength });
    const ciphertext = cipher.update(payload);
    cipher.final();
    const decipher = createDecipheriv('aes-128-ccm', key, nonce, parameters);
    decipher.setAuthTag(cipher.getAuthTag());
    decipher.setAAD(aad, { plaintextLength });
    decipher.update(ciphertext);
    decipher.final();
  };
}

const request: CoapMessage = {
  type: 'NON',
  code: methods.post,
  messageId: 1,
  token: Uint8Array.of(1),
  options: uriPath('/t'),
  payload,
};

const response: CoapMessage = { ...request, code: responses.changed, options: [] };

interface Ends {
  readonly sequence: SenderSequence;
  readonly server: SecurityContext;
}

function newEnds(): Ends {
  const parameters = { crypto: nodeCrypto, masterSecret: new Uint8Array(randomBytes(16)) };
  const [senderId, recipientId] = [Uint8Array.of(1), Uint8Array.of(2)];
  const client = deriveContext({ ...parameters, senderId, recipientId });
  const server = deriveContext({ ...parameters, senderId: recipientId, recipientId: senderId });
  return { sequence: volatileSequence(client), server };
}

/** The server keeps its window as a session does. */
function requestOnly(): () => void {
  const { sequence, server } = newEnds();
  let window = ReplayWindow.empty();
  return () => {
    const { message } = done(protectRequest(request, done(sequence.take())));
    ({ window } = accepted(done(unprotectRequest(server, window, message))));
  };
}

function overBytes(): () => void {
  const { sequence, server } = newEnds();
  let window = ReplayWindow.empty();
  return () => {
    const { message } = done(protectRequest(request, done(sequence.take())));
    const received = parseMessage(encodeMessage(message));
    ({ window } = accepted(done(unprotectRequest(server, window, received))));
  };
}

function wholeExchange(): () => void {
  const { sequence, server } = newEnds();
  let window = ReplayWindow.empty();
  return () => {
    const sent = done(protectRequest(request, done(sequence.take())));
    const opened = accepted(done(unprotectRequest(server, window, sent.message)));
    ({ window } = opened);
    const answer = done(protectResponse(opened.exchange, response));
    done(unprotectResponse(sent.exchange, answer));
  };
}

function done<Outcome extends object>(outcome: Outcome): Exclude<Outcome, OscoreRefusal> {
  if (isRefused(outcome)) throw new Error(outcome.reason);
  return outcome as Exclude<Outcome, OscoreRefusal>;
}

function accepted(
  opened: AcceptedRequest<CoapMessage> | UnsynchronizedRequest<CoapMessage>,
): AcceptedRequest<CoapMessage> {
  if (opened.outcome !== 'accepted') throw new Error('not accepted');
  return opened;
}

/**
 * The median of many short rounds, each in turn, in microseconds: what else the machine does falls on all
 * alike. The first rounds warm up and are not counted.
 */
function interleaved<Name extends string>(
  tasks: Readonly<Record<Name, () => void>>,
): Record<Name, number> {
  const names = Object.keys(tasks) as Name[];
  const times = new Map<Name, number[]>(names.map((each) => [each, []]));
  for (let round = -3; round < rounds; round++) {
    for (const each of names) {
      const task = tasks[each];
      const started = process.hrtime.bigint();
      for (let turn = 0; turn < turns; turn++) task();
      const elapsedNs = Number(process.hrtime.bigint() - started);
      if (round >= 0) times.get(each)?.push(elapsedNs / 1000 / turns);
    }
  }
  const medians = names.map((each) => [each, median(times.get(each) ?? [])] as const);
  return Object.fromEntries(medians) as Record<Name, number>;
}

function median(values: readonly number[]): number {
  return [...values].sort((left, right) => left - right)[values.length >> 1] ?? Number.NaN;
}
