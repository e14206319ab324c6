/** What the message layer keeps of one peer (RFC 7252 §4): message IDs, messages received, messages waiting. */
import type { CoapContent } from './message.ts';
import type { Timer } from './timers.ts';

/** A message of ours until nothing can happen to it any more. */
export interface Transmission {
  readonly peer: Peer;
  readonly content: CoapContent;
  readonly token: Uint8Array;
  readonly confirmable: boolean;
  /** A request, or a confirmable message: counts against NSTART (RFC 7252 §4.7). */
  readonly paced: boolean;
  readonly onEvent: (event: TransmissionEvent, nowMs: number) => void;
  /** `settled`: acknowledged, answered or paced out; only a Reset may still come. */
  state: 'queued' | 'outstanding' | 'settled';
  messageId: number;
  bytes: Uint8Array;
  timeoutMs: number;
  retransmits: number;
  timer: Timer | undefined;
}

export type TransmissionEvent = 'acknowledged' | 'reset' | 'timeout';

export type Remembered =
  | { readonly duplicate: false }
  | { readonly duplicate: true; readonly reply: Uint8Array | undefined };

interface Received {
  /** Sent again when the message comes again (RFC 7252 §4.5). */
  reply: Uint8Array | undefined;
  readonly forgetAtMs: number;
}

export class Peer {
  readonly name: string;
  readonly queue: Transmission[] = [];
  /** By message ID: what an acknowledgement or a Reset can refer to. */
  readonly sent: Map<number, Transmission> = new Map();
  /** How many count against NSTART at this moment. */
  outstanding = 0;
  /** Kept by the request/response layer, for its limits. */
  openRequests = 0;
  openExchanges = 0;
  readonly #received = new Map<number, Received>();
  readonly #halfLeftAtMs = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY];
  #lastMessageId: number;

  constructor(name: string, firstMessageId: number) {
    this.name = name;
    this.#lastMessageId = firstMessageId;
  }

  get isIdle(): boolean {
    const open = this.openRequests + this.openExchanges + this.outstanding;
    return open === 0 && this.queue.length === 0;
  }

  /**
   * RFC 7252 §4.4: no message ID twice within the lifetime of an exchange. Each half of the numbers rests
   * for a lifetime after it was used up; `undefined` while the next half still does.
   */
  takeMessageId(nowMs: number, lifetimeMs: number): number | undefined {
    const next = (this.#lastMessageId + 1) & 0xffff;
    const half = next >> 15;
    if (half !== this.#lastMessageId >> 15) {
      if (nowMs < (this.#halfLeftAtMs[half] ?? 0) + lifetimeMs) return undefined;
      this.#halfLeftAtMs[1 - half] = nowMs;
    }
    this.#lastMessageId = next;
    return next;
  }

  /**
   * Whether a message ID was seen before, and what it was answered with. Beyond the maximum the oldest is
   * forgotten: a flood costs memory of a known size, and OSCORE refuses what then comes twice.
   */
  remember(messageId: number, nowMs: number, lifetimeMs: number, maximum: number): Remembered {
    for (const [id, { forgetAtMs }] of this.#received) {
      if (forgetAtMs > nowMs) break;
      this.#received.delete(id);
    }
    const seen = this.#received.get(messageId);
    if (seen !== undefined) return { duplicate: true, reply: seen.reply };
    const [oldest] = this.#received.keys();
    if (oldest !== undefined && this.#received.size >= maximum) this.#received.delete(oldest);
    this.#received.set(messageId, { reply: undefined, forgetAtMs: nowMs + lifetimeMs });
    return { duplicate: false };
  }

  /** For a message that was not processed after all: its retransmission may be. */
  forget(messageId: number): void {
    this.#received.delete(messageId);
  }

  setReply(messageId: number, reply: Uint8Array): void {
    const seen = this.#received.get(messageId);
    if (seen !== undefined) seen.reply = reply;
  }
}
