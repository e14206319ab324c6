/**
 * CoAP over datagrams (RFC 7252) as a machine without clock or socket: what arrives goes in with the time,
 * what is to be sent and delivered comes out, together with when to call again. Here are the requests and
 * responses of both roles (§5): tokens, piggybacked and separate responses, notifications (RFC 7641).
 */
import { toHex } from '../bytes/hex.ts';
import { isRequest, isResponse } from './codes.ts';
import { type CoapContent, type CoapMessage, encodeMessage } from './message.ts';
import { MessageLayer, type MessageLayerLimits, type Outgoing } from './messageLayer.ts';
import { findUint, hasOption, optionNumbers } from './options.ts';
import type { Peer, Transmission } from './peer.ts';
import { type Timer, Timers } from './timers.ts';
import {
  defaultTransmission,
  exchangeLifetimeMs,
  type TransmissionParameters,
} from './transmission.ts';

export interface EndpointLimits extends MessageLayerLimits {
  /** Requests of ours without their last response, each peer. */
  readonly requests: number;
  /** Requests of a peer without our last response, each peer. */
  readonly exchanges: number;
}

export const defaultEndpointLimits: EndpointLimits = {
  peers: 16_384,
  remembered: 64,
  queued: 16,
  requests: 16,
  exchanges: 16,
};

export interface EndpointConfig {
  readonly randomBytes: (lengthBytes: number) => Uint8Array;
  readonly transmission?: Partial<TransmissionParameters>;
  readonly limits?: Partial<EndpointLimits>;
  /** RFC 7252 §5.3.1: at least 4 where nothing else binds responses to requests. Default: 4. */
  readonly tokenBytes?: number;
  /** How long a response may take before an empty acknowledgement goes ahead of it. Default: 1000. */
  readonly acknowledgeAfterMs?: number;
}

export type CoapEvent =
  | {
      readonly kind: 'request';
      readonly peer: string;
      /** Names the exchange in `respond`, `notify` and `dismiss`. */
      readonly exchange: number;
      readonly message: CoapMessage;
    }
  | {
      readonly kind: 'response';
      readonly peer: string;
      readonly request: number;
      readonly message: CoapMessage;
      /** False while an observation goes on. */
      readonly final: boolean;
    }
  /** No response will come, as far as one can know. */
  | {
      readonly kind: 'failed';
      readonly peer: string;
      readonly request: number;
      readonly reason: 'timeout' | 'reset' | 'no-response';
    }
  /** The peer does not want, or does not confirm, the responses of this exchange (RFC 7641 §4.5). */
  | { readonly kind: 'cancelled'; readonly peer: string; readonly exchange: number }
  /** For a counter; what there was to answer was answered. */
  | { readonly kind: 'malformed'; readonly peer: string };

export interface CoapStep {
  readonly send: readonly Outgoing[];
  readonly deliver: readonly CoapEvent[];
  /** When to call `tick`; `undefined` when nothing waits for time. */
  readonly wakeAtMs: number | undefined;
}

export interface RequestStep extends CoapStep {
  /** Names the request in events and in `forget`. */
  readonly request: number;
}

export interface EndpointRefusal {
  readonly refused: 'busy';
  readonly reason: string;
}

interface ClientRequest {
  readonly handle: number;
  readonly peer: Peer;
  readonly token: Uint8Array;
  readonly observes: boolean;
  transmission: Transmission | undefined;
  /** Runs out when an acknowledged request gets no response. */
  timer: Timer | undefined;
}

interface ServerExchange {
  readonly handle: number;
  readonly peer: Peer;
  readonly request: CoapMessage;
  /** While it runs, a response can go with the acknowledgement. */
  acknowledgement: Timer | undefined;
  expiry: Timer | undefined;
  answered: boolean;
}

export class CoapEndpoint {
  readonly #limits: EndpointLimits;
  readonly #randomBytes: (lengthBytes: number) => Uint8Array;
  readonly #tokenBytes: number;
  readonly #acknowledgeAfterMs: number;
  readonly #lifetimeMs: number;
  readonly #timers = new Timers();
  readonly #layer: MessageLayer;
  readonly #requests = new Map<number, ClientRequest>();
  /** The same by peer and token. */
  readonly #waiting = new Map<string, ClientRequest>();
  readonly #exchanges = new Map<number, ServerExchange>();
  #nextHandle = 1;
  #events: CoapEvent[] = [];

  constructor(config: EndpointConfig) {
    const parameters = { ...defaultTransmission, ...config.transmission };
    this.#limits = { ...defaultEndpointLimits, ...config.limits };
    this.#randomBytes = config.randomBytes;
    this.#tokenBytes = config.tokenBytes ?? 4;
    this.#acknowledgeAfterMs = config.acknowledgeAfterMs ?? 1_000;
    this.#lifetimeMs = exchangeLifetimeMs(parameters);
    this.#layer = new MessageLayer(parameters, this.#limits, config.randomBytes, this.#timers);
  }

