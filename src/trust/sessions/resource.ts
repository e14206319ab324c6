/**
 * What a device may ask for inside its session: `POST /t` is telemetry; what else there is comes through a
 * port, whole: bodies longer than a frame are put together and handed out here (RFC 8613 §4.1.3.4.1).
 */
import { empty } from '../../wire/bytes/bytes.ts';
import { BlockwiseServer } from '../../wire/coap/blockwiseServer.ts';
import { emptyCode, methods, responses } from '../../wire/coap/codes.ts';
import type { CoapContent, CoapMessage } from '../../wire/coap/message.ts';
import { isSuppressed } from '../../wire/coap/noResponse.ts';
import { optionNumbers, pathOf, uint } from '../../wire/coap/options.ts';
import { recognize } from '../../wire/coap/recognize.ts';
import { kudosPath } from '../../wire/oscore/kudosSupport.ts';
import { telemetryPath } from '../../wire/relay/rawLink.ts';
import { EnvironmentError } from '../ports/faults.ts';
import type { SessionPeer } from './liveSession.ts';
import type { SessionResource } from './ports.ts';

export interface Answer {
  readonly response: CoapContent;
  readonly telemetry?: Uint8Array;
}

const forTelemetry: ReadonlySet<number> = new Set([
  optionNumbers.uriPath,
  optionNumbers.contentFormat,
  optionNumbers.noResponse,
]);

const forResources: ReadonlySet<number> = new Set([
  ...forTelemetry,
  optionNumbers.uriQuery,
  optionNumbers.accept,
  optionNumbers.eTag,
  optionNumbers.block1,
  optionNumbers.block2,
  optionNumbers.size1,
  optionNumbers.size2,
  optionNumbers.requestTag,
]);

/** A request with an ML-DSA key does not come over a radio; 8 kB are a long chain in DER. */
const maximumBodyBytes = 8_192;
const maximumTransfers = 1_024;
/** A sensor that sends one frame a minute needs a while for a request of ten blocks. */
const transferLifetimeMs = 3_600_000;

export class Resources {
  readonly #serve: SessionResource | undefined;
  readonly #blockwise = new BlockwiseServer({
    maximumBodyBytes,
    maximumTransfers,
    lifetimeMs: transferLifetimeMs,
  });

  constructor(serve: SessionResource | undefined) {
    this.#serve = serve;
  }

  /** `request` is authentic and was never seen before. */
  async answer(peer: SessionPeer, request: CoapContent, nowMs: number): Promise<Answer> {
    const serve = this.#serve;
    const path = pathOf(request.options);
    if (serve === undefined || path === `/${telemetryPath}` || path === `/${kudosPath}`) {
      return answerTo(request);
    }
    const { options, badOption } = recognize(request.options, forResources);
    if (badOption !== undefined) return plain(responses.badOption);
    const outcome = this.#blockwise.onRequest(peer.sessionId, { ...request, options }, nowMs);
    if (outcome.kind === 'response') return outcome;
    const response = await served(serve, peer, outcome.request);
    return { response: this.#blockwise.respond(outcome.ticket, response, nowMs) };
  }
}

/** The resources that are always there. */
export function answerTo(request: CoapContent): Answer {
  const { options, badOption } = recognize(request.options, forTelemetry);
  if (badOption !== undefined) return plain(responses.badOption);
  const path = pathOf(options);
  if (path !== `/${telemetryPath}` && path !== `/${kudosPath}`) return plain(responses.notFound);
  if (request.code !== methods.post) return plain(responses.methodNotAllowed);
  // A device that runs KUDOS may come here once more to prove the new keys.
  if (path === `/${kudosPath}`) return plain(responses.changed);
  if (request.payload.length === 0) return plain(responses.badRequest);
  return { ...plain(responses.changed), telemetry: request.payload };
}

/**
 * The response as a message, before it is protected: piggybacked on the acknowledgement of a confirmable
 * request (RFC 7252 §5.2.1), non-confirmable for the others (§5.2.3). `undefined` where the request waived
 * it (RFC 7967).
 */
export function responseTo(
  request: CoapMessage,
  response: CoapContent,
  newMessageId: () => number,
): CoapMessage | undefined {
  if (isSuppressed(request.options, response.code)) return undefined;
  const { type, messageId, token } = request;
  const head =
    type === 'CON'
      ? ({ type: 'ACK', messageId } as const)
      : ({ type: 'NON', messageId: newMessageId() } as const);
  const { code, options, payload } = response;
  return { ...head, code, token, options, payload };
}

/** RFC 7967 §2.1: a waived response does not waive the acknowledgement. It says nothing but that. */
export function acknowledgementOf({ type, messageId }: CoapMessage): CoapMessage | undefined {
  if (type !== 'CON') return undefined;
  return { type: 'ACK', messageId, code: emptyCode, token: empty, options: [], payload: empty };
}

/** Where the authority or a store is away, the device is told when to come back (RFC 7252 §5.9.3.4). */
async function served(
  serve: SessionResource,
  peer: SessionPeer,
  request: CoapContent,
): Promise<CoapContent> {
  try {
    return await serve(peer, request);
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    const options = error.retryable ? [uint(optionNumbers.maxAge, unavailableS)] : [];
    return { code: responses.serviceUnavailable, options, payload: empty };
  }
}

const unavailableS = 30;

function plain(code: number): Answer {
  return { response: { code, options: [], payload: empty } };
}
