/**
 * CoAP options (RFC 7252 §5.4, §5.10) and their values. A message holds options as numbers and bytes; what
 * an endpoint understands of them is for `recognize`.
 */
import { empty } from '../bytes/bytes.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import * as optionNumbers from './optionNumbers.ts';

export { optionNumbers };

export interface CoapOption {
  readonly number: number;
  readonly value: Uint8Array;
}

/** RFC 7252 §5.4.1: a critical option that is not understood makes the message unusable. */
export function isCritical(number: number): boolean {
  return (number & 1) === 1;
}

/** RFC 7252 §5.4.2: a proxy that does not know the option must not forward it. */
export function isUnsafeToForward(number: number): boolean {
  return (number & 2) === 2;
}

/** RFC 7252 §5.4.6: not part of the cache key. */
export function isNoCacheKey(number: number): boolean {
  return (number & 0x1e) === 0x1c;
}

export function findOption(options: readonly CoapOption[], number: number): Uint8Array | undefined {
  for (const option of options) {
    if (option.number === number) return option.value;
  }
  return undefined;
}

export function hasOption(options: readonly CoapOption[], number: number): boolean {
  return findOption(options, number) !== undefined;
}

/** Values of a repeatable option, in their order. */
export function findOptions(options: readonly CoapOption[], number: number): Uint8Array[] {
  return options.filter((option) => option.number === number).map(({ value }) => value);
}

/** The options without every occurrence of the numbers. */
export function withoutOptions(
  options: readonly CoapOption[],
  ...numbers: readonly number[]
): CoapOption[] {
  return options.filter(({ number }) => !numbers.includes(number));
}

/** An option of format `uint`; `undefined` when it is absent or longer than four bytes. */
export function findUint(options: readonly CoapOption[], number: number): number | undefined {
  const value = findOption(options, number);
  return value === undefined ? undefined : decodeUint(value);
}

export function opaque(number: number, value: Uint8Array = empty): CoapOption {
  return { number, value };
}

/** RFC 7252 §3.2: big endian without leading zeros; zero is the empty value. */
export function uint(number: number, value: number): CoapOption {
  return { number, value: encodeUint(value) };
}

export function text(number: number, value: string): CoapOption {
  return { number, value: utf8(value) };
}

export function encodeUint(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new TypeError(`${value} is no option value`);
  }
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Uint8Array.from(bytes);
}

/** RFC 7252 §3.2: a receiver takes leading zeros as well. `undefined` beyond four bytes. */
export function decodeUint(value: Uint8Array): number | undefined {
  if (value.length > 4) return undefined;
  let number = 0;
  for (const byte of value) number = number * 256 + byte;
  return number;
}

/** `/.well-known/edhoc` as Uri-Path options; `/` and the empty text give none. */
export function uriPath(path: string): CoapOption[] {
  const segments = path.split('/');
  if (segments[0] === '') segments.shift();
  if (segments.length === 1 && segments[0] === '') return [];
  return segments.map((segment) => text(optionNumbers.uriPath, segment));
}

/** Path of a request, `/` in front; `undefined` when a segment is not UTF-8. */
export function pathOf(options: readonly CoapOption[]): string | undefined {
  let path = '';
  for (const value of findOptions(options, optionNumbers.uriPath)) {
    const segment = fromUtf8(value);
    // A slash inside a segment would make two paths look the same.
    if (segment === undefined || segment.includes('/')) return undefined;
    path += `/${segment}`;
  }
  return path === '' ? '/' : path;
}
