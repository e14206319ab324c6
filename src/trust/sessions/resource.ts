/** What a device may ask for inside its session: one resource, `POST /t`, telemetry. */
import { empty } from '../../wire/bytes/bytes.ts';
import { emptyCode, methods, responses } from '../../wire/coap/codes.ts';
import type { CoapContent, CoapMessage } from '../../wire/coap/message.ts';
import { isSuppressed } from '../../wire/coap/noResponse.ts';
import { optionNumbers, pathOf, recognize } from '../../wire/coap/options.ts';
import { telemetryPath } from '../../wire/relay/rawLink.ts';

export interface Answer {
  readonly code: number;
  readonly telemetry?: Uint8Array;
}

const understood: ReadonlySet<number> = new Set([
  optionNumbers.uriPath,
  optionNumbers.contentFormat,
  optionNumbers.noResponse,
]);

/** `request` is authentic and was never seen before. */
export function answerTo(request: CoapContent): Answer {
  const { options, badOption } = recognize(request.options, understood);
  if (badOption !== undefined) return { code: responses.badOption };
  if (pathOf(options) !== `/${telemetryPath}`) return { code: responses.notFound };
  if (request.code !== methods.post) return { code: responses.methodNotAllowed };
  if (request.payload.length === 0) return { code: responses.badRequest };
  return { code: responses.changed, telemetry: request.payload };
}

/**
 * The response as a message, before it is protected: piggybacked on the acknowledgement of a confirmable
 * request (RFC 7252 §5.2.1), non-confirmable for the others (§5.2.3). `undefined` where the request waived
 * it (RFC 7967).
 */
export function responseTo(
  request: CoapMessage,
  code: number,
  newMessageId: () => number,
): CoapMessage | undefined {
  if (isSuppressed(request.options, code)) return undefined;
  const { type, messageId, token } = request;
  const head =
    type === 'CON'
      ? ({ type: 'ACK', messageId } as const)
      : ({ type: 'NON', messageId: newMessageId() } as const);
  return { ...head, code, token, options: [], payload: empty };
}

/** RFC 7967 §2.1: a waived response does not waive the acknowledgement. It says nothing but that. */
export function acknowledgementOf({ type, messageId }: CoapMessage): CoapMessage | undefined {
  if (type !== 'CON') return undefined;
  return { type: 'ACK', messageId, code: emptyCode, token: empty, options: [], payload: empty };
}
