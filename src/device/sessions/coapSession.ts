/**
 * A device with IP and without TLS: EDHOC and OSCORE over CoAP (RFC 9528 Appendix A.2). message_3 travels
 * with the first request (RFC 9668). One request at a time. Keys are renewed in rising cost: KUDOS,
 * resumption, handshake; when they are old, and when the server does not know them any more.
 *
 * A context is stored only once the server has shown its keys, and its numbers are reserved before they are
 * used: what was never stored is never continued, so that no number can come twice.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { isSuccess, methods, responses } from '../../wire/coap/codes.ts';
import type { CoapContent } from '../../wire/coap/message.ts';
import { optionNumbers, text, uint, uriPath } from '../../wire/coap/options.ts';
import { carry, carryStart, coapTransfer } from '../../wire/edhoc/carriage.ts';
import { resumptionCredential } from '../../wire/edhoc/psk.ts';
import type { EdhocSession } from '../../wire/edhoc/session.ts';
import { parseError } from '../../wire/edhoc/refusal.ts';
import type { ContextMaterial } from '../../wire/oscore/contextUpdate.ts';
import { answerChallenge } from '../../wire/oscore/echo.ts';
import { combineRequest, refuseCombination } from '../../wire/oscore/edhocRequest.ts';
import { telemetryPath } from '../../wire/relay/rawLink.ts';
import type { CoapLink } from '../ports/coap.ts';
import { DeviceFault } from '../ports/faults.ts';
import type { Timer } from '../ports/timer.ts';
import { Channel, type ChannelUse, freshChannel } from './channel.ts';
import {
  CoapHandshakes,
  handshakeDefaults,
  type Handshaken,
  type HandshakeOptions,
  type HandshakePorts,
  isAgreeForm,
} from './coapHandshake.ts';
import { updateByKudos } from './coapKudos.ts';
import { type CoapKeys, CoapMemory, type CoapRemembered } from './coapMemory.ts';
import { HandshakeRefused } from './handshake.ts';
import type { Resumption } from './memory.ts';
import {
  isDue,
  nextStep,
  renewalDefaults,
  type RenewalPolicy,
  type RenewalStep,
} from './renewal.ts';

/** `store` is a sealed one: see `device/storage`. */
export interface CoapSessionPorts extends HandshakePorts {
  readonly link: CoapLink;
  readonly timer: Pick<Timer, 'nowMs'>;
}

export interface CoapSessionOptions extends HandshakeOptions, RenewalPolicy {
  /** Sequence numbers that one write to the store reserves; as many are skipped at a loss of power. */
  readonly lookAhead: number;
  /** MAX_UNFRAGMENTED_SIZE of the path (RFC 9668 §3.2.2): beyond it message_3 goes alone. */
  readonly maximumPayloadBytes: number;
  /** After a renewal that came to nothing while the keys were still good. */
  readonly renewalPauseMs: number;
}

export const coapSessionDefaults: CoapSessionOptions = {
  ...handshakeDefaults,
  ...renewalDefaults,
  lookAhead: 32,
  maximumPayloadBytes: 1024,
  renewalPauseMs: 3_600_000,
};

export type CoapSessionEvent =
  | {
      readonly kind: 'session';
      readonly handshakeBytes: readonly number[];
      readonly resumed: boolean;
    }
  /** By KUDOS; so many times since the handshake. */
  | { readonly kind: 'keys-updated'; readonly updates: number }
  | { readonly kind: 'renewal-failed'; readonly by: RenewalStep; readonly reason: string };

