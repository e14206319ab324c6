/**
 * What a gateway does with the frames of others: up to its server, down to its radio, unread. It holds no
 * key that could open them, and decides by address, size and number alone.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { maximumLinkAddressBytes, readEnvelope, writeEnvelope } from '../../wire/relay/envelope.ts';
import type { RadioPort } from '../ports/link.ts';
import type { Timer } from '../ports/timer.ts';
import { type RateLimit, RateLimiter } from './rateLimit.ts';

export interface RelayPorts {
  readonly radio: RadioPort;
  readonly timer: Timer;
  /** Hands an envelope to the server. Rejects when that is not possible now. */
  readonly publish: (envelope: Uint8Array) => Promise<void>;
  /** Sees what is carried: this is all that a gateway knows of it. */
  readonly observe?: (direction: 'up' | 'down', linkAddress: Uint8Array, frame: Uint8Array) => void;
}

export interface RelayOptions {
  readonly rate: RateLimit;
  /** Link addresses whose rate is known. */
  readonly maximumAddresses: number;
  /** Envelopes that wait for the server; beyond it the oldest is dropped, since sensors send again. */
  readonly maximumQueued: number;
  /** Envelopes that the server has not acknowledged. */
  readonly maximumUnderWay: number;
}

export const relayDefaults: RelayOptions = {
  rate: { burst: 32, perSecond: 8 },
  maximumAddresses: 4096,
  maximumQueued: 512,
  maximumUnderWay: 16,
};

/** Between a failed publication and the next. */
const pauseMs = 1_000;

export interface RelayCounts {
  up: number;
  down: number;
  /** By reason. */
  readonly dropped: {
    tooLong: number;
    tooOften: number;
    queueFull: number;
    malformed: number;
    radio: number;
  };
}

export class GatewayRelay {
  readonly counts: RelayCounts = {
    up: 0,
    down: 0,
    dropped: { tooLong: 0, tooOften: 0, queueFull: 0, malformed: 0, radio: 0 },
  };
  readonly #ports: RelayPorts;
  readonly #options: RelayOptions;
  readonly #limiter: RateLimiter;
  #queue: Uint8Array[] = [];
  #underWay = 0;
  #online = false;
  #paused = false;
  #stopped = false;
  #cancelPause: () => void = () => undefined;

  constructor(ports: RelayPorts, options: Partial<RelayOptions> = {}) {
    this.#ports = ports;
    this.#options = { ...relayDefaults, ...options };
    this.#limiter = new RateLimiter(this.#options.rate, this.#options.maximumAddresses);
    ports.radio.onFrame(async (linkAddress, frame) => this.#onRadioFrame(linkAddress, frame));
  }

  /** Told by the uplink: what waited goes out when the server can be reached again. */
  onState(state: 'online' | 'offline'): void {
    this.#online = state === 'online';
    this.#flush();
  }

  /** Carries nothing more: what waits is dropped, since sensors send again. */
  stop(): void {
    this.#stopped = true;
    this.#queue = [];
    this.#cancelPause();
  }

  /** An envelope from the server. */
  async onDown(envelope: Uint8Array): Promise<void> {
    const { radio } = this.#ports;
    try {
      const { linkAddress, frame } = readEnvelope(envelope);
      if (frame.length > radio.maximumFrameBytes) {
        this.counts.dropped.tooLong += 1;
        return;
      }
      await radio.send(linkAddress, frame);
      this.counts.down += 1;
      this.#ports.observe?.('down', linkAddress, frame);
    } catch (error) {
      if (error instanceof MalformedError) this.counts.dropped.malformed += 1;
      else this.counts.dropped.radio += 1;
    }
  }

  #onRadioFrame(linkAddress: Uint8Array, frame: Uint8Array): void {
    const { radio, timer } = this.#ports;
    const { dropped } = this.counts;
    const addressFits = linkAddress.length >= 1 && linkAddress.length <= maximumLinkAddressBytes;
    if (!addressFits || frame.length === 0) dropped.malformed += 1;
    else if (frame.length > radio.maximumFrameBytes) dropped.tooLong += 1;
    else if (!this.#limiter.take(toHex(linkAddress), timer.nowMs())) dropped.tooOften += 1;
    else {
      this.#ports.observe?.('up', linkAddress, frame);
      this.#queue.push(writeEnvelope({ linkAddress, frame }));
      this.#trim();
      this.#flush();
    }
  }

  #flush(): void {
    while (this.#mayPublish()) {
      const envelope = this.#queue.shift();
      if (envelope === undefined) return;
      this.#underWay += 1;
      void this.#publish(envelope);
    }
  }

  #mayPublish(): boolean {
    const may = this.#online && !this.#paused && !this.#stopped;
    return may && this.#underWay < this.#options.maximumUnderWay;
  }

  async #publish(envelope: Uint8Array): Promise<void> {
    try {
      await this.#ports.publish(envelope);
      this.counts.up += 1;
    } catch {
      // Whether the server got it is unknown; there it would be a duplicate, which does no harm.
      this.#queue.unshift(envelope);
      this.#trim();
      this.#pause();
    }
    this.#underWay -= 1;
    this.#flush();
  }

  /** A connection that was lost says so later than what was under way on it. */
  #pause(): void {
    if (this.#paused || this.#stopped) return;
    this.#paused = true;
    const { timer } = this.#ports;
    this.#cancelPause = timer.wakeAt(timer.nowMs() + pauseMs, async () => {
      this.#paused = false;
      this.#flush();
    });
  }

  #trim(): void {
    const excess = this.#queue.length - this.#options.maximumQueued;
    if (excess <= 0) return;
    this.#queue = this.#queue.slice(excess);
    this.counts.dropped.queueFull += excess;
  }
}
