/**
 * A sensor without IP, from first power-on to telemetry: handshake, session, retransmission, and what of
 * it survives a loss of power. One event at a time: a frame, a timer or a new payload is dealt with to its
 * end before the next. Nothing leaves before what it rests on is stored.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import { type CoapContent, type CoapMessage, parseMessage } from '../../wire/coap/message.ts';
import type { AgreeCredential } from '../../wire/edhoc/agreeCredential.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import { answerChallenge } from '../../wire/oscore/echo.ts';
import { type LinkFrame, readFrame } from '../../wire/relay/frame.ts';
import { epochContext, telemetryOverheadBytes } from '../../wire/relay/rawLink.ts';
import { isRetryable } from '../ports/faults.ts';
import { pauseOf, type RetryPolicy } from '../ports/retry.ts';
import {
  Channel,
  type ChannelUse,
  freshChannel,
  type OpenRequest,
  telemetryRequest,
  verdictOn,
} from './channel.ts';
import { type Awaiting, beginHandshake, readOwn, type Resuming, takeAnswer } from './handshake.ts';
import { type Resumption, SessionMemory } from './memory.ts';
import { Outbox, sessionEnded, type Waiting, type WaitingRequest } from './outbox.ts';
import { isDue, nextStep, type RenewalStep } from './renewal.ts';
import { readOrUndefined } from './reading.ts';
import {
  sensorDefaults,
  type SensorEvent,
  type SensorOptions,
  type SensorPorts,
} from './sensorOptions.ts';
import {
  hasKeys,
  type LiveSession,
  type OpenSession,
  type SessionState,
  type UnconfirmedSession,
} from './sessionState.ts';

interface OpenExchange {
  readonly request: OpenRequest;
  /** Absent for telemetry, which stands in front of its queue. */
  readonly pending: WaitingRequest | undefined;
  /** The request in clear, for when the server wants it again with proof that it is new. */
  readonly content: CoapContent;
  readonly challenged: boolean;
  /** It carries the answer to a challenge and no telemetry. */
  readonly isProbe: boolean;
  transmissions: number;
}

export class NonIpSensor {
  readonly #ports: SensorPorts;
  readonly #options: SensorOptions;
  readonly #own: AgreeCredential;
  readonly #report: (event: SensorEvent) => void;
  readonly #memory: SessionMemory;
  #state: SessionState | undefined;
  #standby: LiveSession | undefined;
  #resumption: Resumption | undefined;
  /** Whether the server has answered under the present keys since the sensor was switched on. */
  #proven = false;
  #keysSinceMs = 0;
  /** After a renewal that was not answered: not again before this time. */
  #renewNotBeforeMs = 0;
  #open: OpenExchange | undefined;
  readonly #outbox: Outbox;
  #sinceConfirmed = 0;
  #rests = 0;
  #cancelTimer: () => void = () => undefined;
  #last: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(
    ports: SensorPorts,
    options: SensorOptions,
    own: AgreeCredential,
    report: (event: SensorEvent) => void,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#own = own;
    this.#report = report;
    this.#outbox = new Outbox(options.maximumQueued);
    this.#memory = new SessionMemory(ports.store, ports.crypto, ports.resumption);
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
    const own = await readOwn(ports.element, ports.crypto);
    const sensor = new NonIpSensor(ports, { ...sensorDefaults, ...options }, own, report);
    ports.link.onFrame((frame) => sensor.#event(() => sensor.#onFrame(frame)));
    await sensor.#event(() => sensor.#reload());
    return sensor;
  }

  /** Longest payload that fits a frame of this link. */
  get maximumPayloadBytes(): number {
    return this.#ports.link.maximumFrameBytes - telemetryOverheadBytes;
  }

  /** Of the session that the server has confirmed; `undefined` before. */
  get exporter(): EdhocSession['exporter'] | undefined {
    const session = this.#state?.kind === 'live' ? this.#state.session : undefined;
    return session?.exporter.bind(session);
  }

