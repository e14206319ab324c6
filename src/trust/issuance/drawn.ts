/**
 * Serial numbers and device ids, drawn for a whole batch in one call of the random source. Both begin with
 * the time, as UUIDv7 does (RFC 9562 §5.7) and for its reason: they are unique keys, and an index over
 * keys in the order of their making grows at its end, where wholly random ones touch a page each.
 */
import { toBase32 } from '../../wire/bytes/base32.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';

/** RFC 5280 §4.1.2.2: unique and positive. */
export const serialBytes = 16;
/** Milliseconds: the first octet is below 0x80 for four thousand years. */
const serialTimeBytes = 6;

const deviceIdBytes = 10;
/** Seconds, until the year 2106; then they begin anew, and uniqueness does not rest on them. */
const deviceIdTimeBytes = 4;

/** 48 bits of time, which the certificate tells anyway, and 80 random ones, which nobody predicts. */
export function drawnSerialNumbers(
  crypto: Crypto,
  nowMs: number,
  count: number,
): (index: number) => Uint8Array {
  const drawn = behindTime(crypto, nowMs, serialTimeBytes, serialBytes, count);
  return (index) => drawn.slice(index * serialBytes, (index + 1) * serialBytes);
}

/** 32 bits of time and 48 random ones, in 16 characters. */
export function drawnDeviceIds(
  crypto: Crypto,
  nowMs: number,
  count: number,
): (index: number) => string {
  const seconds = Math.floor(nowMs / 1000);
  const drawn = behindTime(crypto, seconds, deviceIdTimeBytes, deviceIdBytes, count);
  return (index) => toBase32(drawn.subarray(index * deviceIdBytes, (index + 1) * deviceIdBytes));
}

function behindTime(
  crypto: Crypto,
  time: number,
  timeBytes: number,
  eachBytes: number,
  count: number,
): Uint8Array {
  const drawn = crypto.random(eachBytes * count);
  const prefix = new Uint8Array(timeBytes);
  let rest = time;
  for (let index = timeBytes - 1; index >= 0; index--) {
    prefix[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  for (let index = 0; index < count; index++) drawn.set(prefix, index * eachBytes);
  return drawn;
}
