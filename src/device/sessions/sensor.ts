/**
 * A sensor without IP, from first power-on to telemetry: handshake, session, retransmission, and what of
 * it survives a loss of power. One event at a time: a frame, a timer or a new payload is dealt with to its
 * end before the next. Nothing leaves before what it rests on is stored.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { type CoapContent, type CoapMessage, parseMessage } from '../../wire/coap/message.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { type LinkFrame, readFrame } from '../../wire/relay/frame.ts';
import { telemetryOverheadBytes } from '../../wire/relay/rawLink.ts';
import type { DeviceElement } from '../ports/element.ts';
import { DeviceFault, isRetryable } from '../ports/faults.ts';
import type { Link } from '../ports/link.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import type { Timer } from '../ports/timer.ts';
import { Channel, type ChannelUse, freshChannel, type OpenRequest, verdictOn } from './channel.ts';
import {
  type Awaiting,
  beginHandshake,
  type Parties,
  readParties,
  takeMessage2,
} from './handshake.ts';
import { sessionRecordName } from './record.ts';
import { pauseOf, type RetryPolicy } from '../ports/retry.ts';
import { restoredState, type SessionState, storedForm } from './sessionState.ts';

export interface SensorPorts {
  readonly element: DeviceElement;
  readonly link: Link;
  /** A sealed one: see `device/storage`. */
  readonly store: DeviceStore;
  readonly timer: Timer;
  readonly crypto: Crypto;
}

export interface SensorOptions {
  /** Of message_1, and of a confirmable message with, before its first answer, message_3. */
  readonly retransmission: RetryPolicy;
  /** Transmissions of the same bytes before the sensor gives up on them. */
  readonly transmissions: number;
  /** Pauses between handshakes that came to nothing. */
  readonly rest: RetryPolicy;
  /** Sequence numbers that one write to the store reserves; as many are skipped at a loss of power. */
  readonly lookAhead: number;
  /** Every so many messages one is confirmable, so that a lost session is noticed. 1: all of them. */
  readonly confirmEvery: number;
  /** Payloads that wait; beyond it the oldest is dropped, since the newest says most. */
  readonly maximumQueued: number;
}

export const sensorDefaults: SensorOptions = {
  retransmission: { firstMs: 2_000, longestMs: 60_000 },
  transmissions: 6,
  rest: { firstMs: 30_000, longestMs: 3_600_000 },
  lookAhead: 32,
  confirmEvery: 8,
  maximumQueued: 16,
};

export type SensorEvent =
  | { readonly kind: 'sent'; readonly what: 'message-1' | 'message-3'; readonly attempt: number }
  /** The server has shown that it has the keys. */
  | { readonly kind: 'session'; readonly handshakeBytes: readonly number[] }
  | { readonly kind: 'telemetry'; readonly payload: Uint8Array; readonly confirmed: boolean }
  /** `queue-full`, or the server's authentic no. */
  | { readonly kind: 'telemetry-dropped'; readonly reason: 'queue-full' | 'refused' }
  | { readonly kind: 'ignored'; readonly reason: string }
  | { readonly kind: 'resting'; readonly pauseMs: number; readonly reason: string }
  /** A port failed. `final`: it will not get better without a person. */
  | { readonly kind: 'fault'; readonly error: unknown; readonly final: boolean };

/** A request of `exchange`, until its answer. */
interface Pending {
  readonly content: CoapContent;
  readonly resolve: (answer: CoapContent) => void;
  readonly reject: (fault: DeviceFault) => void;
}

interface OpenExchange {
  readonly request: OpenRequest;
  /** Absent for telemetry, which stands in front of its queue. */
  readonly pending: Pending | undefined;
  transmissions: number;
}