  /** Sends a request, or queues it behind NSTART others. Confirmable by default. */
  request(
    peerName: string,
    content: CoapContent,
    nowMs: number,
    options: { readonly confirmable?: boolean } = {},
  ): RequestStep | EndpointRefusal {
    if (!isRequest(content.code)) throw new TypeError('the message is no request');
    const peer = this.#layer.peer(peerName);
    if (peer === undefined) return busy('too many peers');
    if (peer.openRequests >= this.#limits.requests) return busy('too many open requests');
    const token = this.#freshToken(peer);
    const observes = findUint(content.options, optionNumbers.observe) === 0;
    const handle = this.#nextHandle++;
    const request: ClientRequest = {
      handle,
      peer,
      token,
      observes,
      transmission: undefined,
      timer: undefined,
    };
    const confirmable = options.confirmable ?? true;
    const transmission = this.#layer.transmit(
      peer,
      {
        content,
        token,
        confirmable,
        paced: true,
        onEvent: (event, now) =>
          event === 'acknowledged'
            ? this.#awaitResponse(request, now)
            : this.#fail(request, event, now),
      },
      nowMs,
    );
    if (transmission === undefined) return busy('too many queued messages');
    request.transmission = transmission;
    peer.openRequests += 1;
    this.#requests.set(handle, request);
    this.#waiting.set(waitingKey(peer, token), request);
    return { ...this.#step(), request: handle };
  }

  /** Nothing more is wanted of this request; what still comes is answered with a Reset. */
  forget(handle: number, nowMs: number): CoapStep {
    const request = this.#requests.get(handle);
    if (request !== undefined) this.#endRequest(request, nowMs);
    return this.#step();
  }

  /** Whether the exchange can still be answered: it ends with its last response, and with time. */
  isOpen(handle: number): boolean {
    return this.#exchanges.has(handle);
  }

  /** The first response. With `keep` the exchange stays open for notifications. */
  respond(
    handle: number,
    content: CoapContent,
    nowMs: number,
    options: { readonly keep?: boolean } = {},
  ): CoapStep {
    if (!isResponse(content.code)) throw new TypeError('the message is no response');
    const exchange = this.#exchanges.get(handle);
    if (exchange === undefined) return this.#step();
    if (exchange.answered) throw new TypeError('this request was answered: notify');
    exchange.answered = true;
    const { peer, request } = exchange;
    const { messageId, token } = request;
    if (exchange.acknowledgement === undefined) {
      this.#transmit(exchange, content, request.type === 'CON', nowMs);
    } else {
      // RFC 7252 §5.2.1: the response goes with the acknowledgement.
      this.#timers.cancel(exchange.acknowledgement);
      exchange.acknowledgement = undefined;
      const message: CoapMessage = { ...content, type: 'ACK', messageId, token };
      this.#layer.reply(peer, messageId, encodeMessage(message));
    }
    if (options.keep === true) this.#timers.cancel(exchange.expiry);
    else this.#endExchange(exchange);
    return this.#step();
  }

  /** A further response to a request that was kept open (RFC 7641 §4.2); the last one closes it. */
  notify(
    handle: number,
    content: CoapContent,
    nowMs: number,
    options: { readonly confirmable?: boolean; readonly last?: boolean } = {},
  ): CoapStep {
    if (!isResponse(content.code)) throw new TypeError('the message is no response');
    const exchange = this.#exchanges.get(handle);
    if (exchange === undefined) return this.#step();
    if (!exchange.answered) throw new TypeError('this request was not answered: respond');
    this.#transmit(exchange, content, options.confirmable ?? false, nowMs);
    if (options.last === true) this.#endExchange(exchange);
    return this.#step();
  }

  /** No response is wanted (RFC 7967) or none is possible; a confirmable request is acknowledged. */
  dismiss(handle: number): CoapStep {
    const exchange = this.#exchanges.get(handle);
    if (exchange !== undefined) {
      if (exchange.acknowledgement !== undefined) this.#acknowledge(exchange);
      this.#endExchange(exchange);
    }
    return this.#step();
  }

  /** A datagram of a peer. */
  deliver(peerName: string, bytes: Uint8Array, nowMs: number): CoapStep {
    this.#timers.run(nowMs);
    const incoming = this.#layer.receive(peerName, bytes, nowMs);
    if (incoming?.kind === 'malformed') this.#events.push({ kind: 'malformed', peer: peerName });
    if (incoming?.kind === 'message') {
      const { peer, message } = incoming;
      if (isRequest(message.code)) this.#onRequest(peer, message, nowMs);
      else this.#onSeparateResponse(peer, message, nowMs);
    }
    if (incoming?.kind === 'piggybacked' && isResponse(incoming.message.code)) {
      const { transmission, message } = incoming;
      const request = this.#waiting.get(waitingKey(transmission.peer, message.token));
      // RFC 7252 §5.3.2: message ID and token both have to match.
      if (request?.transmission === transmission) this.#onResponse(request, message, nowMs);
    }
    return this.#step();
  }

  tick(nowMs: number): CoapStep {
    this.#timers.run(nowMs);
    return this.#step();
  }

  #onRequest(peer: Peer, message: CoapMessage, nowMs: number): void {
    if (peer.openExchanges >= this.#limits.exchanges) {
      // Its retransmission may find room.
      peer.forget(message.messageId);
      return;
    }
    const handle = this.#nextHandle++;
    const exchange: ServerExchange = {
      handle,
      peer,
      request: message,
      answered: false,
      acknowledgement: undefined,
      expiry: this.#timers.add(nowMs + this.#lifetimeMs, () => this.#endExchange(exchange)),
    };
    if (message.type === 'CON') {
      const atMs = nowMs + this.#acknowledgeAfterMs;
      exchange.acknowledgement = this.#timers.add(atMs, () => this.#acknowledge(exchange));
    }
    peer.openExchanges += 1;
    this.#exchanges.set(handle, exchange);
    this.#events.push({ kind: 'request', peer: peer.name, exchange: handle, message });
  }

