/**
 * The station's side of the talk with its authority: signs each request, waits out a lost network,
 * believes an answer only when the authority's order key signed it over exactly this request.
 */
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import type { Crypto, PublicKey } from '../../wire/crypto/crypto.ts';
import { fixedSignature } from '../../wire/der/ecdsa.ts';
import { messageTypeOf } from '../../wire/line/fields.ts';
import { readRefusal } from '../../wire/line/reporting.ts';
import { bindingTo, isSignedBy, parseSigned, prepareSigned } from '../../wire/line/signed.ts';
import { EnvironmentError } from '../ports/faults.ts';
import type { Signer } from '../ports/keys.ts';
import type { LineStep, LineTransport } from '../ports/lineTransport.ts';
import type { Pause, Waiting } from '../ports/pause.ts';
import { LineHalted } from './halt.ts';

/** First and longest wait between tries on a lost network. */
const firstWaitMs = 500;
const longestWaitMs = 30_000;

export interface CorrespondentPorts {
  readonly crypto: Crypto;
  /** The station's key. */
  readonly signer: Signer;
  /** The authority's order key, pinned when the station was enrolled. */
  readonly orderKey: PublicKey;
  readonly transport: LineTransport;
  readonly pause: Pause;
}

/** The network is gone; the line waits. `undefined` when it is back. */
export interface NetworkTrouble {
  readonly step: LineStep;
  readonly reason: string;
  readonly retryInMs: number;
}

export class Correspondent {
  readonly #ports: CorrespondentPorts;
  readonly #tell: (trouble: NetworkTrouble | undefined) => void;
  readonly #waitings = new Set<Waiting>();
  #halted: LineHalted | undefined;
  #impatient = false;

  constructor(ports: CorrespondentPorts, tell: (trouble: NetworkTrouble | undefined) => void) {
    this.#ports = ports;
    this.#tell = tell;
  }

  get halted(): LineHalted | undefined {
    return this.#halted;
  }

  /** Every exchange, under way or to come, rejects with the first reason that was given. */
  halt(reason: LineHalted): void {
    this.#halted ??= reason;
    for (const waiting of this.#waitings) waiting.cancel();
  }

  /** From now on a lost network ends the run instead of being waited out. */
  stopWaiting(): void {
    this.#impatient = true;
    for (const waiting of this.#waitings) waiting.cancel();
  }

  /** The payload of the authority's answer. Rejects with `LineHalted` when the authority says no. */
  async ask<Answer>(
    step: LineStep,
    payload: Uint8Array,
    read: (payload: Uint8Array) => Answer,
  ): Promise<Answer> {
    const request = await this.#sign(payload);
    // The same bytes at every try: to the authority a retry is the same request.
    const answer = await this.#deliver(step, request);
    try {
      return this.#believe(request, answer, read);
    } catch (error) {
      if (!(error instanceof MalformedError || error instanceof UnsupportedError)) throw error;
      throw new LineHalted('forged-answer', `the answer to ${step} is malformed: ${error.message}`);
    }
  }

  async #sign(payload: Uint8Array): Promise<Uint8Array> {
    const unsigned = prepareSigned(payload);
    const signature = await this.#ports.signer.sign(unsigned.toBeSigned);
    return unsigned.finish(fixedSignature(signature, 32));
  }

  async #deliver(step: LineStep, request: Uint8Array): Promise<Uint8Array> {
    for (let attempt = 0; ; attempt++) {
      if (this.#halted !== undefined) throw this.#halted;
      try {
        const answer = await this.#ports.transport.post(step, request);
        if (attempt > 0) this.#tell(undefined);
        return answer;
      } catch (error) {
        if (!(error instanceof EnvironmentError) || !error.retryable) throw error;
        await this.#wait(step, error.message, attempt);
        if (this.#impatient) this.halt(new LineHalted('stopped', `stopped while ${error.message}`));
      }
    }
  }

  async #wait(step: LineStep, reason: string, attempt: number): Promise<void> {
    if (this.#halted !== undefined || this.#impatient) return;
    const fullMs = Math.min(longestWaitMs, firstWaitMs * 2 ** Math.min(attempt, 16));
    // Stations that lost the same network together do not come back in the same instant.
    const [jitter = 0] = this.#ports.crypto.random(1);
    const retryInMs = Math.round(fullMs * (0.75 + jitter / 1024));
    this.#tell({ step, reason, retryInMs });
    const waiting = this.#ports.pause.wait(retryInMs);
    this.#waitings.add(waiting);
    await waiting.over;
    this.#waitings.delete(waiting);
  }

  #believe<Answer>(
    request: Uint8Array,
    answer: Uint8Array,
    read: (payload: Uint8Array) => Answer,
  ): Answer {
    const { crypto, orderKey } = this.#ports;
    const message = parseSigned(answer);
    if (!isSignedBy(crypto, orderKey, message, bindingTo(crypto, request))) {
      throw new LineHalted('forged-answer', 'the answer is not signed by the order key');
    }
    if (messageTypeOf(message.payload) === 'refusal') {
      const { code, reason } = readRefusal(message.payload);
      throw new LineHalted(code, reason);
    }
    return read(message.payload);
  }
}
