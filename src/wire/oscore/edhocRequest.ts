/**
 * The combined EDHOC + OSCORE request (RFC 9668 §3): message_3 travels in front of the ciphertext of the
 * first protected request. This takes it apart and puts it together; the two halves are processed by
 * `wire/edhoc` and `unprotectRequest`, in that order.
 */
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import { decodeBlock } from '../coap/block.ts';
import type { CoapContent } from '../coap/message.ts';
import { findOption, hasOption, opaque, optionNumbers, withoutOptions } from '../coap/options.ts';
import { mergeOptions } from './fields.ts';
import { readProtected } from './incoming.ts';

export interface CombineLimits {
  /** MAX_UNFRAGMENTED_SIZE (RFC 8613 §4.1.3.4.2) of the path, for the payload of the combined request. */
  readonly maximumPayloadBytes: number;
}

export type CombineRefusalCode =
  /** The payload would be too long: send message_3 first, then the request (RFC 9668 §3.2.2 step B). */
  | 'too-long'
  /** Not the first inner block: it goes without the EDHOC option (step A). */
  | 'not-first-block'
  /** The request does not want the response that has to authenticate the responder. */
  | 'response-not-wanted';

export interface CombineRefusal {
  readonly refused: CombineRefusalCode;
  readonly reason: string;
}

/**
 * Puts `message3` (the encoding of CIPHERTEXT_3, without C_R) in front of the payload of the protected
 * request. `original` is that request before it was protected: its inner options decide whether the two
 * may be combined. Ask `refuseCombination` before a sequence number is spent.
 */
export function combineRequest<Message extends CoapContent>(
  original: CoapContent,
  protectedRequest: Message,
  message3: Uint8Array,
  limits: CombineLimits,
): Message | CombineRefusal {
  const refusal = refuseCombination(original);
  if (refusal !== undefined) return refusal;
  if (!hasOption(protectedRequest.options, optionNumbers.oscore)) {
    throw new TypeError('only a protected request can carry message_3');
  }
  const payload = concat(message3, protectedRequest.payload);
  if (payload.length > limits.maximumPayloadBytes) return refuse('too-long');
  const option = [opaque(optionNumbers.edhoc)];
  return { ...protectedRequest, options: mergeOptions(protectedRequest.options, option), payload };
}

/** Whether this request may be the first application request that carries message_3. */
export function refuseCombination(original: CoapContent): CombineRefusal | undefined {
  const { options } = original;
  // RFC 9528 §5.4.2: without message_4 the initiator waits for the protected response; it must come.
  if (hasOption(options, optionNumbers.noResponse)) return refuse('response-not-wanted');
  const value = findOption(options, optionNumbers.block1);
  const block = value === undefined ? undefined : decodeBlock(value);
  return block !== undefined && block.number > 0 ? refuse('not-first-block') : undefined;
}

export interface CombinedRequest<Message extends CoapContent> {
  /** C_R, the `kid` of the OSCORE option: finds the EDHOC session. */
  readonly connectionIdentifier: Uint8Array;
  /** EDHOC_MSG_3, the encoding of one CBOR byte string. */
  readonly message3: Uint8Array;
  /** What to verify with the context that message_3 gives. */
  readonly request: Message;
}

/** Whether the request carries message_3. */
export function isCombined(request: CoapContent): boolean {
  return hasOption(request.options, optionNumbers.edhoc);
}

/**
 * RFC 9668 §3.3.1 steps 1 to 3, 6 and 7. Throws a `MalformedError`, to be answered with 4.00. An EDHOC
 * option that is found after decryption is an unprocessed critical option: `recognize` with a set that
 * lacks it says so.
 */
export function splitCombined<Message extends CoapContent>(
  request: Message,
): CombinedRequest<Message> {
  const { payload } = request;
  const header = readProtected(request);
  if ('refused' in header || header.kid === undefined) {
    throw new MalformedError('edhoc + oscore request', 0, 'OSCORE option with a kid missing');
  }
  const reader = new CborReader(payload);
  reader.bytes();
  const message3 = reader.since(0);
  if (reader.atEnd) reader.fail('OSCORE ciphertext missing');
  return {
    connectionIdentifier: header.kid,
    message3,
    request: {
      ...request,
      options: withoutOptions(request.options, optionNumbers.edhoc),
      payload: payload.subarray(message3.length),
    },
  };
}

function refuse(code: CombineRefusalCode): CombineRefusal {
  return { refused: code, reason: reasons[code] };
}

const reasons: Readonly<Record<CombineRefusalCode, string>> = {
  'too-long': 'message_3 and the request do not fit one message: send them one after the other',
  'not-first-block': 'only the first inner block may carry message_3',
  'response-not-wanted': 'a request with No-Response cannot carry message_3',
};
