/** The server's half of an exchange: verifying the request (RFC 8613 §8.2), protecting responses (§8.3). */
import { equal } from '../bytes/bytes.ts';
import { isResponse } from '../coap/codes.ts';
import type { CoapContent } from '../coap/message.ts';
import { findOption, findUint, hasOption, opaque, optionNumbers } from '../coap/options.ts';
import type { SecurityContext } from './context.ts';
import {
  encodePlaintext,
  meaningfulOuter,
  mergeOptions,
  outerCode,
  parsePlaintext,
  splitResponse,
} from './fields.ts';
import { readProtected } from './incoming.ts';
import {
  decodePartialIv,
  encodeOscoreOption,
  encodePartialIv,
  type KeyUpdateField,
} from './option.ts';
import { type OscoreRefusal, refuse } from './refusal.ts';
import { ReplayWindow } from './replayWindow.ts';
import type { SequenceNumber } from './sequence.ts';

export interface AcceptedRequest<Message extends CoapContent> {
  readonly outcome: 'accepted';
  /** The decrypted request; type, message ID and token as they were received. */
  readonly message: Message;
  readonly sequenceNumber: number;
  /** Has to be durable before the answer leaves: with the old one the request could come again. */
  readonly window: ReplayWindow;
  readonly exchange: ServerExchange;
}

/**
 * The request verified, but the window was lost, so that it may be a replay (RFC 8613 §B.1.2). Nothing of
 * it may be acted on but its Echo value: answer 4.01 with an Echo option and a Partial IV of our own, or,
 * when the Echo value proves the request fresh, go on with `synchronize`.
 */
export interface UnsynchronizedRequest<Message extends CoapContent> {
  readonly outcome: 'unsynchronized';
  readonly echo: Uint8Array | undefined;
  readonly sequenceNumber: number;
  /** Protects the challenge; takes responses with a Partial IV of their own only. */
  readonly exchange: ServerExchange;
  /** Only for a request whose Echo value was checked; may be called once. */
  synchronize(): AcceptedRequest<Message>;
}

export interface RequestRefusal extends OscoreRefusal<
  | 'not-oscore'
  | 'malformed'
  | 'unknown-context'
  | 'replay'
  | 'decryption-failed'
  | 'plaintext-malformed'
  | 'unexpected-key-update'
  | 'key-worn-out'
> {
  /** Of a replay: whose stored answer may be sent again. */
  readonly sequenceNumber?: number;
  /** Of a plaintext that is no request: it verified, so that its number is used up. */
  readonly window?: ReplayWindow;
}

/**
 * In the order of RFC 8613 §8.2: decompress, check the window, decrypt, and only then take the number into
 * the window. Check and update are one synchronous step here; whoever stores the window must not let two
 * requests start from the same one.
 */
export function unprotectRequest<Message extends CoapContent>(
  context: SecurityContext,
  window: ReplayWindow,
  request: Message,
): AcceptedRequest<Message> | UnsynchronizedRequest<Message> | RequestRefusal {
  const option = readProtected(request);
  if ('refused' in option) return option;
  // KUDOS §4.3.3: to whoever is idle a convergent message is an ordinary one; divergent: kudos.ts.
  if (option.keyUpdate?.convergent === false) return refuse('unexpected-key-update');
  const { kid, kidContext, partialIv } = option;
  // RFC 8613 §5: requests carry both.
  if (kid === undefined || partialIv === undefined) return refuse('malformed');
  if (!isOfContext(context, kid, kidContext)) return refuse('unknown-context');
  return openRequest(context, window, request, partialIv);
}

/** The same without looking at the option again: for KUDOS, whose requests carry a nonce as well. */
export function openRequest<Message extends CoapContent>(
  context: SecurityContext,
  window: ReplayWindow,
  request: Message,
  partialIv: Uint8Array,
): AcceptedRequest<Message> | UnsynchronizedRequest<Message> | RequestRefusal {
  const sequenceNumber = decodePartialIv(partialIv);
  const verdict = window.check(sequenceNumber);
  if (verdict === 'replayed' || verdict === 'too-old') {
    return { ...refuse('replay'), sequenceNumber };
  }
  if (context.isRecipientKeyWornOut) return refuse('key-worn-out');
  const nonce = context.peer.nonce(partialIv);
  const aad = context.peer.additionalData(partialIv);
  const plaintext = context.open(nonce, aad, request.payload);
  if (plaintext === undefined) return refuse('decryption-failed');
  const synchronized = verdict === 'fresh';
  const accepted = synchronized ? window.accept(sequenceNumber) : window;
  const content = parsePlaintext('request', plaintext);
  if (content === undefined) return { ...refuse('plaintext-malformed'), window: accepted };
  const options = mergeOptions(content.options, meaningfulOuter(request.options));
  const message = { ...request, code: content.code, options, payload: content.payload };
  const observe = findUint(content.options, optionNumbers.observe);
  const exchangeOf = (mayUseRequestNonce: boolean): ServerExchange =>
    new ServerExchange({ context, partialIv, observes: observe === 0, mayUseRequestNonce });
  if (synchronized) {
    const exchange = exchangeOf(true);
    return { outcome: 'accepted', message, sequenceNumber, window: accepted, exchange };
  }
  let spent = false;
  return {
    outcome: 'unsynchronized',
    echo: findOption(content.options, optionNumbers.echo),
    sequenceNumber,
    // A replayed request was answered with its nonce before the window was lost.
    exchange: exchangeOf(false),
    synchronize() {
      if (spent) throw new TypeError('this request was accepted before');
      spent = true;
      return {
        outcome: 'accepted',
        message,
        sequenceNumber,
        window: ReplayWindow.after(sequenceNumber, window.size),
        exchange: exchangeOf(true),
      };
    },
  };
}

