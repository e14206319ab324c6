/**
 * Whether a UDP source address is where its owner is (RFC 7252 §11.3, RFC 9175 §2.4). Until that is known
 * an answer is no bait for a victim: it has at most three times the bytes of the request. Echo shows it.
 */
import type { CoapContent } from '../../wire/coap/message.ts';
import { findOption, optionNumbers } from '../../wire/coap/options.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { EchoIssuer } from '../../wire/oscore/echo.ts';

/** RFC 9175 §2.4 item 3 recommends this factor. */
export const amplification = 3;

export interface ValidationLimits {
  /** Addresses that are remembered; the least recently used goes. */
  readonly remembered: number;
  /** How long an address counts as shown, and an Echo value as new. */
  readonly lifetimeMs: number;
  /** New handshakes in a second from addresses that are not shown; more have to show theirs first. */
  readonly freeHandshakesPerSecond: number;
}

export const validationLimits: ValidationLimits = {
  remembered: 16_384,
  lifetimeMs: 600_000,
  freeHandshakesPerSecond: 64,
};

export class AddressValidation {
  readonly #echo: EchoIssuer;
  readonly #limits: ValidationLimits;
  /** Until when, by peer; in the order of last use. */
  readonly #shown = new Map<string, number>();
  #second = 0;
  #handshakes = 0;

  constructor(crypto: Crypto, limits: Partial<ValidationLimits> = {}) {
    this.#limits = { ...validationLimits, ...limits };
    this.#echo = new EchoIssuer(crypto, this.#limits.lifetimeMs);
  }

  /** Also takes note of an Echo value that shows the address. */
  isShown(peer: string, request: CoapContent, nowMs: number): boolean {
    const value = findOption(request.options, optionNumbers.echo);
    if (this.#echo.isFresh(value, utf8(peer), nowMs)) this.#remember(peer, nowMs);
    const untilMs = this.#shown.get(peer);
    if (untilMs !== undefined && untilMs > nowMs) return true;
    this.#shown.delete(peer);
    return false;
  }

  /** 4.01 with the Echo value to send the request again with. */
  challenge(peer: string, nowMs: number): CoapContent {
    return this.#echo.challenge(utf8(peer), nowMs);
  }

  /** Whether a handshake may begin before its address was shown; counts it. */
  mayBegin(nowMs: number): boolean {
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#handshakes = 0;
    }
    this.#handshakes += 1;
    return this.#handshakes <= this.#limits.freeHandshakesPerSecond;
  }

  #remember(peer: string, nowMs: number): void {
    this.#shown.delete(peer);
    const [oldest] = this.#shown.keys();
    if (oldest !== undefined && this.#shown.size >= this.#limits.remembered) {
      this.#shown.delete(oldest);
    }
    this.#shown.set(peer, nowMs + this.#limits.lifetimeMs);
  }
}
