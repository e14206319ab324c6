/** The air in one process and virtual time, for tests: sensors and gateways as link ports. */
import type { Link, RadioPort } from '../../src/device/ports/link.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { Air, type AirOptions } from './air.ts';
import { seededRandom } from './random.ts';
import type { VirtualTime } from './virtualTime.ts';

export interface HeardFrame {
  readonly direction: 'up' | 'down';
  readonly linkAddress: string;
  readonly frame: Uint8Array;
}

type Receive = (frame: Uint8Array) => Promise<void>;
type ReceiveFrom = (linkAddress: Uint8Array, frame: Uint8Array) => Promise<void>;

export class MemoryAir {
  readonly air: Air;
  /** Every frame that a gateway's radio received or was given to send. */
  readonly heard: HeardFrame[] = [];
  /** Sees every frame before its fate; false takes it off the air. */
  intercept: (frame: HeardFrame) => boolean = () => true;
  readonly #time: VirtualTime;
  readonly #sensors = new Map<string, Receive>();
  readonly #gateways = new Set<{ receive: ReceiveFrom }>();

  constructor(time: VirtualTime, options: AirOptions, seed: number) {
    this.#time = time;
    this.air = new Air(options, seededRandom(seed));
  }

  /** A later link with the same address takes the place of the earlier one, as after a restart. */
  link(linkAddress: Uint8Array): Link {
    const name = toHex(linkAddress);
    return {
      maximumFrameBytes: this.air.options.maximumFrameBytes,
      send: (frame) => {
        this.sendUp(linkAddress, frame);
        return Promise.resolve();
      },
      onFrame: (receive) => void this.#sensors.set(name, receive),
    };
  }

  gateway(): RadioPort {
    const gateway = { receive: (): Promise<void> => Promise.resolve() };
    this.#gateways.add(gateway);
    return {
      maximumFrameBytes: this.air.options.maximumFrameBytes,
      send: (linkAddress, frame) => {
        this.#sendDown(linkAddress, frame);
        return Promise.resolve();
      },
      onFrame: (receive: ReceiveFrom) => void Object.assign(gateway, { receive }),
    };
  }

  /** The sensor has no power: frames for it are lost. */
  silence(linkAddress: Uint8Array): void {
    this.#sensors.delete(toHex(linkAddress));
  }

  /** Also what somebody else's radio would do who pretends to be that sensor. */
  sendUp(linkAddress: Uint8Array, frame: Uint8Array): void {
    const sent = {
      direction: 'up',
      linkAddress: toHex(linkAddress),
      frame: frame.slice(),
    } as const;
    if (!this.intercept(sent)) return;
    for (const delayMs of this.air.fate(frame)) {
      this.#time.after(delayMs, async () => {
        this.heard.push(sent);
        this.#count(this.#gateways.size > 0);
        for (const { receive } of this.#gateways) await receive(linkAddress, sent.frame.slice());
      });
    }
  }

  #sendDown(linkAddress: Uint8Array, frame: Uint8Array): void {
    const name = toHex(linkAddress);
    const sent = { direction: 'down', linkAddress: name, frame: frame.slice() } as const;
    this.heard.push(sent);
    if (!this.intercept(sent)) return;
    for (const delayMs of this.air.fate(frame)) {
      this.#time.after(delayMs, async () => {
        const receive = this.#sensors.get(name);
        this.#count(receive !== undefined);
        await receive?.(sent.frame.slice());
      });
    }
  }

  #count(heard: boolean): void {
    if (heard) this.air.counts.delivered += 1;
    else this.air.counts.unheard += 1;
  }
}
