/**
 * The message layer of CoAP (RFC 7252 §4): confirmable messages are sent again until they are answered,
 * duplicates are recognized, and no more than NSTART interactions with a peer are outstanding.
 */
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { emptyCode } from './codes.ts';
import {
  type CoapContent,
  type CoapMessage,
  encodeMessage,
  type MessageType,
  parseHead,
  parseMessage,
} from './message.ts';
import { Peer, type Transmission, type TransmissionEvent } from './peer.ts';
import type { Timers } from './timers.ts';
import {
  exchangeLifetimeMs,
  initialTimeoutMs,
  probingDelayMs,
  type TransmissionParameters,
} from './transmission.ts';

export interface Outgoing {
  readonly peer: string;
  readonly bytes: Uint8Array;
}

export interface MessageLayerLimits {
  readonly peers: number;
  /** Message IDs remembered, and messages of ours that a Reset may refer to, each peer. */
  readonly remembered: number;
  /** Messages of ours that wait for their turn, each peer. */
  readonly queued: number;
}

/** What a datagram means to the layer above. */
export type Incoming =
  | { readonly kind: 'message'; readonly peer: Peer; readonly message: CoapMessage }
  /** A response inside the acknowledgement of one of our messages; `settle` it when the token fits. */
  | {
      readonly kind: 'piggybacked';
      readonly transmission: Transmission;
      readonly message: CoapMessage;
    }
  | { readonly kind: 'malformed' };

export interface NewTransmission {
  readonly content: CoapContent;
  readonly token: Uint8Array;
  readonly confirmable: boolean;
  readonly paced: boolean;
  readonly onEvent: (event: TransmissionEvent, nowMs: number) => void;
}

export class MessageLayer {
  readonly #parameters: TransmissionParameters;
  readonly #limits: MessageLayerLimits;
  readonly #randomBytes: (lengthBytes: number) => Uint8Array;
  readonly #timers: Timers;
  readonly #lifetimeMs: number;
  /** The least recently used first. */
  readonly #peers = new Map<string, Peer>();
  #outgoing: Outgoing[] = [];

  constructor(
    parameters: TransmissionParameters,
    limits: MessageLayerLimits,
    randomBytes: (lengthBytes: number) => Uint8Array,
    timers: Timers,
  ) {
    this.#parameters = parameters;
    this.#limits = limits;
    this.#randomBytes = randomBytes;
    this.#timers = timers;
    this.#lifetimeMs = exchangeLifetimeMs(parameters);
  }