  #onSeparateResponse(peer: Peer, message: CoapMessage, nowMs: number): void {
    const { type, messageId, token } = message;
    const request = this.#waiting.get(waitingKey(peer, token));
    if (request === undefined) {
      // RFC 7252 §5.3.2: nobody waits for it; the Reset also ends an observation (RFC 7641 §3.6).
      this.#layer.replyEmpty(peer, 'RST', messageId);
      return;
    }
    if (type === 'CON') this.#layer.replyEmpty(peer, 'ACK', messageId);
    this.#onResponse(request, message, nowMs);
  }

  #onResponse(request: ClientRequest, message: CoapMessage, nowMs: number): void {
    const { peer, handle, observes } = request;
    const final = !observes || !hasOption(message.options, optionNumbers.observe);
    if (final) this.#endRequest(request, nowMs);
    else this.#settle(request, nowMs);
    this.#events.push({ kind: 'response', peer: peer.name, request: handle, message, final });
  }

  #awaitResponse(request: ClientRequest, nowMs: number): void {
    const atMs = nowMs + this.#lifetimeMs;
    request.timer = this.#timers.add(atMs, (now) => this.#fail(request, 'no-response', now));
  }

  #fail(request: ClientRequest, reason: 'timeout' | 'reset' | 'no-response', nowMs: number): void {
    if (!this.#requests.has(request.handle)) return;
    this.#endRequest(request, nowMs);
    const { handle, peer } = request;
    this.#events.push({ kind: 'failed', peer: peer.name, request: handle, reason });
  }

  #endRequest(request: ClientRequest, nowMs: number): void {
    const { peer, token, handle } = request;
    if (this.#requests.delete(handle)) peer.openRequests -= 1;
    this.#waiting.delete(waitingKey(peer, token));
    this.#settle(request, nowMs);
  }

  /** RFC 7252 §5.2.2: a response is as good as the acknowledgement, which may have been lost. */
  #settle(request: ClientRequest, nowMs: number): void {
    this.#timers.cancel(request.timer);
    if (request.transmission !== undefined) this.#layer.settle(request.transmission, nowMs);
    request.transmission = undefined;
  }

  #acknowledge(exchange: ServerExchange): void {
    this.#timers.cancel(exchange.acknowledgement);
    exchange.acknowledgement = undefined;
    this.#layer.replyEmpty(exchange.peer, 'ACK', exchange.request.messageId);
  }

  /** A separate response or a notification: a message of its own with the token of the request. */
  #transmit(
    exchange: ServerExchange,
    content: CoapContent,
    confirmable: boolean,
    nowMs: number,
  ): void {
    const { peer, request, handle } = exchange;
    const onEvent = (event: string): void => {
      const isCancelled = event === 'reset' || (event === 'timeout' && confirmable);
      if (!isCancelled || !this.#exchanges.has(handle)) return;
      this.#endExchange(exchange);
      this.#events.push({ kind: 'cancelled', peer: peer.name, exchange: handle });
    };
    const { token } = request;
    const fields = { content, token, confirmable, paced: confirmable, onEvent };
    this.#layer.transmit(peer, fields, nowMs);
  }

  #endExchange(exchange: ServerExchange): void {
    this.#timers.cancel(exchange.acknowledgement);
    this.#timers.cancel(exchange.expiry);
    if (this.#exchanges.delete(exchange.handle)) exchange.peer.openExchanges -= 1;
  }

  #freshToken(peer: Peer): Uint8Array {
    for (;;) {
      const token = this.#randomBytes(this.#tokenBytes);
      if (!this.#waiting.has(waitingKey(peer, token))) return token;
    }
  }

  #step(): CoapStep {
    const deliver = this.#events;
    this.#events = [];
    return { send: this.#layer.takeOutgoing(), deliver, wakeAtMs: this.#timers.nextAtMs };
  }
}

function waitingKey(peer: Peer, token: Uint8Array): string {
  return `${toHex(token)}@${peer.name}`;
}

function busy(reason: string): EndpointRefusal {
  return { refused: 'busy', reason };
}