export class CoapSession {
  readonly #ports: CoapSessionPorts;
  readonly #options: CoapSessionOptions;
  readonly #handshakes: CoapHandshakes;
  readonly #memory: CoapMemory;
  readonly #report: (event: CoapSessionEvent) => void;
  #keys: CoapKeys | undefined;
  #resumption: Resumption | undefined;
  /** From which a device that cannot write begins KUDOS: the keys of its handshake. */
  #bootstrap: ContextMaterial | undefined;
  #isStored: boolean;
  #keysSinceMs: number;
  /** Of the handshake that these keys came from; not kept across a loss of power, nor beyond KUDOS. */
  #handshake: EdhocSession | undefined;
  #renewNotBeforeMs = 0;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    ports: CoapSessionPorts,
    options: CoapSessionOptions,
    parts: {
      readonly handshakes: CoapHandshakes;
      readonly memory: CoapMemory;
      readonly remembered: CoapRemembered;
    },
    report: (event: CoapSessionEvent) => void,
  ) {
    const { keys, resumption } = parts.remembered;
    this.#ports = ports;
    this.#options = options;
    this.#handshakes = parts.handshakes;
    this.#memory = parts.memory;
    this.#report = report;
    this.#keys = keys;
    this.#resumption = resumption;
    this.#bootstrap = options.kudos === 'part' ? keys?.material : undefined;
    this.#isStored = keys !== undefined;
    this.#keysSinceMs = ports.timer.nowMs();
  }

  /**
   * Goes on in the stored session, if there is one; a handshake begins with the first request. Rejects with
   * a `DeviceFault` when the element was not personalized for sessions.
   */
  static async open(
    ports: CoapSessionPorts,
    report: (event: CoapSessionEvent) => void = () => undefined,
    options: Partial<CoapSessionOptions> = {},
  ): Promise<CoapSession> {
    const all = { ...coapSessionDefaults, ...options };
    const isPlain = isAgreeForm(all.showAs) && all.trust === 'pinned' && all.kudos !== 'part';
    if (all.flow === 'reverse' && !isPlain) {
      throw new TypeError('the reverse flow is by agree key, pinned, and for devices that write');
    }
    const handshakes = await CoapHandshakes.open(ports, all);
    const memory = new CoapMemory(ports.store, ports.crypto);
    const remembered = await memory.read();
    return new CoapSession(ports, all, { handshakes, memory, remembered }, report);
  }

  /**
   * The authentic answer to a request. A session that the server does not know any more is replaced by
   * another one, once. Rejects with a `DeviceFault` when none comes about, and with what the ports reject with.
   */
  exchange(request: CoapContent): Promise<CoapContent> {
    const answer = this.#last.then(() => this.#exchange(request));
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  /** EDHOC_Exporter of the present keys; `undefined` where nothing is left of their handshake. */
  get exporter(): EdhocSession['exporter'] | undefined {
    const session = this.#keys === undefined ? undefined : this.#handshake;
    return session?.exporter.bind(session);
  }

  /** Resolves when the server has it. Rejects with a `DeviceFault`, also when the server refuses it. */
  async telemetry(payload: Uint8Array): Promise<void> {
    const options = [text(optionNumbers.uriPath, telemetryPath)];
    const { code } = await this.exchange({ code: methods.post, options, payload });
    if (!isSuccess(code)) throw new DeviceFault('telemetry was refused', { retryable: false });
  }

  async #exchange(request: CoapContent): Promise<CoapContent> {
    const present = this.#keys;
    if (present === undefined) return this.#askAnew(request);
    const step = this.#dueStep(present);
    if (step === 'resumption' || step === 'handshake') {
      const answer = await this.#askRenewed(present, request);
      if (answer !== undefined) return answer;
    }
    const mustUpdate = present.updating || step === 'update';
    const keys = mustUpdate ? await this.#update(present) : present;
    const answer = keys === undefined ? undefined : await this.#ask(keys, request);
    if (answer !== undefined) return answer;
    // Nothing that proves anything: the server lost these keys, or somebody plays with us. In either case
    // other keys are all that can be done, the cheapest first.
    const updated = mustUpdate ? undefined : await this.#update(present);
    const again = updated === undefined ? undefined : await this.#ask(updated, request);
    return again ?? this.#askAnew(request);
  }

  #dueStep({ updates, updating, channel }: CoapKeys): RenewalStep | undefined {
    const nowMs = this.#ports.timer.nowMs();
    if (updating || nowMs < this.#renewNotBeforeMs) return undefined;
    const { nextNumber, isWearingOut } = channel;
    const age = { nextNumber, isWearingOut, ageMs: nowMs - this.#keysSinceMs };
    if (!isDue(this.#options, age)) return undefined;
    return nextStep(this.#options, this.#canUpdate ? updates : undefined, this.#resumption?.uses);
  }

  get #canUpdate(): boolean {
    const { kudos } = this.#options;
    return kudos === 'full' || (kudos === 'part' && this.#bootstrap !== undefined);
  }

  /** `undefined` when the keys are of no use any more. */
  async #ask(keys: CoapKeys, request: CoapContent): Promise<CoapContent | undefined> {
    const answer = await this.#askOnce(keys, request);
    // RFC 8613 §B.1.2: a server that was put back asks for a sign that this is new.
    const again = answer === undefined ? undefined : answerChallenge(request, answer);
    return again === undefined ? answer : this.#askOnce(keys, again);
  }

  async #askOnce(keys: CoapKeys, request: CoapContent): Promise<CoapContent | undefined> {
    const { channel } = keys;
    const usable = !channel.isWearingOut && (channel.left > 0 || (await this.#reserve(keys)));
    const protectedRequest = usable ? channel.protect(request) : undefined;
    if (protectedRequest === undefined) return undefined;
    const response = await this.#ports.link.request(protectedRequest.message);
    const answer = channel.open(protectedRequest.exchange, response);
    if (answer === undefined) refuseTrouble(response);
    return answer;
  }

  /**
   * One run of KUDOS. From the first write on the old keys send nothing but such runs: whether the server has
   * the new ones is known only when it has answered. A crash before it: nothing has changed. After it, before
   * the second: another run with another nonce, from the same keys. After the second: the old keys are gone.
   */
  async #update(present: CoapKeys): Promise<CoapKeys | undefined> {
    if (!this.#canUpdate) return undefined;
    const { crypto, link } = this.#ports;
    const updating = { ...present, updating: true };
    if (!present.updating) {
      await this.#keep(updating, present.channel.use);
      this.#keys = updating;
    }
    const from = this.#bootstrap ?? present.material;
    const { kudos } = this.#options;
    const material = await updateByKudos({ crypto, link }, kudos, from, refuseTrouble);
    if (material === undefined) {
      this.#report({ kind: 'renewal-failed', by: 'update', reason: 'the server did not follow' });
      return undefined;
    }
    const updates = present.updates + 1;
    const channel = new Channel(crypto, material, freshChannel);
    const keys = { material, updates, updating: false, channel };
    if (!(await this.#reserve(keys))) return undefined;
    this.#keys = keys;
    this.#handshake = undefined;
    this.#keysSinceMs = this.#ports.timer.nowMs();
    this.#report({ kind: 'keys-updated', updates });
    return keys;
  }

  /** The keys are old but good: `undefined` when no other ones came about, and these were not left. */
  async #askRenewed(present: CoapKeys, request: CoapContent): Promise<CoapContent | undefined> {
    try {
      return await this.#askAnew(request);
    } catch (error) {
      if (!(error instanceof DeviceFault) || !error.retryable) throw error;
      // Left for none, or in the reverse flow for others: who goes on with them looks like a clone.
      if (this.#keys !== present) throw error;
      this.#renewNotBeforeMs = this.#ports.timer.nowMs() + this.#options.renewalPauseMs;
      this.#report({ kind: 'renewal-failed', by: 'handshake', reason: error.message });
      return undefined;
    }
  }

  /** With other keys: by resumption while that is allowed, and by a handshake. */
  async #askAnew(request: CoapContent): Promise<CoapContent> {
    const resumption = this.#resumption;
    if (nextStep(this.#options, undefined, resumption?.uses) === 'resumption' && resumption) {
      try {
        const handshaken = await this.#handshakes.resume(this.#transport, resumption.psk);
        const answer = await this.#establish(handshaken, request);
        if (answer !== 'unknown-credential') return answer;
      } catch (error) {
        if (!(error instanceof HandshakeRefused)) throw error;
        this.#report({ kind: 'renewal-failed', by: 'resumption', reason: error.message });
      }
    }
    if (this.#options.flow === 'reverse') return this.#askReversed(request);
    const first = await this.#establish(
      await this.#handshakes.run(this.#transport, false),
      request,
    );
    if (first !== 'unknown-credential') return first;
    // RFC 9528 §6.4: by its hash our certificate was not known.
    const second = await this.#establish(
      await this.#handshakes.run(this.#transport, true),
      request,
    );
    if (second === 'unknown-credential') throw new HandshakeRefused('the server does not know us');
    return second;
  }

  /** The server begins; its message_3 completes the session, and the first request shows it that it did. */
  async #askReversed(request: CoapContent): Promise<CoapContent> {
    const { crypto, timer } = this.#ports;
    const { session, handshakeBytes } = await this.#handshakes.answer((payload) =>
      this.#post(payload),
    );
    const material = session.oscoreParameters();
    const channel = new Channel(crypto, material, freshChannel);
    const keys = { material, updates: 0, updating: false, channel };
    // A crash before this write: the keys before. After it: these, whether or not the server was told.
    if (!(await this.#reserve(keys))) throw new HandshakeRefused('no sequence numbers');
    this.#keys = keys;
    this.#handshake = session;
    this.#keysSinceMs = timer.nowMs();
    const answer = await this.#ask(keys, request);
    if (answer === undefined) throw new HandshakeRefused('the server refused the handshake');
    const psk = resumptionCredential(crypto, session, { initiates: true });
    this.#resumption = { psk, uses: 0 };
    await this.#memory.keepResumption(this.#resumption);
    this.#report({ kind: 'session', handshakeBytes, resumed: false });
    return answer;
  }

  readonly #transport = {
    first: (message1: Uint8Array): Promise<Uint8Array> => this.#post(carryStart(message1)),
  };

  async #post(payload: Uint8Array): Promise<Uint8Array> {
    const response = await this.#ports.link.request(edhocRequest(payload));
    if (response.code !== responses.changed) throw refusedHandshake(response);
    return response.payload;
  }

  async #establish(
    handshaken: Handshaken,
    request: CoapContent,
  ): Promise<CoapContent | 'unknown-credential'> {
    const { edhoc, handshakeBytes, resumed, hasBootstrap, finished } = handshaken;
    const { crypto, timer } = this.#ports;
    const material = edhoc.pendingKeys.oscoreParameters();
    const channel = new Channel(crypto, material, freshChannel);
    // Never stored in this state: a loss of power ends the handshake and its numbers with it.
    const use = channel.reservation(this.#options.lookAhead);
    if (use === undefined) throw new DeviceFault('no sequence numbers', { retryable: false });
    channel.confirm(use);
    // From message_3 on the server may have left the keys before: who uses them then looks like a clone.
    await this.#leaveKeys();
    const answer = await this.#first(handshaken, channel, request);
    if (answer === 'unknown-credential') return answer;
    // RFC 9528 §5.4.2: only now is it known that the server has the keys.
    const session = edhoc.confirm();
    const psk = resumptionCredential(crypto, session);
    const resumption = { psk, uses: resumed ? (this.#resumption?.uses ?? 0) + 1 : 0 };
    const keys = { material, updates: 0, updating: false, channel };
    this.#bootstrap = this.#options.kudos === 'part' && hasBootstrap ? material : undefined;
    // A crash between the two costs the session, and not the floor that its server has shown.
    await finished();
    await this.#keepNew(keys, resumption);
    this.#keys = keys;
    this.#handshake = session;
    this.#resumption = resumption;
    this.#keysSinceMs = timer.nowMs();
    this.#report({ kind: 'session', handshakeBytes, resumed });
    return answer;
  }

  /** message_3 with the first request, or in front of it. */
  async #first(
    { message3, connectionId, shownByHash }: Handshaken,
    channel: Channel,
    request: CoapContent,
  ): Promise<CoapContent | 'unknown-credential'> {
    const { link } = this.#ports;
    const protectedRequest = channel.protect(request);
    if (protectedRequest === undefined) {
      throw new DeviceFault('the request is too long', { retryable: false });
    }
    const { message, exchange } = protectedRequest;
    const combined =
      refuseCombination(request) === undefined
        ? combineRequest(request, message, message3, this.#options)
        : undefined;
    let response: CoapContent;
    if (combined === undefined || 'refused' in combined) {
      response = await link.request(edhocRequest(carry(connectionId, message3)));
      if (isSuccess(response.code)) response = await link.request(message);
    } else response = await link.request(combined);
    const answer = channel.open(exchange, response);
    if (answer !== undefined) return answer;
    if (shownByHash && isUnknownCredential(response)) return 'unknown-credential';
    throw refusedHandshake(response);
  }

  async #reserve(keys: CoapKeys): Promise<boolean> {
    const use = keys.channel.reservation(this.#options.lookAhead);
    if (use === undefined) return false;
    await this.#keep(keys, use);
    keys.channel.confirm(use);
    return true;
  }

  /** A device that writes at handshakes alone forgets this with its power, and begins with KUDOS. */
  async #keep(keys: CoapKeys, use: ChannelUse): Promise<void> {
    if (this.#options.kudos === 'part') return;
    await this.#memory.keep(keys, use);
    this.#isStored = true;
  }

  async #keepNew(keys: CoapKeys, resumption: Resumption): Promise<void> {
    const isPart = this.#options.kudos === 'part';
    if (isPart && this.#bootstrap === undefined) return this.#memory.keepResumption(resumption);
    // After a start these keys are what KUDOS begins from, and nothing else.
    const stored = isPart ? { ...keys, updating: true } : keys;
    await this.#memory.keepBoth(stored, keys.channel.use, resumption);
    this.#isStored = true;
    return undefined;
  }

  async #leaveKeys(): Promise<void> {
    this.#keys = undefined;
    if (!this.#isStored) return;
    await this.#memory.forgetKeys();
    this.#isStored = false;
  }
}

/** Error 3; unauthenticated, so that it may cost another handshake and nothing else. */
function isUnknownCredential({ code, payload }: CoapContent): boolean {
  if (code !== responses.badRequest) return false;
  try {
    return parseError(payload).code === 3;
  } catch (error) {
    if (error instanceof MalformedError) return false;
    throw error;
  }
}

function edhocRequest(payload: Uint8Array): CoapContent {
  const path = uriPath(coapTransfer.wellKnownPath.join('/'));
  const format = uint(optionNumbers.contentFormat, coapTransfer.prependedFormat);
  // RFC 9528 Appendix A.2.2: what triggers the reverse flow is empty, and so has no format.
  const options = payload.length === 0 ? path : [...path, format];
  return { code: methods.post, options, payload };
}

/** 5.03 is worth patience, and nothing else says anything about who we talk to. */
function refuseTrouble(response: CoapContent): void {
  if (response.code !== responses.serviceUnavailable) return;
  throw new DeviceFault('the server has no time', { retryable: true });
}

function refusedHandshake(response: CoapContent): DeviceFault {
  refuseTrouble(response);
  return new HandshakeRefused('the server refused the handshake');
}
