/**
 * A device with IP and without TLS: EDHOC and OSCORE over CoAP (RFC 9528 Appendix A.2). message_3 travels
 * with the first request (RFC 9668). One request at a time. A context is stored only once the server has
 * shown its keys, and its numbers are reserved before they are used: what was never stored is never
 * continued, so that no number can come twice.
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';
import { isSuccess, methods, responses } from '../../wire/coap/codes.ts';
import type { CoapContent } from '../../wire/coap/message.ts';
import { optionNumbers, text, uint, uriPath } from '../../wire/coap/options.ts';
import { carry, carryStart, coapTransfer } from '../../wire/edhoc/carriage.ts';
import { parseError } from '../../wire/edhoc/refusal.ts';
import { EdhocSession } from '../../wire/edhoc/session.ts';
import { combineRequest, refuseCombination } from '../../wire/oscore/edhocRequest.ts';
import { telemetryPath } from '../../wire/relay/rawLink.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { CoapLink } from '../ports/coap.ts';
import { DeviceFault } from '../ports/faults.ts';
import { Channel, type ChannelUse, freshChannel } from './channel.ts';
import {
  CoapHandshakes,
  type Handshaken,
  type HandshakeOptions,
  type HandshakePorts,
} from './coapHandshake.ts';

/** `store` is a sealed one: see `device/storage`. */
export interface CoapSessionPorts extends HandshakePorts {
  readonly link: CoapLink;
}

export interface CoapSessionOptions extends HandshakeOptions {
  /** Sequence numbers that one write to the store reserves; as many are skipped at a loss of power. */
  readonly lookAhead: number;
  /** MAX_UNFRAGMENTED_SIZE of the path (RFC 9668 §3.2.2): beyond it message_3 goes alone. */
  readonly maximumPayloadBytes: number;
}

interface SessionLimits extends Pick<CoapSessionOptions, 'lookAhead' | 'maximumPayloadBytes'> {}

const defaults: SessionLimits = { lookAhead: 32, maximumPayloadBytes: 1024 };

interface LiveSession {
  /** `EdhocSession.store()`. */
  readonly keys: Uint8Array;
  readonly channel: Channel;
}

/** `[keys: bstr, reserved: uint, failed: uint]`, replaced whole. */
const recordName = 'coap-session';

export class CoapSession {
  readonly #ports: CoapSessionPorts;
  readonly #limits: SessionLimits;
  readonly #handshakes: CoapHandshakes;
  readonly #onSession: (handshakeBytes: readonly number[]) => void;
  #session: LiveSession | undefined;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    ports: CoapSessionPorts,
    limits: SessionLimits,
    handshakes: CoapHandshakes,
    onSession: (handshakeBytes: readonly number[]) => void,
  ) {
    this.#ports = ports;
    this.#limits = limits;
    this.#handshakes = handshakes;
    this.#onSession = onSession;
  }

  /**
   * Goes on in the stored session, if there is one; a handshake begins with the first request. Rejects with
   * a `DeviceFault` when the element was not personalized for sessions.
   */
  static async open(
    ports: CoapSessionPorts,
    onSession: (handshakeBytes: readonly number[]) => void = () => undefined,
    options: Partial<CoapSessionOptions> = {},
  ): Promise<CoapSession> {
    const handshakes = await CoapHandshakes.open(ports, options);
    const session = new CoapSession(ports, { ...defaults, ...options }, handshakes, onSession);
    const stored = await ports.store.read(recordName);
    session.#session = stored === undefined ? undefined : restored(ports, stored);
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

  async #askAnew(request: CoapContent, byValue = false): Promise<CoapContent> {
    this.#session = undefined;
    const { crypto, link } = this.#ports;
    const first = async (message1: Uint8Array): Promise<Uint8Array> => {
      const response = await link.request(edhocRequest(carryStart(message1)));
      if (response.code !== responses.changed) throw refusedHandshake(response);
      return response.payload;
    };
    const handshaken = await this.#handshakes.run({ first }, byValue);
    const { edhoc, handshakeBytes, finished } = handshaken;
    const channel = new Channel(crypto, edhoc.pendingKeys.oscoreParameters(), freshChannel);
    // Never stored in this state: a loss of power ends the handshake and its numbers with it.
    const use = channel.reservation(this.#limits.lookAhead);
    if (use === undefined) throw new DeviceFault('no sequence numbers', { retryable: false });
    channel.confirm(use);
    const answer = await this.#first(handshaken, channel, request);
    // RFC 9528 §6.4: by its hash our certificate was not known.
    if (answer === 'unknown-credential') return this.#askAnew(request, true);
    // RFC 9528 §5.4.2: only now is it known that the server has the keys.
    const session = { keys: edhoc.confirm().store(), channel };
    await this.#store(session, channel.use);
    this.#session = session;
    await finished();
    this.#onSession(handshakeBytes);
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
        ? combineRequest(request, message, message3, this.#limits)
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

  async #reserve(session: LiveSession): Promise<boolean> {
    const use = session.channel.reservation(this.#limits.lookAhead);
    if (use === undefined) return false;
    await this.#store(session, use);
    session.channel.confirm(use);
    return true;
  }

  async #store({ keys }: LiveSession, use: ChannelUse): Promise<void> {
    const record = cbor.array(
      cbor.bytes(keys),
      cbor.integer(use.reservedEnd),
      cbor.integer(use.failedVerifications),
    );
    await this.#ports.store.commit(new Map([[recordName, record]]));
  }
}

/** Throws a `MalformedError` on bytes that were not stored here. */
function restored({ crypto }: CoapSessionPorts, record: Uint8Array): LiveSession {
  const reader = new CborReader(record);
  if (reader.array() !== 3) reader.fail('not the members of this record', 0);
  const keys = reader.bytes().slice();
  const use = { reservedEnd: reader.unsigned(), failedVerifications: reader.unsigned() };
  reader.end();
  const parameters = EdhocSession.restore(crypto, keys).oscoreParameters();
  return { keys, channel: new Channel(crypto, parameters, use) };
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
