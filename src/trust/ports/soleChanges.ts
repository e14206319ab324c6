/** How many devices one person alone may still revoke, hold or reinstate, for every store to ask and to keep. */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';

/** What one person has changed in that time counts against the limit. */
export const soleWindowMs: number = 24 * 3_600_000;
const hourMs = 3_600_000;

/** Setting in which a store keeps `SoleChanges`. */
export const soleChangesSetting = 'sole-changes';
/** The same for one-time secrets. */
export const soleSecretsSetting = 'sole-secrets';

/** Devices whose status was changed without a second person, by the hour: what is older is forgotten. */
export class SoleChanges {
  readonly #hours: ReadonlyMap<number, number>;

  /** As `with` encodes them. Throws a `MalformedError` for anything else. */
  constructor(encoded: Uint8Array | undefined) {
    const hours = new Map<number, number>();
    if (encoded !== undefined) {
      const reader = new CborReader(encoded);
      for (let count = reader.map(); count > 0; count--) {
        hours.set(reader.unsigned(), reader.unsigned());
      }
      reader.end();
    }
    this.#hours = hours;
  }

  left(limit: number, nowMs: number): number {
    let taken = 0;
    for (const [, devices] of this.#recent(nowMs)) taken += devices;
    return Math.max(0, limit - taken);
  }

  with(devices: number, nowMs: number): Uint8Array {
    const hours = new Map(this.#recent(nowMs));
    const hour = Math.floor(nowMs / hourMs);
    hours.set(hour, (hours.get(hour) ?? 0) + devices);
    return cbor.map(
      ...[...hours].map((pair) => [cbor.integer(pair[0]), cbor.integer(pair[1])] as const),
    );
  }

  /** The hour in which the window begins counts whole; what a clock that was put back calls future counts too. */
  #recent(nowMs: number): ReadonlyArray<readonly [hour: number, devices: number]> {
    const oldest = Math.floor((nowMs - soleWindowMs) / hourMs);
    return [...this.#hours].filter(([hour]) => hour >= oldest);
  }
}
