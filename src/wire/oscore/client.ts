/** The client's half of an exchange: protecting the request (RFC 8613 §8.1), verifying responses (§8.4). */
import { empty } from '../bytes/bytes.ts';
import { isRequest } from '../coap/codes.ts';
import type { CoapContent } from '../coap/message.ts';
import { type CoapOption, findUint, hasOption, opaque, optionNumbers } from '../coap/options.ts';
import type { SecurityContext } from './context.ts';
import {
  encodePlaintext,
  meaningfulOuter,
  mergeOptions,
  outerCode,
  parsePlaintext,
  splitRequest,
} from './fields.ts';
import { readProtected } from './incoming.ts';
import {
  decodePartialIv,
  encodeOscoreOption,
  encodePartialIv,
  type KeyUpdateField,
} from './option.ts';
import { type OscoreRefusal, refuse } from './refusal.ts';
import type { SequenceNumber } from './sequence.ts';

export interface ProtectedRequest<Message extends CoapContent> {
  /** Type, message ID and token as they were given. */
  readonly message: Message;
  /** What the responses will be verified against; keep it with the token. */
  readonly exchange: ClientExchange;
}

export interface RequestOptions {
  /**
   * Whether the ID Context goes along as kid context (RFC 8613 §5.1). Default: yes, when there is one; a
   * server that finds the context without it needs fewer bytes.
   */
  readonly sendKidContext?: boolean;
  /** Makes the request a KUDOS message; the sequence number is then of the context of that update. */
  readonly keyUpdate?: KeyUpdateField;
}

/**
 * The sequence number decides the context. It is spent unless the request is refused: `message-too-long`
 * leaves it usable. Throws a `TypeError` for what is no request, or protected already.
 */
export function protectRequest<Message extends CoapContent>(
  request: Message,
  sequence: SequenceNumber,
  { sendKidContext = true, keyUpdate }: RequestOptions = {},
): ProtectedRequest<Message> | OscoreRefusal<'key-worn-out' | 'message-too-long'> {
  if (!isRequest(request.code)) throw new TypeError('the message is no request');
  const { context } = sequence;
  const { inner, outer } = splitRequest(request.options);
  const plaintext = encodePlaintext(request.code, inner, request.payload);
  if (!context.fits(plaintext)) return refuse('message-too-long');
  const partialIv = encodePartialIv(sequence.spend());
  const nonce = context.own.nonce(partialIv);
  const payload = context.seal(nonce, context.own.additionalData(partialIv), plaintext);
  if (payload === undefined) return refuse('key-worn-out');
  const { senderId: kid, idContext } = context;
  const value = encodeOscoreOption({
    partialIv,
    kid,
    ...(sendKidContext && idContext !== undefined ? { kidContext: idContext } : {}),
    ...(keyUpdate === undefined ? {} : { keyUpdate }),
  });
  const options = mergeOptions(outer, [opaque(optionNumbers.oscore, value)]);
  const observe = findUint(request.options, optionNumbers.observe);
  const code = outerCode('request', observe !== undefined);
  const exchange = new ClientExchange(context, partialIv, observe === 0);
  return { message: { ...request, code, options, payload }, exchange };
}

/** What a client keeps of a request until its last response. */
export class ClientExchange {
  readonly context: SecurityContext;
  /** request_piv. */
  readonly partialIv: Uint8Array;
  /** Whether the request registered an observation, so that more than one response may come. */
  readonly observes: boolean;
  #state: 'waiting' | 'observing' | 'over' = 'waiting';
  /** RFC 8613 §7.4.1: the highest Partial IV of a notification; -1 after one that had none. */
  #notificationNumber = -1;
  /** The context of the last notification; a key update starts the numbers again (KUDOS §4.2). */
  #notificationContext: SecurityContext;
  readonly #supersededContexts = new WeakSet<SecurityContext>();

  constructor(context: SecurityContext, partialIv: Uint8Array, observes: boolean) {
    this.context = context;
    this.partialIv = partialIv;
    this.observes = observes;
    this.#notificationContext = context;
  }

  /** Whether no further response can be accepted. */
  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** For responses that nobody wants any more; what still comes is refused as `already-answered`. */
  close(): void {
    this.#state = 'over';
  }

