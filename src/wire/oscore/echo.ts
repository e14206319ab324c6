/**
 * The Echo option (RFC 9175 §2): a server asks a client to prove that its request is new. Used to
 * synchronize a lost replay window (RFC 8613 §B.1.2) and for requests whose delay would do harm.
 */
import { concat, equalConstantTime } from '../bytes/bytes.ts';
import { responses } from '../coap/codes.ts';
import type { CoapContent } from '../coap/message.ts';
import { findOption, opaque, optionNumbers, withoutOptions } from '../coap/options.ts';
import type { Crypto, Secret } from '../crypto/crypto.ts';
import { mergeOptions } from './fields.ts';

/**
 * Makes Echo values that need no memory: the time, and a MAC over it and over whom it was given to. The
 * key is made anew at each start, so that a value also proves that its request is younger than the start,
 * which is what §B.1.2 needs; the age limit gives freshness in time (RFC 9175 §2.3).
 */
export class EchoIssuer {
  readonly #crypto: Crypto;
  readonly #key: Secret;
  readonly #maximumAgeMs: number;

  constructor(crypto: Crypto, maximumAgeMs: number) {
    this.#crypto = crypto;
    this.#key = crypto.secret(crypto.random(32));
    this.#maximumAgeMs = maximumAgeMs;
  }

  /** `client` names the security context, so that one client's value is no proof of another's request. */
  issue(client: Uint8Array, nowMs: number): Uint8Array {
    const time = encodeTime(nowMs);
    return concat(time, this.#mac(client, time));
  }

  isFresh(value: Uint8Array | undefined, client: Uint8Array, nowMs: number): boolean {
    if (value?.length !== timeBytes + macBytes) return false;
    const time = value.subarray(0, timeBytes);
    if (!equalConstantTime(value.subarray(timeBytes), this.#mac(client, time))) return false;
    const ageMs = nowMs - decodeTime(time);
    return ageMs >= 0 && ageMs <= this.#maximumAgeMs;
  }

  /** 4.01 with the Echo option and nothing else (RFC 8613 §B.1.2). */
  challenge(client: Uint8Array, nowMs: number): CoapContent {
    return {
      code: responses.unauthorized,
      options: [opaque(optionNumbers.echo, this.issue(client, nowMs))],
      payload: new Uint8Array(0),
    };
  }

  #mac(client: Uint8Array, time: Uint8Array): Uint8Array {
    const mac = this.#crypto.hmac('SHA-256', this.#key, concat(time, client));
    return mac.subarray(0, macBytes);
  }
}

/**
 * The request to send again when a verified response is a challenge; `undefined` when it is none. An Echo
 * value goes back to the server that gave it only (RFC 9175 §2.3), so the response must have come through
 * the same security context. Answer one challenge for a request: a server that asks twice is not satisfied
 * by asking again.
 */
export function answerChallenge<Request extends CoapContent>(
  request: Request,
  response: CoapContent,
): Request | undefined {
  const value = findOption(response.options, optionNumbers.echo);
  if (response.code !== responses.unauthorized || value === undefined) return undefined;
  return withEcho(request, value);
}

/** The request with this Echo value: also for a value that came with an earlier response. */
export function withEcho<Request extends CoapContent>(
  request: Request,
  value: Uint8Array,
): Request {
  const others = withoutOptions(request.options, optionNumbers.echo);
  return { ...request, options: mergeOptions(others, [opaque(optionNumbers.echo, value)]) };
}

/** Milliseconds in six bytes, and eight bytes of MAC: forging one takes 2^63 tries on average. */
const timeBytes = 6;
const macBytes = 8;

function encodeTime(nowMs: number): Uint8Array {
  const bytes = new Uint8Array(timeBytes);
  let rest = Math.floor(nowMs);
  for (let index = timeBytes - 1; index >= 0; index--) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

function decodeTime(bytes: Uint8Array): number {
  let value = 0;
  for (const byte of bytes) value = value * 256 + byte;
  return value;
}
