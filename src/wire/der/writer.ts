/**
 * Writes DER. Every function returns the encoding of one element, so that a structure reads as its
 * ASN.1: `sequence(oid('1.2.840.10045.4.3.2'), nullElement)`.
 */
import { compare } from '../bytes/bytes.ts';
import { utf8 } from '../bytes/utf8.ts';
import { oidContent } from './oid.ts';
import { contextConstructed, contextPrimitive, tags } from './tags.ts';
import { firstGeneralizedTimeMs, generalizedTimeText, utcTimeText } from './time.ts';

export const nullElement: Uint8Array = /* @__PURE__ */ Uint8Array.of(tags.null, 0);

/** Identifier octet, length, content. */
export function element(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of content) length += part.length;
  const headerLength = headerBytes(length);
  const encoded = new Uint8Array(headerLength + length);
  writeHeader(encoded, 0, tag, length);
  let offset = headerLength;
  for (const part of content) {
    encoded.set(part, offset);
    offset += part.length;
  }
  return encoded;
}

/** Octets that identifier and length take before a content of this length. */
export function headerBytes(contentLength: number): number {
  if (contentLength < 0x80) return 2;
  if (contentLength < 0x100) return 3;
  if (contentLength < 0x1_0000) return 4;
  return contentLength < 0x100_0000 ? 5 : 6;
}

/** Writes identifier and length into `target`; returns the offset behind them. */
export function writeHeader(
  target: Uint8Array,
  offset: number,
  tag: number,
  contentLength: number,
): number {
  target[offset] = tag;
  if (contentLength < 0x80) {
    target[offset + 1] = contentLength;
    return offset + 2;
  }
  const octets = headerBytes(contentLength) - 2;
  target[offset + 1] = 0x80 | octets;
  for (let index = 0; index < octets; index++) {
    target[offset + 2 + index] = (contentLength >>> (8 * (octets - 1 - index))) & 255;
  }
  return offset + 2 + octets;
}

export function sequence(...items: readonly Uint8Array[]): Uint8Array {
  return element(tags.sequence, ...items);
}

/** SET OF: sorted by encoding (X.690 §11.6). */
export function setOf(...items: readonly Uint8Array[]): Uint8Array {
  return element(tags.set, ...[...items].sort(compare));
}

/** `[n] EXPLICIT`. */
export function explicit(number: number, item: Uint8Array): Uint8Array {
  return element(contextConstructed(number), item);
}

/** `[n] IMPLICIT`: the element's own tag gives way to the context tag. */
export function implicit(number: number, item: Uint8Array): Uint8Array {
  const constructed = ((item[0] ?? 0) & 0x20) !== 0;
  const retagged = item.slice();
  retagged[0] = constructed ? contextConstructed(number) : contextPrimitive(number);
  return retagged;
}

export function boolean(value: boolean): Uint8Array {
  return Uint8Array.of(tags.boolean, 1, value ? 0xff : 0);
}

/** A safe integer, 0 or above. */
export function integer(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`${value} is no INTEGER here`);
  const octets: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return unsignedInteger(Uint8Array.from(octets));
}

/** A number 0 or above from its big-endian magnitude; leading zeros are dropped. */
export function unsignedInteger(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length && magnitude[start] === 0) start += 1;
  const trimmed = magnitude.subarray(start);
  const positive = trimmed.length > 0 && (trimmed[0] ?? 0) < 0x80;
  return positive
    ? element(tags.integer, trimmed)
    : element(tags.integer, Uint8Array.of(0), trimmed);
}

export function oid(dotted: string): Uint8Array {
  return element(tags.oid, oidContent(dotted));
}

export function octetString(...content: readonly Uint8Array[]): Uint8Array {
  return element(tags.octetString, ...content);
}

/** A BIT STRING of whole octets. */
export function bitString(content: Uint8Array): Uint8Array {
  return element(tags.bitString, Uint8Array.of(0), content);
}

/** A named bit list: positions of the bits that are set (X.690 §11.2.2: without trailing zero bits). */
export function namedBits(positions: readonly number[]): Uint8Array {
  if (positions.length === 0) return element(tags.bitString, Uint8Array.of(0));
  const last = Math.max(...positions);
  const content = new Uint8Array(2 + (last >> 3));
  content[0] = 7 - (last & 7);
  for (const bit of positions) {
    content[1 + (bit >> 3)] = (content[1 + (bit >> 3)] ?? 0) | (0x80 >> (bit & 7));
  }
  return element(tags.bitString, content);
}

export function utf8String(text: string): Uint8Array {
  return element(tags.utf8String, utf8(text));
}

/** Throws a `TypeError` on a character outside PrintableString. */
export function printableString(text: string): Uint8Array {
  if (!isPrintable(text)) throw new TypeError(`${JSON.stringify(text)} is no PrintableString`);
  return element(tags.printableString, utf8(text));
}

/** Whether every character belongs to PrintableString (X.680 §41.4). */
export function isPrintable(text: string): boolean {
  return /^[A-Za-z0-9 '()+,\-./:=?]*$/.test(text);
}

/** Throws a `TypeError` on a character outside ASCII. */
export function ia5String(text: string): Uint8Array {
  const content = utf8(text);
  if (content.length !== text.length) {
    throw new TypeError(`${JSON.stringify(text)} is no IA5String`);
  }
  return element(tags.ia5String, content);
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050. */
export function time(timeMs: number): Uint8Array {
  return timeMs < firstGeneralizedTimeMs ? utcTime(timeMs) : generalizedTime(timeMs);
}

export function utcTime(timeMs: number): Uint8Array {
  return element(tags.utcTime, utf8(utcTimeText(timeMs)));
}

export function generalizedTime(timeMs: number): Uint8Array {
  return element(tags.generalizedTime, utf8(generalizedTimeText(timeMs)));
}