  /** Asked before decryption: the reason why a response with this Partial IV cannot be accepted. */
  judge(
    context: SecurityContext,
    sequenceNumber: number | undefined,
  ): 'already-answered' | 'replay' | undefined {
    if (this.#state === 'over') return 'already-answered';
    if (this.#supersededContexts.has(context)) return 'replay';
    // RFC 8613 §7.4.1: at most one notification without Partial IV, and it is the oldest. Only newer ones
    // are taken, as the section allows: an observer wants the state of the resource, not its history.
    if (this.#state === 'waiting' || context !== this.#notificationContext) return undefined;
    return sequenceNumber === undefined || sequenceNumber <= this.#notificationNumber
      ? 'replay'
      : undefined;
  }

  /** Told after a response verified. */
  accept(
    context: SecurityContext,
    sequenceNumber: number | undefined,
    isNotification: boolean,
  ): void {
    if (context !== this.#notificationContext) {
      this.#supersededContexts.add(this.#notificationContext);
      this.#notificationContext = context;
    }
    this.#state = isNotification ? 'observing' : 'over';
    this.#notificationNumber = sequenceNumber ?? -1;
  }
}

export interface VerifiedResponse<Message extends CoapContent> {
  readonly message: Message;
  /** Partial IV of the response, when it had one. */
  readonly sequenceNumber?: number;
}

export type ResponseRefusal = OscoreRefusal<
  | 'not-oscore'
  | 'malformed'
  | 'already-answered'
  | 'replay'
  | 'decryption-failed'
  | 'plaintext-malformed'
  | 'unexpected-key-update'
  | 'key-worn-out'
>;

/**
 * `context` is given when the server may have answered under another context than that of the request,
 * after a key update; such a response must carry a Partial IV (KUDOS §3). A convergent KUDOS message is an
 * ordinary one here (§4.3.3); a divergent one is for `kudos.ts`. A refusal leaves the exchange as it was: the
 * true response may still come.
 */
export function unprotectResponse<Message extends CoapContent>(
  exchange: ClientExchange,
  response: Message,
  context: SecurityContext = exchange.context,
): VerifiedResponse<Message> | ResponseRefusal {
  const option = readProtected(response);
  if ('refused' in option) return option;
  if (option.keyUpdate?.convergent === false) return refuse('unexpected-key-update');
  return openResponse(exchange, response, context, option.partialIv);
}

/** The same without looking at the option again: for KUDOS, whose responses carry a nonce as well. */
export function openResponse<Message extends CoapContent>(
  exchange: ClientExchange,
  response: Message,
  context: SecurityContext,
  partialIv: Uint8Array | undefined,
): VerifiedResponse<Message> | ResponseRefusal {
  if (partialIv === undefined && context !== exchange.context) return refuse('malformed');
  const sequenceNumber = partialIv === undefined ? undefined : decodePartialIv(partialIv);
  const verdict = exchange.judge(context, sequenceNumber);
  if (verdict !== undefined) return refuse(verdict);
  if (context.isRecipientKeyWornOut) return refuse('key-worn-out');
  const nonce =
    partialIv === undefined ? context.own.nonce(exchange.partialIv) : context.peer.nonce(partialIv);
  const aad = context.own.additionalData(exchange.partialIv);
  const plaintext = context.open(nonce, aad, response.payload);
  if (plaintext === undefined) return refuse('decryption-failed');
  const content = parsePlaintext('response', plaintext);
  const isNotification = content !== undefined && hasOption(content.options, optionNumbers.observe);
  exchange.accept(context, sequenceNumber, isNotification && exchange.observes);
  // RFC 8613 §4.1.3.5.2: Observe in the answer to a request that did not ask for it.
  if (content === undefined || (isNotification && !exchange.observes)) {
    return refuse('plaintext-malformed');
  }
  const options = mergeOptions(
    content.options.map((option) => withNotificationNumber(option, partialIv)),
    meaningfulOuter(response.options),
  );
  const message = { ...response, code: content.code, options, payload: content.payload };
  return sequenceNumber === undefined ? { message } : { message, sequenceNumber };
}

/** RFC 8613 §4.1.3.5.2: the Observe value may be the three least significant bytes of the Partial IV. */
function withNotificationNumber(option: CoapOption, partialIv: Uint8Array = empty): CoapOption {
  if (option.number !== optionNumbers.observe) return option;
  return opaque(optionNumbers.observe, partialIv.subarray(-3));
}
