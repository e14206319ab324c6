/**
 * What becomes of a frame on the air: it may be too long, get lost, arrive twice or be overtaken by
 * later ones. Seeded; the same order of frames meets the same fate.
 */
import type { SeededRandom } from './random.ts';

export interface AirOptions {
  readonly maximumFrameBytes: number;
  /** Probabilities of each frame, 0 to 1. */
  readonly drop: number;
  readonly duplicate: number;
  readonly reorder: number;
  /** Time on air and in the queue, least and most. */
  readonly delayMs: readonly [number, number];
  /** What a reordered frame waits in addition. */
  readonly reorderMs: number;
}

/** Frames of the longest LoRaWAN data rate that every region offers, on a bad day. */
export const defaultAir: AirOptions = {
  maximumFrameBytes: 51,
  drop: 0.1,
  duplicate: 0.1,
  reorder: 0.1,
  delayMs: [1, 4],
  reorderMs: 25,
};

export interface AirCounts {
  /** Every frame that a radio sent. */
  sent: number;
  delivered: number;
  dropped: number;
  duplicated: number;
  reordered: number;
  tooLong: number;
  /** Delivered frames that nobody listened to. */
  unheard: number;
}

export class Air {
  readonly options: AirOptions;
  readonly counts: AirCounts = {
    sent: 0,
    delivered: 0,
    dropped: 0,
    duplicated: 0,
    reordered: 0,
    tooLong: 0,
    unheard: 0,
  };
  readonly #random: SeededRandom;

  constructor(options: AirOptions, random: SeededRandom) {
    this.options = options;
    this.#random = random;
  }

  /** After how many milliseconds the frame arrives, once for each time that it does. */
  fate(frame: Uint8Array): readonly number[] {
    this.counts.sent += 1;
    if (frame.length > this.options.maximumFrameBytes) {
      this.counts.tooLong += 1;
      return [];
    }
    // All four are drawn for every frame, so that one option does not shift the story of another.
    const [dropped, duplicated, reordered] = [
      this.options.drop,
      this.options.duplicate,
      this.options.reorder,
    ].map((probability) => this.#random.next() < probability);
    const delayMs = this.#delay();
    const secondMs = this.#delay();
    if (dropped === true) {
      this.counts.dropped += 1;
      return [];
    }
    if (reordered === true) this.counts.reordered += 1;
    const arrivals = [delayMs + (reordered === true ? this.options.reorderMs : 0)];
    if (duplicated === true) {
      this.counts.duplicated += 1;
      arrivals.push(delayMs + secondMs);
    }
    return arrivals;
  }

  #delay(): number {
    const [least, most] = this.options.delayMs;
    return least + this.#random.next() * (most - least);
  }
}
