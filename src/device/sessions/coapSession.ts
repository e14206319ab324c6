/**
 * A device with IP and without TLS: EDHOC and OSCORE over CoAP (RFC 9528 Appendix A.2). message_3 travels
 * with the first request (RFC 9668). One request at a time. A context is stored only once the server has
 * shown its keys, and its numbers are reserved before they are used: what was never stored is never
 * continued, so that no number can come twice.
 */
import { isSuccess, methods, responses } from '../../wire/coap/codes.ts';
import type { CoapContent } from '../../wire/coap/message.ts';
import { optionNumbers, text, uint, uriPath } from '../../wire/coap/options.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { carry, carryStart, coapTransfer } from '../../wire/edhoc/carriage.ts';
import { combineRequest, refuseCombination } from '../../wire/oscore/edhocRequest.ts';
import { readFrame } from '../../wire/relay/frame.ts';
import { telemetryPath } from '../../wire/relay/rawLink.ts';
import type { CoapLink } from '../ports/coap.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import type { DeviceElement } from '../ports/element.ts';
import { DeviceFault } from '../ports/faults.ts';
import { Channel, freshChannel } from './channel.ts';
import {
  beginHandshake,
  type Parties,
  readParties,
  takeMessage2,
  type Unconfirmed,
} from './handshake.ts';
import { sessionRecordName } from './record.ts';
import {
  type LiveSession,
  restoredState,
  storedForm,
  type UnconfirmedSession,
} from './sessionState.ts';

export interface CoapSessionPorts {
  readonly element: DeviceElement;
  readonly link: CoapLink;
  /** A sealed one: see `device/storage`. */
  readonly store: DeviceStore;
  readonly crypto: Crypto;
}

export interface CoapSessionOptions {
  /** Sequence numbers that one write to the store reserves; as many are skipped at a loss of power. */
  readonly lookAhead: number;
  /** MAX_UNFRAGMENTED_SIZE of the path (RFC 9668 §3.2.2): beyond it message_3 goes alone. */
  readonly maximumPayloadBytes: number;
}

export const coapSessionDefaults: CoapSessionOptions = {
  lookAhead: 32,
  maximumPayloadBytes: 1024,
};

