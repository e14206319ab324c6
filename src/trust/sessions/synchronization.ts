/**
 * Sessions that remember less than has happened, because their store was put back to an earlier state. Which
 * numbers the device has used is unknown: a request proves by Echo that it is new (RFC 8613 §B.1.2), and the
 * challenge goes out under a number of ours that no earlier life of the store can have used.
 */
import { utf8 } from '../../wire/bytes/utf8.ts';
import { type CoapMessage, encodeMessage } from '../../wire/coap/message.ts';
import { EchoIssuer } from '../../wire/oscore/echo.ts';
import { isRefused } from '../../wire/oscore/refusal.ts';
import { SenderSequence, sequenceNumberLimit } from '../../wire/oscore/sequence.ts';
import { protectResponse, type UnsynchronizedRequest } from '../../wire/oscore/server.ts';
import { writeFrame } from '../../wire/relay/frame.ts';
import type { LiveSession } from './liveSession.ts';
import type { SessionPorts } from './ports.ts';

/** Our numbers in one life of the store, and the number of lives that 2^40 numbers are enough for. */
export const numbersPerIncarnation: number = 2 ** 24;

/** A radio with a few messages a day is honest too; what is older is asked again. */
const echoLifetimeMs = 3_600_000;

export class Synchronization {
  readonly #ports: SessionPorts;
  readonly #echo: EchoIssuer;

  constructor(ports: SessionPorts) {
    this.#ports = ports;
    this.#echo = new EchoIssuer(ports.crypto, echoLifetimeMs);
  }

  isProven(session: LiveSession, { echo }: UnsynchronizedRequest<CoapMessage>): boolean {
    return this.#echo.isFresh(echo, utf8(session.id), this.#ports.clock.nowMs());
  }

  /**
   * The frame with the challenge, and what has to be durable before it leaves. `undefined` where it cannot
   * be sent: to a request that waits for no answer, or when the numbers of this life are used up.
   */
  challenge(
    session: LiveSession,
    { type, messageId, token }: CoapMessage,
    request: UnsynchronizedRequest<CoapMessage>,
  ): { readonly frame: Uint8Array; readonly ownEnd: number } | undefined {
    if (type !== 'CON') return undefined;
    const { store, clock } = this.#ports;
    const first = store.incarnation * numbersPerIncarnation;
    const number = Math.max(session.progress.ownEnd, first);
    if (number >= Math.min(first + numbersPerIncarnation, sequenceNumberLimit)) return undefined;
    const sequence = new SenderSequence(session.context, number);
    sequence.confirm(number + 1);
    const own = sequence.take();
    if (isRefused(own)) return undefined;
    const content = this.#echo.challenge(utf8(session.id), clock.nowMs());
    const answer = protectResponse(
      request.exchange,
      { type: 'ACK', messageId, token, ...content } as const,
      own,
    );
    if (isRefused(answer)) return undefined;
    const frame = writeFrame({ kind: 'coap', message: encodeMessage(answer) });
    return { frame, ownEnd: number + 1 };
  }
}
