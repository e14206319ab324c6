/**
 * What tells a replay from a clone: four bytes of a hash for each number that the replay window remembers.
 * The same number with other content, authentic, can only come from a second holder of the keys. A value:
 * `with` gives another one.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import { defaultWindowSize } from '../../wire/oscore/replayWindow.ts';

const fingerprintBytes = 4;

export class Fingerprints {
  readonly #bytes: Uint8Array;

  private constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  static none(): Fingerprints {
    return new Fingerprints(new Uint8Array(defaultWindowSize * fingerprintBytes));
  }

  /** Throws a `TypeError` on what `store` did not give. */
  static restore(bytes: Uint8Array): Fingerprints {
    if (bytes.length !== defaultWindowSize * fingerprintBytes) {
      throw new TypeError('not the fingerprints of a window');
    }
    return new Fingerprints(bytes.slice());
  }

  store(): Uint8Array {
    return this.#bytes;
  }

  with(sequenceNumber: number, fingerprint: Uint8Array): Fingerprints {
    const bytes = this.#bytes.slice();
    bytes.set(fingerprint, placeOf(sequenceNumber));
    return new Fingerprints(bytes);
  }

  /** False for a number that the window holds because it may have been used. */
  knows(sequenceNumber: number): boolean {
    return !this.isOf(sequenceNumber, new Uint8Array(fingerprintBytes));
  }

  /** Only for a number that the window holds: else it is that of a later one. */
  isOf(sequenceNumber: number, fingerprint: Uint8Array): boolean {
    const start = placeOf(sequenceNumber);
    return equal(this.#bytes.subarray(start, start + fingerprintBytes), fingerprint);
  }
}

/**
 * Of the protected part alone: whoever carries a message may change message ID and token, and is no clone
 * for it.
 */
export function fingerprintOf(crypto: Crypto, ciphertext: Uint8Array): Uint8Array {
  return crypto.hash('SHA-256', ciphertext).slice(0, fingerprintBytes);
}

function placeOf(sequenceNumber: number): number {
  return (sequenceNumber % defaultWindowSize) * fingerprintBytes;
}
