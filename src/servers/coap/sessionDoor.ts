/**
 * EDHOC and OSCORE over CoAP as sessions know them (RFC 9528 Appendix A.2, RFC 9668, RFC 8613): what CoAP
 * carries becomes the frames of `trust/sessions`, and what they answer, or refuse, becomes CoAP.
 */
import { concat, empty } from '../../wire/bytes/bytes.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { contentFormats } from '../../wire/coap/contentFormats.ts';
import { emptyCode, responses } from '../../wire/coap/codes.ts';
import {
  type CoapContent,
  type CoapMessage,
  encodeMessage,
  parseMessage,
} from '../../wire/coap/message.ts';
import { optionNumbers, uint } from '../../wire/coap/options.ts';
import { readCarried } from '../../wire/edhoc/carriage.ts';
import { startsWithInteger } from '../../wire/edhoc/messages.ts';
import { errorMessageFor, refuse } from '../../wire/edhoc/refusal.ts';
import { splitCombined } from '../../wire/oscore/edhocRequest.ts';
import { readProtected } from '../../wire/oscore/incoming.ts';
import { isRefused } from '../../wire/oscore/refusal.ts';
import {
  frameKinds,
  maximumConnectionIdBytes,
  readFrame,
  writeFrame,
} from '../../wire/relay/frame.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { Endpoint } from '../../trust/ports/sessionStore.ts';
import { Lanes } from '../../trust/relay/lanes.ts';
import type { FrameRefusal } from '../../trust/sessions/ports.ts';
import type { FrameOutcome } from '../../trust/sessions/sessionService.ts';

/** The part of `SessionService` that this ingress asks. */
export interface SessionFrames {
  take(endpoint: Endpoint, frame: Uint8Array): Promise<FrameOutcome>;
  beginReverse(endpoint: Endpoint): Promise<FrameOutcome>;
}

/** What the sessions of this door are kept under: no gateway is called like that. */
export const coapIngress = 'coap';

const roaming: Endpoint = { ingress: coapIngress, linkAddress: empty };

/** Messages of one session, and of all, that wait for their turn. */
const waitingPerSession = 8;
const waitingInAll = 4_096;

export class SessionDoor {
  readonly #sessions: SessionFrames;
  readonly #lanes = new Lanes(waitingPerSession, waitingInAll);

  constructor(sessions: SessionFrames) {
    this.#sessions = sessions;
  }

  /** POST /.well-known/edhoc; `payload` as RFC 9528 Appendix A.2.1 prepends it. */
  async onEdhoc(peer: string, payload: Uint8Array): Promise<CoapContent> {
    const lane = laneOf(peer, payload);
    if (lane === undefined) return edhocError('malformed');
    const frame = concat(Uint8Array.of(frameKinds.edhoc), payload);
    return this.#edhocAnswer(await this.#inLane(lane, () => this.#sessions.take(roaming, frame)));
  }

  /** RFC 9528 Appendix A.2.2: an empty POST; message_1 comes in the response. */
  async onTrigger(peer: string): Promise<CoapContent> {
    const begin = (): Promise<FrameOutcome> => this.#sessions.beginReverse(roaming);
    return this.#edhocAnswer(await this.#inLane(`new/${peer}`, begin));
  }

