/**
 * The replay window (RFC 8613 §7.4, the sliding window of RFC 6347 §4.1.2.6) as a value: `check` before a
 * message is decrypted, `accept` after it verified. A transaction that fails simply keeps the old value.
 */

/** What has to be durable before the answer to a request leaves. */
export interface ReplayWindowState {
  /** One more than the highest number received; 0 when none was. */
  readonly next: number;
  /** One bit a number, at the place number mod size; a multiple of one byte. */
  readonly seen: Uint8Array;
}

export type ReplayVerdict =
  | 'fresh'
  | 'replayed'
  | 'too-old'
  /** The window was lost: whether the number was received before cannot be known (RFC 8613 §B.1.2). */
  | 'unsynchronized';

/** RFC 8613 §3.2.2. */
export const defaultWindowSize = 32;

export class ReplayWindow {
  readonly #next: number;
  readonly #seen: Uint8Array;
  readonly #synchronized: boolean;

  private constructor(next: number, seen: Uint8Array, synchronized: boolean) {
    this.#next = next;
    this.#seen = seen;
    this.#synchronized = synchronized;
  }

  /** For a context that never received anything. `size` is a multiple of 8. */
  static empty(size: number = defaultWindowSize): ReplayWindow {
    return new ReplayWindow(0, new Uint8Array(bytesOfSize(size)), true);
  }

  /** For a context whose window was lost: it has to be synchronized with Echo first. */
  static lost(size: number = defaultWindowSize): ReplayWindow {
    return new ReplayWindow(0, new Uint8Array(bytesOfSize(size)), false);
  }

  /** RFC 8613 §B.1.2: a request that Echo proved fresh sets the lower limit; it counts as received. */
  static after(sequenceNumber: number, size: number = defaultWindowSize): ReplayWindow {
    const seen = new Uint8Array(bytesOfSize(size)).fill(0xff);
    return new ReplayWindow(sequenceNumber + 1, seen, true);
  }

  /** Throws a `TypeError` on a state that `state` cannot have given. */
  static restore({ next, seen }: ReplayWindowState): ReplayWindow {
    if (!Number.isSafeInteger(next) || next < 0 || seen.length === 0) {
      throw new TypeError('no state of a replay window');
    }
    return new ReplayWindow(next, seen.slice(), true);
  }

  get size(): number {
    return this.#seen.length * 8;
  }

  get isSynchronized(): boolean {
    return this.#synchronized;
  }

  check(sequenceNumber: number): ReplayVerdict {
    if (!this.#synchronized) return 'unsynchronized';
    if (sequenceNumber >= this.#next) return 'fresh';
    if (sequenceNumber < this.#next - this.size) return 'too-old';
    return this.#has(sequenceNumber) ? 'replayed' : 'fresh';
  }

  /** The window with this number in it. Throws a `TypeError` unless `check` says `fresh`. */
  accept(sequenceNumber: number): ReplayWindow {
    if (this.check(sequenceNumber) !== 'fresh') throw new TypeError('the number is not fresh');
    const seen = this.#seen.slice();
    const next = Math.max(this.#next, sequenceNumber + 1);
    // Places of numbers between the old and the new end still hold what left the window.
    for (let left = Math.max(this.#next, next - this.size); left < next; left++) clear(seen, left);
    mark(seen, sequenceNumber);
    return new ReplayWindow(next, seen, true);
  }

  /** Throws a `TypeError` for a lost window: there is nothing that could be restored. */
  state(): ReplayWindowState {
    if (!this.#synchronized) throw new TypeError('the window is lost');
    return { next: this.#next, seen: this.#seen.slice() };
  }

  #has(sequenceNumber: number): boolean {
    const place = sequenceNumber % this.size;
    return ((this.#seen[place >> 3] ?? 0) & (1 << (place & 7))) !== 0;
  }
}

function bytesOfSize(size: number): number {
  if (!Number.isInteger(size / 8) || size < 8 || size > 4096) {
    throw new TypeError('a window has 8 to 4096 places, in steps of 8');
  }
  return size / 8;
}

function mark(seen: Uint8Array, sequenceNumber: number): void {
  const place = sequenceNumber % (seen.length * 8);
  seen[place >> 3] = (seen[place >> 3] ?? 0) | (1 << (place & 7));
}

function clear(seen: Uint8Array, sequenceNumber: number): void {
  const place = sequenceNumber % (seen.length * 8);
  seen[place >> 3] = (seen[place >> 3] ?? 0) & ~(1 << (place & 7));
}
