/** External Authorization Data (RFC 9528 §3.8): items of a label and an optional value, and padding. */
import { empty } from '../bytes/bytes.ts';
import type { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';

export interface EadItem {
  /** As registered, not negative. 0 is padding and never appears in what was read. */
  readonly label: number;
  /** A receiver that does not know a critical item, or cannot process it, aborts. */
  readonly critical: boolean;
  readonly value?: Uint8Array;
}

/** What an EAD field held: the items, and the bytes that go into MACs and hashes. */
export interface EadField {
  readonly items: readonly EadItem[];
  /** The CBOR sequence as it was received, padding included; no bytes when the field was absent. */
  readonly bytes: Uint8Array;
}

/** Our limit, in items of one field, padding included. */
export const maximumEadItems = 64;

export function encodeEad(items: readonly EadItem[]): Uint8Array {
  if (items.length > maximumEadItems) throw new TypeError(`more than ${maximumEadItems} EAD items`);
  return items.length === 0 ? empty : cbor.sequence(...items.map(encodeItem));
}

/** Reads to the end of the input. */
export function readEad(reader: CborReader): EadField {
  const start = reader.offset;
  const items: EadItem[] = [];
  for (let count = 0; !reader.atEnd; count++) {
    if (count === maximumEadItems) reader.fail(`more than ${maximumEadItems} EAD items`);
    const label = reader.integer();
    const value = !reader.atEnd && reader.peek() === 'bytes' ? reader.bytes() : undefined;
    // RFC 9528 §3.8.1: padding is ignored and discarded.
    if (label === 0) continue;
    const item = { label: Math.abs(label), critical: label < 0 };
    items.push(value === undefined ? item : { ...item, value });
  }
  return { items, bytes: reader.since(start) };
}

/** The first critical item whose label is not in the list (RFC 9528 §3.8). */
export function unknownCritical(
  items: readonly EadItem[],
  knownLabels: readonly number[],
): EadItem | undefined {
  return items.find(({ critical, label }) => critical && !knownLabels.includes(label));
}

/** Items that add exactly so many bytes to a message (RFC 9528 §3.8.1); `random` gives their content. */
export function padding(
  lengthBytes: number,
  random: (lengthBytes: number) => Uint8Array,
): readonly EadItem[] {
  if (lengthBytes < 0) throw new TypeError('padding of a negative length');
  if (lengthBytes === 0) return [];
  if (lengthBytes === 1) return [paddingItem];
  for (const headBytes of [1, 2, 3, 5]) {
    const valueBytes = lengthBytes - 1 - headBytes;
    if (valueBytes >= 0 && cbor.head(2, valueBytes).length === headBytes) {
      return [{ ...paddingItem, value: random(valueBytes) }];
    }
  }
  // No head fits where the length lies between two of its widths: one more item of one byte fills up.
  return [paddingItem, ...padding(lengthBytes - 1, random)];
}

const paddingItem: EadItem = { label: 0, critical: false };

function encodeItem({ label, critical, value }: EadItem): Uint8Array {
  if (!Number.isSafeInteger(label) || label < 0 || (label === 0 && critical)) {
    throw new TypeError(`${label} is no EAD label`);
  }
  const encoded = cbor.integer(critical ? -label : label);
  return value === undefined ? encoded : cbor.sequence(encoded, cbor.bytes(value));
}