/** What has to survive a restart for notifications to go on. Not secret. */
export interface ServerExchangeState {
  /** request_piv. */
  readonly partialIv: Uint8Array;
  readonly observes: boolean;
}

/** What a server keeps of a request until its last response. */
export class ServerExchange {
  readonly context: SecurityContext;
  readonly partialIv: Uint8Array;
  readonly observes: boolean;
  #mayUseRequestNonce: boolean;
  #isOver = false;

  constructor(
    fields: ServerExchangeState & {
      readonly context: SecurityContext;
      readonly mayUseRequestNonce: boolean;
    },
  ) {
    this.context = fields.context;
    this.partialIv = fields.partialIv;
    this.observes = fields.observes;
    this.#mayUseRequestNonce = fields.mayUseRequestNonce;
  }

  /** After a restart nobody knows whether the request's nonce was used: responses need their own. */
  static restore(context: SecurityContext, state: ServerExchangeState): ServerExchange {
    return new ServerExchange({ ...state, context, mayUseRequestNonce: false });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  get mayUseRequestNonce(): boolean {
    return this.#mayUseRequestNonce;
  }

  state(): ServerExchangeState {
    return { partialIv: this.partialIv, observes: this.observes };
  }

  /** Throws a `TypeError` where a second message would use the same nonce, or answer twice. */
  beginResponse(usesRequestNonce: boolean, isNotification: boolean): void {
    if (this.#isOver) throw new TypeError('this request was answered before');
    if (isNotification && !this.observes) throw new TypeError('the request did not register');
    // RFC 8613 §8.3.1: only the first response may go without a Partial IV.
    if (usesRequestNonce && !this.#mayUseRequestNonce) {
      throw new TypeError('the response needs a sequence number of its own');
    }
    this.#mayUseRequestNonce = false;
    this.#isOver = !isNotification;
  }
}

/**
 * Without a sequence number the response uses the nonce of the request and carries no Partial IV, which
 * only the first may do. A sequence number of another context protects the response under that context
 * (KUDOS §3), and with `keyUpdate` makes it a KUDOS message. A response with Observe is a notification; one without ends the exchange.
 */
export function protectResponse<Message extends CoapContent>(
  exchange: ServerExchange,
  response: Message,
  sequence?: SequenceNumber,
  keyUpdate?: KeyUpdateField,
): Message | OscoreRefusal<'key-worn-out' | 'message-too-long'> {
  if (!isResponse(response.code)) throw new TypeError('the message is no response');
  const context = sequence?.context ?? exchange.context;
  const { inner, outer } = splitResponse(response.options);
  const plaintext = encodePlaintext(response.code, inner, response.payload);
  if (!context.fits(plaintext)) return refuse('message-too-long');
  const isNotification = hasOption(response.options, optionNumbers.observe);
  exchange.beginResponse(sequence === undefined, isNotification);
  const partialIv = sequence === undefined ? undefined : encodePartialIv(sequence.spend());
  const nonce =
    partialIv === undefined ? context.peer.nonce(exchange.partialIv) : context.own.nonce(partialIv);
  const aad = context.peer.additionalData(exchange.partialIv);
  const payload = context.seal(nonce, aad, plaintext);
  if (payload === undefined) return refuse('key-worn-out');
  const value = encodeOscoreOption({
    ...(partialIv === undefined ? {} : { partialIv }),
    ...(keyUpdate === undefined ? {} : { keyUpdate }),
  });
  const options = mergeOptions(outer, [opaque(optionNumbers.oscore, value)]);
  return { ...response, code: outerCode('response', isNotification), options, payload };
}

/** Whether the kid, and the kid context where one was sent, are those of the peer in this context. */
function isOfContext(
  context: SecurityContext,
  kid: Uint8Array,
  kidContext: Uint8Array | undefined,
): boolean {
  if (!equal(kid, context.recipientId)) return false;
  if (kidContext === undefined) return true;
  return context.idContext !== undefined && equal(kidContext, context.idContext);
}
