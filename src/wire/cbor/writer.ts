/**
 * Writes deterministic CBOR (RFC 8949 §4.2.1). Every function returns the encoding of one item, so that
 * a message reads as its CDDL: `array(unsigned(1), bytes(key), nullItem)`.
 */
import { compare, concat } from '../bytes/bytes.ts';
import { utf8 } from '../bytes/utf8.ts';

export const falseItem: Uint8Array = Uint8Array.of(0xf4);
export const trueItem: Uint8Array = Uint8Array.of(0xf5);
export const nullItem: Uint8Array = Uint8Array.of(0xf6);
export const undefinedItem: Uint8Array = Uint8Array.of(0xf7);

export function integer(value: number): Uint8Array {
  return value < 0 ? head(1, -1 - value) : head(0, value);
}

/** Of up to 64 bits and a sign. */
export function bigInteger(value: bigint): Uint8Array {
  const magnitude = value < 0n ? -1n - value : value;
  if (magnitude <= BigInt(Number.MAX_SAFE_INTEGER)) return integer(Number(value));
  if (magnitude >= 1n << 64n) throw new TypeError(`${value} is no integer of CBOR`);
  const octets = Array.from({ length: 8 }, (_, at) =>
    Number((magnitude >> BigInt(56 - 8 * at)) & 255n),
  );
  return Uint8Array.of((value < 0n ? 0x20 : 0) | 27, ...octets);
}

export function bytes(value: Uint8Array): Uint8Array {
  const { length } = value;
  if (length >= 0x100) return concat(head(2, length), value);
  // Nearly all strings are short: head and content in one array.
  const headBytes = length < 24 ? 1 : 2;
  const item = new Uint8Array(headBytes + length);
  item[0] = length < 24 ? 0x40 | length : 0x58;
  if (headBytes === 2) item[1] = length;
  item.set(value, headBytes);
  return item;
}

export function text(value: string): Uint8Array {
  const encoded = utf8(value);
  return concat(head(3, encoded.length), encoded);
}

export function array(...items: readonly Uint8Array[]): Uint8Array {
  return concat(head(4, items.length), ...items);
}

/** Keys and values are encoded items; sorted bytewise by key (RFC 8949 §4.2.1). */
export function map(...entries: ReadonlyArray<readonly [Uint8Array, Uint8Array]>): Uint8Array {
  const sorted = [...entries].sort(([left], [right]) => compare(left, right));
  return concat(head(5, sorted.length), ...sorted.flat());
}

export function tag(number: number, item: Uint8Array): Uint8Array {
  return concat(head(6, number), item);
}

export function boolean(value: boolean): Uint8Array {
  return value ? trueItem : falseItem;
}

/** A CBOR sequence (RFC 8742): items one after the other with nothing around them. */
export const sequence: (...items: readonly Uint8Array[]) => Uint8Array = concat;

/**
 * Head of an item in its shortest form; for callers that write the content themselves. Short heads are
 * shared like `trueItem`: nobody writes into an item.
 */
export function head(major: number, value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${value} is no CBOR length`);
  const initial = major << 5;
  if (value < 0x100) return (shortHeads[(major << 8) | value] ??= shortHead(initial, value));
  if (value < 0x1_0000) return Uint8Array.of(initial | 25, value >> 8, value & 255);
  const low = value % 0x1_0000_0000;
  const lowBytes = [low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255];
  if (value < 0x1_0000_0000) return Uint8Array.of(initial | 26, ...lowBytes);
  const high = Math.floor(value / 0x1_0000_0000);
  return Uint8Array.of(
    initial | 27,
    high >>> 24,
    (high >>> 16) & 255,
    (high >>> 8) & 255,
    high & 255,
    ...lowBytes,
  );
}

/** Of values below 256, as they are asked for. */
const shortHeads = Array.from<Uint8Array | undefined>({ length: 8 * 256 });

function shortHead(initial: number, value: number): Uint8Array {
  return value < 24 ? Uint8Array.of(initial | value) : Uint8Array.of(initial | 24, value);
}
