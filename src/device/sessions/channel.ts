/**
 * An OSCORE context as a sensor uses it: telemetry out as POST, answers in. One request is open at a time,
 * so that the token can be empty.
 */
import { empty } from '../../wire/bytes/bytes.ts';
import { methods, responses } from '../../wire/coap/codes.ts';
import { type CoapContent, type CoapMessage, encodeMessage } from '../../wire/coap/message.ts';
import { noResponse, noResponseAtAll } from '../../wire/coap/noResponse.ts';
import { type CoapOption, optionNumbers, text } from '../../wire/coap/options.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import {
  type ClientExchange,
  type ProtectedRequest,
  protectRequest,
  unprotectResponse,
} from '../../wire/oscore/client.ts';
import { deriveContext, type SecurityContext } from '../../wire/oscore/context.ts';
import type { ContextMaterial } from '../../wire/oscore/contextUpdate.ts';
import { keyState } from '../../wire/oscore/limits.ts';
import { isRefused } from '../../wire/oscore/refusal.ts';
import { SenderSequence } from '../../wire/oscore/sequence.ts';
import { writeFrame } from '../../wire/relay/frame.ts';
import { telemetryPath } from '../../wire/relay/rawLink.ts';

export interface OpenRequest {
  /** Retransmissions are these bytes: with a new sequence number it would be another message. */
  readonly frame: Uint8Array;
  readonly messageId: number;
  readonly exchange: ClientExchange;
}

export interface ChannelUse {
  readonly reservedEnd: number;
  readonly failedVerifications: number;
}

export const freshChannel: ChannelUse = { reservedEnd: 0, failedVerifications: 0 };

export class Channel {
  readonly #context: SecurityContext;
  readonly #sequence: SenderSequence;
  #messageId: number;

  constructor(crypto: Crypto, material: ContextMaterial, use: ChannelUse) {
    const { reservedEnd, failedVerifications } = use;
    this.#context = deriveContext({
      ...material,
      crypto,
      // Every number below the reserved end counts as an encryption: some were skipped, none is missed.
      usage: { encryptions: reservedEnd, failedVerifications },
    });
    this.#sequence = new SenderSequence(this.#context, reservedEnd);
    // Responses are told apart by the message ID; a new boot must not take an old one's (RFC 7252 §4.4).
    const [high = 0, low = 0] = crypto.random(2);
    this.#messageId = (high << 8) | low;
  }

  /** What has to be stored before `confirm`; `undefined` when the numbers are used up. */
  reservation(count: number): ChannelUse | undefined {
    const reservedEnd = this.#sequence.reservation(count);
    if (typeof reservedEnd !== 'number') return undefined;
    return { reservedEnd, failedVerifications: this.#context.usage.failedVerifications };
  }

  confirm({ reservedEnd }: ChannelUse): void {
    this.#sequence.confirm(reservedEnd);
  }

  get left(): number {
    return this.#sequence.left;
  }

  get use(): ChannelUse {
    const { failedVerifications } = this.#context.usage;
    return { reservedEnd: this.#sequence.durableEnd, failedVerifications };
  }

  /** Three quarters of a limit are used (key-limits §2.1): time for another handshake. */
  get isWearingOut(): boolean {
    return keyState(this.#context.usage, this.#context.limits) !== 'fine';
  }

  /** The number that the next request will have. */
  get nextNumber(): number {
    return this.#sequence.next;
  }

  /**
   * A request with the next reserved number, as a frame of a raw link. `undefined` when the key may not be
   * used.
   */
  request(content: CoapContent, confirmable: boolean): OpenRequest | undefined {
    const number = this.#sequence.take();
    if (isRefused(number)) return undefined;
    this.#messageId = (this.#messageId + 1) & 0xffff;
    const request: CoapMessage = {
      ...content,
      type: confirmable ? 'CON' : 'NON',
      messageId: this.#messageId,
      token: empty,
    };
    const protectedRequest = protectRequest(request, number);
    if (isRefused(protectedRequest)) return undefined;
    const { message, exchange } = protectedRequest;
    const frame = writeFrame({ kind: 'coap', message: encodeMessage(message) });
    return { frame, messageId: request.messageId, exchange };
  }

  /** Any request for a link that has a message layer of its own. */
  protect(request: CoapContent): ProtectedRequest<CoapContent> | undefined {
    const number = this.#sequence.take();
    if (isRefused(number)) return undefined;
    const outcome = protectRequest(request, number);
    return isRefused(outcome) ? undefined : outcome;
  }

  /** The server's answer to that request; `undefined` when this message is not it. */
  answerTo(request: OpenRequest, message: CoapMessage): CoapContent | undefined {
    // Without a token, an answer is known by the message ID of the acknowledgement (RFC 7252 §5.2.1).
    if (message.type !== 'ACK' || message.messageId !== request.messageId) return undefined;
    return this.open(request.exchange, message);
  }

  /** What the server really said; `undefined` for what it did not say. */
  open(exchange: ClientExchange, response: CoapContent): CoapContent | undefined {
    const opened = unprotectResponse(exchange, response);
    return isRefused(opened) ? undefined : opened.message;
  }
}

/**
 * A confirmable request is answered; of the other kind every response is waived (RFC 7967), since a downlink
 * is dear.
 */
export function telemetryRequest(payload: Uint8Array, confirmable: boolean): CoapContent {
  const path = text(optionNumbers.uriPath, telemetryPath);
  const options: CoapOption[] = confirmable ? [path] : [path, noResponse(noResponseAtAll)];
  return { code: methods.post, options, payload };
}

/** Whether telemetry was taken: `refused` is an authentic no. */
export function verdictOn(answer: CoapContent): 'accepted' | 'refused' {
  return answer.code === responses.changed ? 'accepted' : 'refused';
}