export class NonIpSensor {
  readonly #ports: SensorPorts;
  readonly #options: SensorOptions;
  readonly #parties: Parties;
  readonly #report: (event: SensorEvent) => void;
  #state: SessionState | undefined;
  #open: OpenExchange | undefined;
  readonly #queue: Uint8Array[] = [];
  readonly #pending: Pending[] = [];
  #sinceConfirmed = 0;
  #rests = 0;
  #cancelTimer: () => void = () => undefined;
  #last: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(
    ports: SensorPorts,
    options: SensorOptions,
    parties: Parties,
    report: (event: SensorEvent) => void,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#parties = parties;
    this.#report = report;
  }

  /**
   * Switches on: goes on where the stored state stands, or begins with a handshake. Rejects when the
   * element was not personalized for sessions, and with what its ports reject with at start.
   */
  static async start(
    ports: SensorPorts,
    report: (event: SensorEvent) => void,
    options: Partial<SensorOptions> = {},
  ): Promise<NonIpSensor> {
    const parties = await readParties(ports.element, ports.crypto);
    const sensor = new NonIpSensor(ports, { ...sensorDefaults, ...options }, parties, report);
    ports.link.onFrame((frame) => sensor.#event(() => sensor.#onFrame(frame)));
    await sensor.#event(() => sensor.#reload());
    return sensor;
  }

  /** Longest payload that fits a frame of this link. */
  get maximumPayloadBytes(): number {
    return this.#ports.link.maximumFrameBytes - telemetryOverheadBytes;
  }

  /** Queues telemetry; events tell what becomes of it. Throws a `TypeError` when it does not fit a frame. */
  submit(payload: Uint8Array): Promise<void> {
    if (payload.length === 0 || payload.length > this.maximumPayloadBytes) {
      throw new TypeError(`a payload has 1 to ${this.maximumPayloadBytes} bytes`);
    }
    return this.#event(async () => {
      this.#queue.push(payload.slice());
      if (this.#queue.length > this.#options.maximumQueued) {
        // The first one is under way while its exchange is open.
        const underWay = this.#open !== undefined && this.#open.pending === undefined;
        this.#queue.splice(underWay ? 1 : 0, 1);
        this.#report({ kind: 'telemetry-dropped', reason: 'queue-full' });
      }
      await this.#pump();
    });
  }

  /**
   * A confirmable request in the session; telemetry that waits goes first. Resolves with the authentic
   * answer. Rejects with a retryable `DeviceFault` when the session ended before it came.
   */
  exchange(content: CoapContent): Promise<CoapContent> {
    return new Promise((resolve, reject) => {
      if (this.#stopped) return reject(ended());
      return void this.#event(async () => {
        this.#pending.push({ content, resolve, reject });
        await this.#pump();
      });
    });
  }

  /** Switches off; what is stored stays for the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    await this.#last;
    this.#drop();
    for (const { reject } of this.#pending.splice(0)) reject(ended());
  }

  /** The open exchange will not be answered: telemetry is still in its queue, a request is given back. */
  #drop(): void {
    const pending = this.#open?.pending;
    this.#open = undefined;
    pending?.reject(ended());
  }

  #event(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last
      .then(() => (this.#stopped ? undefined : work()))
      .catch((error: unknown) => this.#recover(error));
    return this.#last;
  }

  /** What is in memory may be ahead of or behind what is stored: the stored state alone counts. */
  #recover(error: unknown): void {
    const final = !isRetryable(error);
    this.#report({ kind: 'fault', error, final });
    this.#state = undefined;
    this.#drop();
    if (final) {
      this.#stopped = true;
      this.#cancelTimer();
    } else this.#wakeAfter(this.#options.rest, this.#rests++, () => this.#reload());
  }

  async #reload(): Promise<void> {
    const { store, crypto } = this.#ports;
    const stored = await store.read(sessionRecordName);
    if (stored === undefined) return this.#beginHandshake();
    const state = restoredState(crypto, stored);
    this.#state = state;
    if (state.kind === 'awaiting') return this.#sendMessage1(state, 0);
    if (state.kind === 'unconfirmed') await this.#send(state.frame, 'message-3', 0);
    return this.#pump();
  }

  async #beginHandshake(): Promise<void> {
    this.#drop();
    const state = beginHandshake(this.#ports.crypto);
    await this.#keep(state);
    await this.#sendMessage1(state, 0);
  }

  async #sendMessage1(state: Awaiting, attempt: number): Promise<void> {
    // A wake-up that was on its way while message_2 came.
    if (this.#state?.kind !== 'awaiting' || this.#state.frame !== state.frame) return undefined;
    if (attempt >= this.#options.transmissions) return this.#rest('message_1 was not answered');
    await this.#send(state.frame, 'message-1', attempt);
    const { retransmission } = this.#options;
    this.#wakeAfter(retransmission, attempt, () => this.#sendMessage1(state, attempt + 1));
    return undefined;
  }

  #rest(reason: string): void {
    this.#state = undefined;
    this.#drop();
    const pauseMs = this.#wakeAfter(this.#options.rest, this.#rests++, () =>
      this.#beginHandshake(),
    );
    this.#report({ kind: 'resting', pauseMs, reason });
  }

  async #onFrame(bytes: Uint8Array): Promise<void> {
    const frame = readOrUndefined(() => readFrame(bytes));
    if (frame?.kind === 'edhoc' && this.#state?.kind === 'awaiting') {
      await this.#onMessage2(this.#state, frame);
    } else if (frame?.kind === 'coap' && this.#open !== undefined) {
      const message = readOrUndefined(() => parseMessage(frame.message));
      if (message === undefined) this.#ignore('not a CoAP message');
      else await this.#onAnswer(this.#open, message);
    } else this.#ignore('nothing was expected, or not this');
  }

  async #onMessage2(
    state: Awaiting,
    frame: Extract<LinkFrame, { readonly kind: 'edhoc' }>,
  ): Promise<void> {
    if (!equal(frame.connectionId, state.edhoc.connectionId))
      return this.#ignore('another handshake');
    const { element, crypto } = this.#ports;
    const outcome = await takeMessage2(state, frame.message, this.#parties, element);
    if (outcome.kind === 'over') return this.#rest(outcome.refusal.reason);
    if (outcome.kind === 'ignored') {
      this.#state = { ...state, edhoc: outcome.edhoc };
      return this.#ignore(outcome.refusal.reason);
    }
    const channel = new Channel(crypto, outcome.edhoc.pendingKeys.oscoreParameters(), freshChannel);
    const unconfirmed = { ...outcome, channel };
    // A crash before this write: message_2 comes again. After it: message_3, these very bytes, goes again.
    await this.#reserve(unconfirmed, channel);
    this.#cancelTimer();
    await this.#send(outcome.frame, 'message-3', 0);
    return this.#pump();
  }

  /** Sends what waits, as far as it may go now. */
  async #pump(): Promise<void> {
    while (this.#open === undefined) {
      const state = this.#state;
      const waits = this.#queue.length + this.#pending.length > 0;
      if (!waits || state === undefined || state.kind === 'awaiting') return;
      const { channel } = state;
      const usable =
        !channel.isWearingOut && (channel.left > 0 || (await this.#reserve(state, channel)));
      if (!usable || !(await this.#sendNext(state))) return this.#beginHandshake();
    }
  }

  /** Telemetry first. False when the key may not be used any more. */
  async #sendNext({ kind, channel }: Exclude<SessionState, Awaiting>): Promise<boolean> {
    const payload = this.#queue[0];
    const pending = payload === undefined ? this.#pending[0] : undefined;
    const confirmable =
      pending !== undefined ||
      kind === 'unconfirmed' ||
      this.#sinceConfirmed + 1 >= this.#options.confirmEvery;
    const request =
      payload === undefined
        ? pending && channel.request(pending.content, true)
        : channel.telemetry(payload, confirmable);
    if (request === undefined) return false;
    if (pending !== undefined) this.#pending.shift();
    if (confirmable) {
      this.#open = { request, pending, transmissions: 0 };
      await this.#transmit(this.#open);
    } else if (payload !== undefined) {
      await this.#send(request.frame);
      this.#queue.shift();
      this.#sinceConfirmed += 1;
      this.#report({ kind: 'telemetry', payload, confirmed: false });
    }
    return true;
  }

  async #transmit(open: OpenExchange): Promise<void> {
    const state = this.#state;
    if (this.#open !== open || state === undefined || state.kind === 'awaiting') return undefined;
    if (open.transmissions >= this.#options.transmissions) {
      // The server has lost or ended the session, or never had it.
      return state.kind === 'live' ? this.#beginHandshake() : this.#rest('no answer under OSCORE');
    }
    // Whether message_3 or the request got lost cannot be known.
    if (state.kind === 'unconfirmed' && open.transmissions > 0) {
      await this.#send(state.frame, 'message-3', open.transmissions);
    }
    await this.#send(open.request.frame);
    const { retransmission } = this.#options;
    this.#wakeAfter(retransmission, open.transmissions, () => this.#transmit(open));
    open.transmissions += 1;
    return undefined;
  }

  async #onAnswer(open: OpenExchange, message: CoapMessage): Promise<void> {
    const state = this.#state;
    if (state === undefined || state.kind === 'awaiting') return;
    const answer = state.channel.answerTo(open.request, message);
    if (answer === undefined) return this.#ignore('not-an-answer');
    this.#cancelTimer();
    this.#open = undefined;
    this.#sinceConfirmed = 0;
    this.#rests = 0;
    if (state.kind === 'unconfirmed') {
      const { channel, handshakeBytes } = state;
      // RFC 9528 §5.4.2: only now is it known that the server has the keys.
      await this.#keep({ kind: 'live', session: state.edhoc.confirm(), handshakeBytes, channel });
      this.#report({ kind: 'session', handshakeBytes });
    }
    if (open.pending === undefined) this.#settleTelemetry(verdictOn(answer));
    else open.pending.resolve(answer);
    return this.#pump();
  }

  #settleTelemetry(verdict: 'accepted' | 'refused'): void {
    const payload = this.#queue.shift();
    if (verdict === 'refused') this.#report({ kind: 'telemetry-dropped', reason: 'refused' });
    else if (payload !== undefined) this.#report({ kind: 'telemetry', payload, confirmed: true });
  }

  /** RFC 8613 §B.1.1: numbers are used only after the end of their range is stored. */
  async #reserve(state: SessionState, channel: Channel): Promise<boolean> {
    const use = channel.reservation(this.#options.lookAhead);
    if (use === undefined) return false;
    await this.#keep(state, use);
    channel.confirm(use);
    return true;
  }

  async #keep(state: SessionState, use?: ChannelUse): Promise<void> {
    await this.#ports.store.commit(new Map([[sessionRecordName, storedForm(state, use)]]));
    this.#state = state;
  }

  /** A radio that fails for now is like one whose frame got lost: the timer sends again. */
  async #send(frame: Uint8Array, what?: 'message-1' | 'message-3', attempt = 0): Promise<void> {
    try {
      await this.#ports.link.send(frame);
    } catch (error) {
      if (!isRetryable(error)) throw error;
      this.#report({ kind: 'fault', error, final: false });
      return;
    }
    if (what !== undefined) this.#report({ kind: 'sent', what, attempt });
  }

  #wakeAfter(policy: RetryPolicy, attempt: number, wake: () => Promise<void>): number {
    this.#cancelTimer();
    const { timer, crypto } = this.#ports;
    const pauseMs = pauseOf(policy, attempt, crypto);
    this.#cancelTimer = timer.wakeAt(timer.nowMs() + pauseMs, () => this.#event(wake));
    return pauseMs;
  }

  #ignore(reason: string): void {
    this.#report({ kind: 'ignored', reason });
  }
}

function ended(): DeviceFault {
  return new DeviceFault('the session ended before the answer came', { retryable: true });
}

function readOrUndefined<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof MalformedError || error instanceof UnsupportedError) return undefined;
    throw error;
  }
}