export class CoapSession {
  readonly #ports: CoapSessionPorts;
  readonly #options: CoapSessionOptions;
  readonly #parties: Parties;
  readonly #onSession: (handshakeBytes: readonly number[]) => void;
  #session: LiveSession | undefined;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    ports: CoapSessionPorts,
    options: CoapSessionOptions,
    parties: Parties,
    onSession: (handshakeBytes: readonly number[]) => void,
  ) {
    this.#ports = ports;
    this.#options = options;
    this.#parties = parties;
    this.#onSession = onSession;
  }

  /** Goes on in the stored session, if there is one; a handshake begins with the first request. */
  static async open(
    ports: CoapSessionPorts,
    onSession: (handshakeBytes: readonly number[]) => void = () => undefined,
    options: Partial<CoapSessionOptions> = {},
  ): Promise<CoapSession> {
    const { element, crypto, store } = ports;
    const parties = await readParties(element, crypto);
    const settings = { ...coapSessionDefaults, ...options };
    const session = new CoapSession(ports, settings, parties, onSession);
    const stored = await store.read(sessionRecordName);
    const state = stored === undefined ? undefined : restoredState(crypto, stored);
    session.#session = state?.kind === 'live' ? state : undefined;
    return session;
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

  /** Resolves when the server has it. Rejects with a `DeviceFault`, also when the server refuses it. */
  async telemetry(payload: Uint8Array): Promise<void> {
    const options = [text(optionNumbers.uriPath, telemetryPath)];
    const { code } = await this.exchange({ code: methods.post, options, payload });
    if (!isSuccess(code)) throw new DeviceFault('telemetry was refused', { retryable: false });
  }

  async #exchange(request: CoapContent): Promise<CoapContent> {
    const present = this.#session;
    const answer = present === undefined ? undefined : await this.#ask(present, request);
    return answer ?? this.#askAnew(request);
  }

  /** `undefined` when the session is of no use any more. */
  async #ask(session: LiveSession, request: CoapContent): Promise<CoapContent | undefined> {
    const { channel } = session;
    const usable = !channel.isWearingOut && (channel.left > 0 || (await this.#reserve(session)));
    const protectedRequest = usable ? channel.protect(request) : undefined;
    const response =
      protectedRequest === undefined
        ? undefined
        : await this.#ports.link.request(protectedRequest.message);
    const answer =
      protectedRequest === undefined || response === undefined
        ? undefined
        : channel.open(protectedRequest.exchange, response);
    // A response that proves nothing: the server lost the session, or somebody plays with us. In either
    // case another handshake is all that can be done.
    if (answer === undefined && response !== undefined) refuseTrouble(response);
    return answer;
  }

  async #askAnew(request: CoapContent): Promise<CoapContent> {
    this.#session = undefined;
    const unconfirmed = await this.#handshake();
    const channel = new Channel(
      this.#ports.crypto,
      unconfirmed.edhoc.pendingKeys.oscoreParameters(),
      freshChannel,
    );
    // Never stored in this state: a loss of power ends the handshake and its numbers with it.
    const use = channel.reservation(this.#options.lookAhead);
    if (use === undefined) throw new DeviceFault('no sequence numbers', { retryable: false });
    channel.confirm(use);
    const session = { ...unconfirmed, channel };
    const answer = await this.#first(session, request);
    const { handshakeBytes, edhoc } = session;
    // RFC 9528 §5.4.2: only now is it known that the server has the keys.
    await this.#keep({ kind: 'live', session: edhoc.confirm(), handshakeBytes, channel });
    this.#onSession(handshakeBytes);
    return answer;
  }

  async #handshake(): Promise<Unconfirmed> {
    const { link, crypto, element } = this.#ports;
    const awaiting = beginHandshake(crypto);
    const started = readFrame(awaiting.frame);
    if (started.kind !== 'edhoc-start') throw new TypeError('a handshake begins with message_1');
    const response = await link.request(edhocRequest(carryStart(started.message1)));
    if (response.code !== responses.changed) throw refusedHandshake(response);
    const outcome = await takeMessage2(awaiting, response.payload, this.#parties, element);
    if (outcome.kind === 'unconfirmed') return outcome;
    throw new DeviceFault(`no handshake: ${outcome.refusal.reason}`, { retryable: true });
  }

  /** message_3 with the first request, or in front of it. */
  async #first(session: UnconfirmedSession, request: CoapContent): Promise<CoapContent> {
    const { link } = this.#ports;
    const protectedRequest = session.channel.protect(request);
    if (protectedRequest === undefined) {
      throw new DeviceFault('the request is too long', { retryable: false });
    }
    const third = readFrame(session.frame);
    if (third.kind !== 'edhoc') throw new TypeError('message_3 expected');
    const { message: message3, connectionId } = third;
    const { message, exchange } = protectedRequest;
    const combined =
      refuseCombination(request) === undefined
        ? combineRequest(request, message, message3, this.#options)
        : undefined;
    let response: CoapContent;
    if (combined === undefined || 'refused' in combined) {
      const accepted = await link.request(edhocRequest(carry(connectionId, message3)));
      if (!isSuccess(accepted.code)) throw refusedHandshake(accepted);
      response = await link.request(message);
    } else response = await link.request(combined);
    const answer = session.channel.open(exchange, response);
    if (answer === undefined) throw refusedHandshake(response);
    return answer;
  }

  async #reserve(session: LiveSession): Promise<boolean> {
    const use = session.channel.reservation(this.#options.lookAhead);
    if (use === undefined) return false;
    await this.#ports.store.commit(new Map([[sessionRecordName, storedForm(session, use)]]));
    session.channel.confirm(use);
    return true;
  }

  async #keep(session: LiveSession): Promise<void> {
    await this.#ports.store.commit(new Map([[sessionRecordName, storedForm(session)]]));
    this.#session = session;
  }
}

function edhocRequest(payload: Uint8Array): CoapContent {
  const options = [
    ...uriPath(coapTransfer.wellKnownPath.join('/')),
    uint(optionNumbers.contentFormat, coapTransfer.prependedFormat),
  ];
  return { code: methods.post, options, payload };
}

/** 5.03 is worth patience, and nothing else says anything about who we talk to. */
function refuseTrouble(response: CoapContent): void {
  if (response.code !== responses.serviceUnavailable) return;
  throw new DeviceFault('the server has no time', { retryable: true });
}

function refusedHandshake(response: CoapContent): DeviceFault {
  refuseTrouble(response);
  return new DeviceFault('the server refused the handshake', { retryable: true });
}