  #edhocAnswer(outcome: FrameOutcome): CoapContent {
    if (outcome === undefined) return { code: responses.changed, options: [], payload: empty };
    if (typeof outcome === 'string') return edhocError(outcome);
    const frame = readFrame(outcome);
    if (frame.kind === 'coap') return edhocError('environment');
    if (frame.kind === 'edhoc-start') return edhocContent(responses.changed, frame.message1);
    // RFC 9528 Appendix A.2.1: the token correlates the response, so that no identifier goes in front.
    const isError = startsWithInteger(frame.message);
    return edhocContent(isError ? responses.badRequest : responses.changed, frame.message);
  }

  /** A request with an OSCORE option, and perhaps message_3 in front. `undefined`: no response is wanted. */
  async onProtected(request: CoapMessage): Promise<CoapContent | undefined> {
    const header = readProtected(request);
    if (isRefused(header) || header.kid === undefined) return oscoreError('malformed');
    // What stands outside and belongs inside is ignored (RFC 8613 §4.1); nothing else says anything here.
    const options = request.options.filter(({ number }) => number === optionNumbers.oscore);
    const message = encodeMessage({ ...request, options });
    const frame = writeFrame({ kind: 'coap', message });
    const outcome = await this.#inLane(toHex(header.kid), () =>
      this.#sessions.take(roaming, frame),
    );
    if (typeof outcome === 'string') return oscoreError(outcome);
    return outcome === undefined ? undefined : contentOf(outcome);
  }

  /** RFC 9668 §3.3.1: message_3 first; only when it holds the request that came with it. */
  async onCombined(request: CoapMessage): Promise<CoapContent | undefined> {
    let combined: ReturnType<typeof splitCombined<CoapMessage>>;
    try {
      combined = splitCombined(request);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      return { code: responses.badRequest, options: [], payload: empty };
    }
    const { connectionIdentifier: connectionId, message3: message } = combined;
    if (connectionId.length > maximumConnectionIdBytes) return oscoreError('unknown-connection');
    const frame = writeFrame({ kind: 'edhoc', connectionId, message });
    const outcome = await this.#inLane(toHex(connectionId), () =>
      this.#sessions.take(roaming, frame),
    );
    if (typeof outcome === 'string') return edhocError(outcome);
    return this.onProtected(combined.request);
  }

  async #inLane(lane: string, work: () => Promise<FrameOutcome>): Promise<FrameOutcome> {
    let outcome: FrameOutcome;
    const done = this.#lanes.run(lane, async () => {
      outcome = await work();
    });
    if (done === undefined) return 'busy';
    await done;
    return outcome;
  }
}

/** message_1 of one peer one after the other; everything else by its connection. */
function laneOf(peer: string, payload: Uint8Array): string | undefined {
  try {
    const carried = readCarried(payload);
    return carried.kind === 'start' ? `new/${peer}` : toHex(carried.connectionId);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

/** The response without its message layer, which is this door's own. */
function contentOf(frame: Uint8Array): CoapContent | undefined {
  const parsed = readFrame(frame);
  if (parsed.kind !== 'coap') return undefined;
  const { code, options, payload } = parseMessage(parsed.message);
  return code === emptyCode ? undefined : { code, options, payload };
}

/** RFC 9528 Appendix A.2.3: 4.00 for what the client did, 5.00 for what we could not; never which check. */
function edhocError(code: FrameRefusal): CoapContent {
  if (isOurs(code)) return unavailable();
  const known = code === 'unknown-credential' ? 'unknown-credential' : 'malformed';
  const message = errorMessageFor(refuse(known, code)) ?? empty;
  return edhocContent(responses.badRequest, message);
}

function edhocContent(code: number, payload: Uint8Array): CoapContent {
  const options = [uint(optionNumbers.contentFormat, contentFormats.edhocSequence)];
  return { code, options, payload };
}

/** RFC 8613 §8.2; unprotected, so that it proves nothing and tells no more than the codes of that section. */
function oscoreError(code: FrameRefusal): CoapContent {
  if (isOurs(code)) return unavailable();
  const options = [uint(optionNumbers.maxAge, 0)];
  return { code: oscoreCodes[code] ?? responses.unauthorized, options, payload: empty };
}

const oscoreCodes: Readonly<Partial<Record<FrameRefusal, number>>> = {
  malformed: responses.badOption,
  unsupported: responses.badOption,
  'not-a-request': responses.badRequest,
  'decryption-failed': responses.badRequest,
};

function isOurs(code: FrameRefusal): boolean {
  return code === 'environment' || code === 'busy' || code === 'delivery-failed';
}

function unavailable(): CoapContent {
  const options = [uint(optionNumbers.maxAge, retryAfterS)];
  return { code: responses.serviceUnavailable, options, payload: empty };
}

const retryAfterS = 5;