  /** `undefined` when there are too many peers and none of them is idle. */
  peer(name: string): Peer | undefined {
    let peer = this.#peers.get(name);
    if (peer === undefined) {
      if (this.#peers.size >= this.#limits.peers && !this.#dropIdlePeer()) return undefined;
      const [high = 0, low = 0] = this.#randomBytes(2);
      peer = new Peer(name, (high << 8) | low);
    }
    this.#peers.delete(name);
    this.#peers.set(name, peer);
    return peer;
  }

  /** `undefined` when too many wait already. */
  transmit(peer: Peer, fields: NewTransmission, nowMs: number): Transmission | undefined {
    if (peer.queue.length >= this.#limits.queued) return undefined;
    const transmission: Transmission = {
      ...fields,
      peer,
      state: 'queued',
      messageId: 0,
      bytes: fields.content.payload,
      timeoutMs: 0,
      retransmits: 0,
      timer: undefined,
    };
    peer.queue.push(transmission);
    this.#startQueued(peer, nowMs);
    return transmission;
  }

  /** An acknowledgement or Reset, sent again whenever the message comes again. */
  reply(peer: Peer, messageId: number, bytes: Uint8Array): void {
    peer.setReply(messageId, bytes);
    this.#emit(peer, bytes);
  }

  replyEmpty(peer: Peer, type: 'ACK' | 'RST', messageId: number): void {
    this.reply(peer, messageId, emptyMessage(type, messageId));
  }

  receive(name: string, bytes: Uint8Array, nowMs: number): Incoming | undefined {
    const peer = this.peer(name);
    if (peer === undefined) return undefined;
    let message: CoapMessage;
    try {
      message = parseMessage(bytes);
    } catch (error) {
      // RFC 7252 §3: another version is ignored silently.
      if (error instanceof UnsupportedError) return undefined;
      if (!(error instanceof MalformedError)) throw error;
      const head = parseHead(bytes);
      // §4.2, §4.3: what is confirmable and cannot be processed is rejected, the rest is ignored.
      if (head?.type === 'CON') this.replyEmpty(peer, 'RST', head.messageId);
      return { kind: 'malformed' };
    }
    const { type, code, messageId } = message;
    if (type === 'ACK' || type === 'RST') return this.#onAnswer(peer, message, nowMs);
    if (code === emptyCode) {
      // §4.3: an Empty confirmable message is a ping; an Empty non-confirmable one is nothing.
      if (type === 'CON') this.replyEmpty(peer, 'RST', messageId);
      return undefined;
    }
    const seen = peer.remember(messageId, nowMs, this.#lifetimeMs, this.#limits.remembered);
    if (!seen.duplicate) return { kind: 'message', peer, message };
    // §4.5: the duplicate gets what the first one got, and nothing is processed again.
    if (type === 'CON' && seen.reply !== undefined) this.#emit(peer, seen.reply);
    return undefined;
  }

  /** The interaction is over: answered, or nobody is interested any more. */
  settle(transmission: Transmission, nowMs: number): void {
    const { peer } = transmission;
    if (transmission.state === 'outstanding' && transmission.paced) peer.outstanding -= 1;
    if (transmission.state === 'queued') peer.queue.splice(peer.queue.indexOf(transmission), 1);
    transmission.state = 'settled';
    this.#timers.cancel(transmission.timer);
    if (peer.sent.get(transmission.messageId) === transmission) {
      peer.sent.delete(transmission.messageId);
    }
    this.#startQueued(peer, nowMs);
  }

  takeOutgoing(): readonly Outgoing[] {
    const outgoing = this.#outgoing;
    this.#outgoing = [];
    return outgoing;
  }

  #onAnswer(peer: Peer, message: CoapMessage, nowMs: number): Incoming | undefined {
    const transmission = peer.sent.get(message.messageId);
    if (transmission === undefined) return undefined;
    if (message.type === 'RST') {
      if (message.code === emptyCode) this.#finish(transmission, 'reset', nowMs);
      return undefined;
    }
    if (!transmission.confirmable) return undefined;
    if (message.code !== emptyCode) return { kind: 'piggybacked', transmission, message };
    this.#finish(transmission, 'acknowledged', nowMs);
    return undefined;
  }

  #startQueued(peer: Peer, nowMs: number): void {
    for (;;) {
      const isFull = peer.outstanding >= this.#parameters.nstart;
      const next = peer.queue.find(({ paced }) => !paced || !isFull);
      if (next === undefined) return;
      const messageId = peer.takeMessageId(nowMs, this.#lifetimeMs);
      if (messageId === undefined) {
        this.#timers.add(nowMs + this.#lifetimeMs, (now) => this.#startQueued(peer, now));
        return;
      }
      peer.queue.splice(peer.queue.indexOf(next), 1);
      this.#start(next, messageId, nowMs);
    }
  }

  #start(transmission: Transmission, messageId: number, nowMs: number): void {
    const { peer, content, token, confirmable, paced } = transmission;
    const type: MessageType = confirmable ? 'CON' : 'NON';
    transmission.messageId = messageId;
    transmission.bytes = encodeMessage({ ...content, type, messageId, token });
    transmission.state = 'outstanding';
    if (paced) peer.outstanding += 1;
    this.#makeRoom(peer);
    peer.sent.set(messageId, transmission);
    this.#emit(peer, transmission.bytes);
    if (confirmable) {
      const [high = 0, low = 0] = this.#randomBytes(2);
      const random = ((high << 8) | low) / 0xffff;
      transmission.timeoutMs = initialTimeoutMs(this.#parameters, random);
      this.#retransmitLater(transmission, nowMs);
    } else this.#holdPlace(transmission, nowMs);
  }

  #retransmitLater(transmission: Transmission, nowMs: number): void {
    transmission.timer = this.#timers.add(nowMs + transmission.timeoutMs, (now) => {
      if (transmission.retransmits >= this.#parameters.maximumRetransmits) {
        this.#finish(transmission, 'timeout', now);
        return;
      }
      transmission.retransmits += 1;
      // RFC 7252 §4.2: binary exponential back-off.
      transmission.timeoutMs *= 2;
      this.#emit(transmission.peer, transmission.bytes);
      this.#retransmitLater(transmission, now);
    });
  }

  /**
   * A non-confirmable request keeps its place until it is answered or, with a peer that does not answer,
   * for so long that PROBING_RATE holds (RFC 7252 §4.7). Afterwards a late answer is still taken.
   */
  #holdPlace(transmission: Transmission, nowMs: number): void {
    const { peer, paced, bytes } = transmission;
    if (!paced) {
      // A response: nothing is awaited, but a Reset may come for as long as it is remembered.
      transmission.state = 'settled';
      return;
    }
    const pauseMs = probingDelayMs(this.#parameters, bytes.length);
    transmission.timer = this.#timers.add(nowMs + pauseMs, (now) => {
      peer.outstanding -= 1;
      transmission.state = 'settled';
      this.#startQueued(peer, now);
      transmission.timer = this.#timers.add(now + this.#lifetimeMs, (later) =>
        this.#finish(transmission, 'timeout', later),
      );
    });
  }

  /** The oldest response goes, which only a Reset could still answer; the rest has limits of its own. */
  #makeRoom(peer: Peer): void {
    if (peer.sent.size < this.#limits.remembered) return;
    for (const { state, timer, messageId } of peer.sent.values()) {
      if (state !== 'settled' || timer !== undefined) continue;
      peer.sent.delete(messageId);
      return;
    }
  }

  #finish(transmission: Transmission, event: TransmissionEvent, nowMs: number): void {
    this.settle(transmission, nowMs);
    transmission.onEvent(event, nowMs);
  }

  #dropIdlePeer(): boolean {
    for (const [name, peer] of this.#peers) {
      if (!peer.isIdle) continue;
      this.#peers.delete(name);
      return true;
    }
    return false;
  }

  #emit(peer: Peer, bytes: Uint8Array): void {
    this.#outgoing.push({ peer: peer.name, bytes });
  }
}

/** RFC 7252 §4.1. */
export function emptyMessage(type: 'ACK' | 'RST', messageId: number): Uint8Array {
  const nothing = new Uint8Array(0);
  const content = { code: emptyCode, options: [], payload: nothing };
  return encodeMessage({ ...content, type, messageId, token: nothing });
}