  /** Queues telemetry; events tell what becomes of it. Throws a `TypeError` when it does not fit a frame. */
  submit(payload: Uint8Array): Promise<void> {
    if (payload.length === 0 || payload.length > this.maximumPayloadBytes) {
      throw new TypeError(`a payload has 1 to ${this.maximumPayloadBytes} bytes`);
    }
    return this.#event(async () => {
      // The first one is under way while its exchange is open.
      const isUnderWay = this.#open !== undefined && this.#open.pending === undefined;
      if (!this.#outbox.addTelemetry(payload, isUnderWay)) {
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
      if (this.#stopped) return reject(sessionEnded());
      return void this.#event(async () => {
        this.#outbox.addRequest({ content, resolve, reject });
        await this.#pump();
      });
    });
  }

  /** Switches off; what is stored stays for the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#last;
    this.#cancelTimer();
    this.#drop();
    this.#outbox.end();
  }

  /** The open exchange will not be answered: telemetry is still in its queue, a request is given back. */
  #drop(): void {
    const pending = this.#open?.pending;
    this.#open = undefined;
    pending?.reject(sessionEnded());
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
    const { state, standby, resumption } = await this.#memory.read();
    this.#standby = standby;
    this.#resumption = resumption;
    if (state === undefined) return this.#beginHandshake();
    this.#state = state;
    this.#proven = false;
    this.#keysSinceMs = this.#ports.timer.nowMs();
    if (!hasKeys(state)) return this.#sendMessage1(state, 0);
    if (state.kind === 'unconfirmed') await this.#send(state.frame, 'message-3', 0);
    return this.#pump();
  }

  /** By resumption while that is allowed; `standby` is what to go back to when nobody answers. */
  async #beginHandshake(
    standby?: LiveSession,
    uses: number | undefined = this.#resumption?.uses,
  ): Promise<void> {
    this.#drop();
    const { crypto, resumption, trust } = this.#ports;
    this.#standby = standby;
    const step = nextStep(this.#options, undefined, uses);
    const resuming = step === 'resumption' ? resumption?.begin(crypto) : undefined;
    const state = resuming ?? beginHandshake(crypto, await trust.request());
    await this.#keep(state);
    await this.#sendMessage1(state, 0);
  }

  async #sendMessage1(state: Awaiting | Resuming, attempt: number): Promise<void> {
    // A wake-up that was on its way while message_2 came.
    const present = this.#state;
    if (present === undefined || hasKeys(present) || present.frame !== state.frame) return;
    const { retransmission, transmissions, resumptionTransmissions } = this.#options;
    const most = state.kind === 'resuming' ? resumptionTransmissions : transmissions;
    if (attempt >= most) return this.#giveUp(state, 'message_1 was not answered');
    await this.#send(state.frame, 'message-1', attempt);
    this.#wakeAfter(retransmission, attempt, () => this.#sendMessage1(state, attempt + 1));
  }

  /** What failed with a resumption key is tried with the long-term keys; what failed with those, later. */
  async #giveUp(state: SessionState, reason: string): Promise<void> {
    const standby = this.#standby;
    const wasResumption =
      state.kind === 'resuming' || (state.kind === 'unconfirmed' && state.resumed);
    if (wasResumption) {
      this.#report({ kind: 'renewal-failed', by: 'resumption', reason });
      return this.#beginHandshake(standby, Number.POSITIVE_INFINITY);
    }
    if (standby === undefined) return this.#rest(reason);
    this.#report({ kind: 'renewal-failed', by: 'handshake', reason });
    this.#cancelTimer();
    this.#standby = undefined;
    await this.#keep(standby);
    const { timer } = this.#ports;
    this.#renewNotBeforeMs = timer.nowMs() + this.#options.rest.longestMs;
    return this.#pump();
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
    const state = this.#state;
    if (frame?.kind === 'edhoc' && state !== undefined && !hasKeys(state)) {
      await this.#onMessage2(state, frame);
    } else if (frame?.kind === 'coap' && this.#open !== undefined) {
      const message = readOrUndefined(() => parseMessage(frame.message));
      if (message === undefined) this.#ignore('not a CoAP message');
      else await this.#onAnswer(this.#open, message);
    } else this.#ignore('nothing was expected, or not this');
  }

  async #onMessage2(
    state: Awaiting | Resuming,
    frame: Extract<LinkFrame, { readonly kind: 'edhoc' }>,
  ): Promise<void> {
    if (!equal(frame.connectionId, state.edhoc.connectionId))
      return this.#ignore('another handshake');
    const { element, resumption, trust } = this.#ports;
    const psk = this.#resumption?.psk;
    const held = { own: this.#own, element, trust, resumption, psk };
    const outcome = await takeAnswer(state, frame.message, held);
    if (outcome.kind === 'over') return this.#giveUp(state, outcome.refusal.reason);
    if (outcome.kind === 'ignored') {
      this.#state = outcome.waiting;
      return this.#ignore(outcome.refusal.reason);
    }
    const keys = outcome.edhoc.pendingKeys.oscoreParameters();
    const channel = new Channel(this.#ports.crypto, keys, freshChannel);
    // From message_3 on the server may have left the old session: there is no way back to it.
    this.#standby = undefined;
    // A crash before this write: message_2 comes again. After it: message_3, these very bytes, goes again.
    await this.#reserve({ ...outcome, channel }, channel);
    this.#cancelTimer();
    await this.#send(outcome.frame, 'message-3', 0);
    return this.#pump();
  }

  /** Sends what waits, as far as it may go now. */
  async #pump(): Promise<void> {
    while (this.#open === undefined) {
      const state = this.#state;
      const next = this.#outbox.next;
      if (next === undefined || !hasKeys(state)) return;
      const step = this.#dueStep(state);
      if (state.kind === 'live' && step !== undefined && step !== 'update') {
        return this.#beginHandshake(state);
      }
      if (state.kind === 'live' && step === 'update' && this.#isSettled) {
        await this.#updateKeys(state);
        continue;
      }
      const { channel } = state;
      const usable =
        !channel.isWearingOut && (channel.left > 0 || (await this.#reserve(state, channel)));
      const mustConfirm = step === 'update' || (this.#isUnproven(state) && !this.#proven);
      if (!usable || !(await this.#sendNext(state, next, mustConfirm))) {
        return this.#beginHandshake();
      }
    }
  }

  /**
   * The server has answered the latest message under these keys: it has them, since it follows by one epoch
   * at a time, and nothing under them is still on its way, which would look like a clone's.
   */
  get #isSettled(): boolean {
    return this.#proven && this.#sinceConfirmed === 0;
  }

  #isUnproven(state: OpenSession): boolean {
    return state.kind === 'unconfirmed' || state.session.epoch > 0;
  }

  #dueStep(state: OpenSession): RenewalStep | undefined {
    if (state.kind !== 'live' || !this.#isRenewalDue(state)) return undefined;
    return nextStep(this.#options, state.session.epoch, this.#resumption?.uses);
  }

  #isRenewalDue({ channel }: LiveSession): boolean {
    const nowMs = this.#ports.timer.nowMs();
    if (nowMs < this.#renewNotBeforeMs) return false;
    const { nextNumber, isWearingOut } = channel;
    return isDue(this.#options, { nextNumber, isWearingOut, ageMs: nowMs - this.#keysSinceMs });
  }

  async #updateKeys(state: LiveSession): Promise<void> {
    const { session } = state;
    const updated = session.keyUpdate(epochContext(session.epoch + 1));
    const channel = new Channel(this.#ports.crypto, updated.oscoreParameters(), freshChannel);
    // A crash before this write: nothing has changed. After it: the old keys are gone, and the server
    // follows with the first message.
    await this.#reserve({ ...state, session: updated, channel }, channel);
    this.#proven = false;
    this.#keysSinceMs = this.#ports.timer.nowMs();
  }

  /** False when the key may not be used any more. */
  async #sendNext({ channel }: OpenSession, next: Waiting, mustConfirm: boolean): Promise<boolean> {
    const { confirmEvery } = this.#options;
    const pending = next.kind === 'request' ? next.request : undefined;
    const confirmable =
      pending !== undefined || mustConfirm || this.#sinceConfirmed + 1 >= confirmEvery;
    const content =
      next.kind === 'request' ? next.request.content : telemetryRequest(next.payload, confirmable);
    const request = channel.request(content, confirmable);
    if (request === undefined) return false;
    if (next.kind === 'request') this.#outbox.takeRequest();
    if (confirmable || next.kind === 'request') {
      const open = { request, pending, content, challenged: false, isProbe: false };
      this.#open = { ...open, transmissions: 0 };
      await this.#transmit(this.#open);
      return true;
    }
    await this.#send(request.frame);
    this.#outbox.takeTelemetry();
    this.#sinceConfirmed += 1;
    this.#report({ kind: 'telemetry', payload: next.payload, confirmed: false });
    return true;
  }

  async #transmit(open: OpenExchange): Promise<void> {
    const state = this.#state;
    if (this.#open !== open || !hasKeys(state)) return undefined;
    if (open.transmissions >= this.#options.transmissions) {
      // The server has lost or ended the session, or never had it.
      const reason = 'no answer under OSCORE';
      return state.kind === 'live' ? this.#beginHandshake() : this.#giveUp(state, reason);
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
    if (!hasKeys(state)) return;
    const answer = state.channel.answerTo(open.request, message);
    if (answer === undefined) return this.#ignore('not-an-answer');
    this.#cancelTimer();
    this.#open = undefined;
    this.#sinceConfirmed = 0;
    this.#rests = 0;
    if (state.kind === 'unconfirmed') await this.#confirm(state);
    else if (!this.#proven && state.session.epoch > 0) {
      this.#report({ kind: 'keys-updated', epoch: state.session.epoch });
    }
    this.#proven = true;
    if (await this.#answerChallenge(state, open, answer)) return undefined;
    if (open.pending !== undefined) open.pending.resolve(answer);
    else if (!open.isProbe) this.#settleTelemetry(verdictOn(answer));
    return this.#pump();
  }

  /** RFC 9528 §5.4.2: only now is it known that the server has the keys. */
  async #confirm({ edhoc, channel, handshakeBytes, resumed }: UnconfirmedSession): Promise<void> {
    // A crash after this write: it is done once more, and changes nothing.
    if (!resumed) await this.#ports.trust.finished();
    const session = edhoc.confirm();
    // The key that led here is of no use any more: the server has derived the next one.
    const psk = this.#ports.resumption?.keyOf(this.#ports.crypto, session);
    const uses = resumed ? (this.#resumption?.uses ?? 0) + 1 : 0;
    this.#resumption = psk && { psk, uses };
    await this.#keep({ kind: 'live', session, handshakeBytes, channel });
    this.#keysSinceMs = this.#ports.timer.nowMs();
    this.#report({ kind: 'session', handshakeBytes, resumed });
  }

  /**
   * RFC 8613 §B.1.2: a server that lost its window asks for a sign that a request is new. Where the request
   * and the sign do not fit one frame, the sign goes alone, and the telemetry after it. True when on its way.
   */
  async #answerChallenge(
    state: OpenSession,
    open: OpenExchange,
    answer: CoapContent,
  ): Promise<boolean> {
    const again = open.challenged ? undefined : answerChallenge(open.content, answer);
    if (again === undefined) return false;
    const { channel } = state;
    const isProbe = open.pending === undefined;
    const content = isProbe ? { ...again, payload: empty } : again;
    const usable = channel.left > 0 || (await this.#reserve(state, channel));
    const request = usable ? channel.request(content, true) : undefined;
    if (request === undefined) return false;
    const { pending } = open;
    this.#open = { request, pending, content, challenged: true, isProbe, transmissions: 0 };
    await this.#transmit(this.#open);
    return true;
  }

  #settleTelemetry(verdict: 'accepted' | 'refused'): void {
    const payload = this.#outbox.takeTelemetry();
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
    const standby = this.#standby;
    const resumption = this.#resumption;
    await this.#memory.keep({ state, standby, resumption }, use);
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
