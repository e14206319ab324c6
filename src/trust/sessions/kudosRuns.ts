/**
 * KUDOS at the server (draft-ietf-core-oscore-key-update §4): the device begins, we answer. Both contexts
 * are kept until a message under the new one has come.
 *
 * What a divergent message asks for is not done. It can be repeated by whoever recorded it, against keys that
 * have not changed since: after a run that came to nothing, and in the mode without forward secrecy always.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import { methods, responses } from '../../wire/coap/codes.ts';
import { type CoapContent, type CoapMessage, encodeMessage } from '../../wire/coap/message.ts';
import { optionNumbers, pathOf, uint } from '../../wire/coap/options.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { KudosConfirmed, KudosIdle, type KudosPending } from '../../wire/oscore/kudos.ts';
import { kudosPath } from '../../wire/oscore/kudosSupport.ts';
import { decodePartialIv, type OscoreOption } from '../../wire/oscore/option.ts';
import { isRefused, type OscoreRefusal } from '../../wire/oscore/refusal.ts';
import type { AcceptedRequest, ServerExchange } from '../../wire/oscore/server.ts';
import { writeFrame } from '../../wire/relay/frame.ts';
import { InvariantError } from '../ports/faults.ts';
import { kudosConfig, type LiveSession } from './liveSession.ts';
import { KudosKeys } from './sessionKeys.ts';

export interface RunAnswered {
  readonly kind: 'answered';
  readonly run: KudosPending;
  /** The keys of the run before: the device knows that we have them, and begins again from them. */
  readonly proven: KudosKeys | undefined;
  readonly request: CoapMessage;
  readonly exchange: ServerExchange;
}

export interface RunConfirmed {
  readonly kind: 'confirmed';
  /** The new keys: the device has used them. */
  readonly keys: KudosKeys;
  readonly accepted: AcceptedRequest<CoapMessage>;
}

/** Whether a request is for `receiveInRun` and not for the session's keys as they are. */
export function isOfRun({ run }: LiveSession, { keyUpdate }: OscoreOption): boolean {
  return run !== undefined || keyUpdate?.convergent === false;
}

/**
 * What a request leads to that begins a run, or comes while one is under way. The session stays as it is:
 * the caller stores what follows, and leaves the session where that fails, since its run is spent.
 */
export function receiveInRun(
  crypto: Crypto,
  session: LiveSession,
  message: CoapMessage,
  { partialIv }: OscoreOption,
): RunAnswered | RunConfirmed | OscoreRefusal {
  const incoming = { kind: 'request', message } as const;
  const { run, keys, side } = session;
  const received =
    run === undefined
      ? new KudosIdle(kudosConfig(crypto, side), keys.material).receive(incoming)
      : run.receive(incoming);
  if (isRefused(received)) return received;
  const { next, exchange, message: request } = received;
  if (exchange === undefined || partialIv === undefined) {
    throw new InvariantError('a request without an exchange');
  }
  if (next instanceof KudosConfirmed) {
    const sequenceNumber = decodePartialIv(partialIv);
    const { window } = next.fresh;
    const accepted = {
      outcome: 'accepted',
      message: request,
      sequenceNumber,
      window,
      exchange,
    } as const;
    return { kind: 'confirmed', keys: KudosKeys.of(crypto, next.fresh), accepted };
  }
  const isAnother = run !== undefined && !equal(oldSecret(run), oldSecret(next));
  const proven = isAnother ? KudosKeys.of(crypto, run.fresh) : undefined;
  return { kind: 'answered', run: next, proven, request, exchange };
}

/**
 * The convergent response, and the end of our numbers under the new context that has to be durable before it
 * leaves.
 */
export function answerInRun(
  { run, request, exchange }: RunAnswered,
  newMessageId: () => number,
): { readonly frame: Uint8Array; readonly ownEnd: number } | OscoreRefusal {
  const { sequence } = run.fresh;
  const ownEnd = sequence.reservation(1);
  if (typeof ownEnd !== 'number') return ownEnd;
  sequence.confirm(ownEnd);
  const { type, messageId, token } = request;
  const head =
    type === 'CON'
      ? ({ type: 'ACK', messageId, token } as const)
      : ({ type: 'NON', messageId: newMessageId(), token } as const);
  const answer = run.protectResponse<CoapMessage>(exchange, { ...head, ...contentOf(request) });
  if (isRefused(answer)) return answer;
  return { frame: writeFrame({ kind: 'coap', message: encodeMessage(answer) }), ownEnd };
}

/** Nothing was done: under the new context it can be asked for again, at once. */
function contentOf({ code, options }: CoapMessage): CoapContent {
  if (pathOf(options) !== `/${kudosPath}`) {
    const again = [uint(optionNumbers.maxAge, 0)];
    return { code: responses.serviceUnavailable, options: again, payload: empty };
  }
  const answer = code === methods.post ? responses.changed : responses.methodNotAllowed;
  return { code: answer, options: [], payload: empty };
}

function oldSecret(run: KudosPending): Uint8Array {
  return run.state().old.masterSecret;
}
