/**
 * CoAP options (RFC 7252 §5.4, §5.10): numbers, what is known about each, and their values. A message
 * holds options as numbers and bytes; an option of the wrong length is not a broken message but an
 * option that is not recognized (§5.4.3).
 */
import { empty } from '../bytes/bytes.ts';
import { fromUtf8, utf8 } from '../bytes/utf8.ts';

export interface CoapOption {
  readonly number: number;
  readonly value: Uint8Array;
}

export const optionNumbers = {
  ifMatch: 1,
  uriHost: 3,
  eTag: 4,
  ifNoneMatch: 5,
  /** RFC 7641. */
  observe: 6,
  uriPort: 7,
  locationPath: 8,
  /** RFC 8613. */
  oscore: 9,
  uriPath: 11,
  contentFormat: 12,
  maxAge: 14,
  uriQuery: 15,
  /** RFC 8768. */
  hopLimit: 16,
  accept: 17,
  locationQuery: 20,
  /** RFC 9668. */
  edhoc: 21,
  /** RFC 7959. */
  block2: 23,
  block1: 27,
  size2: 28,
  proxyUri: 35,
  proxyScheme: 39,
  size1: 60,
  /** RFC 9175. */
  echo: 252,
  /** RFC 7967. */
  noResponse: 258,
  /** RFC 9175. */
  requestTag: 292,
} as const;

interface OptionFacts {
  readonly minimumBytes: number;
  readonly maximumBytes: number;
  readonly repeatable: boolean;
}

const facts = new Map<number, OptionFacts>();
describe(optionNumbers.ifMatch, 0, 8, 'repeatable');
describe(optionNumbers.uriHost, 1, 255);
describe(optionNumbers.eTag, 1, 8, 'repeatable');
describe(optionNumbers.ifNoneMatch, 0, 0);
describe(optionNumbers.observe, 0, 3);
describe(optionNumbers.uriPort, 0, 2);
describe(optionNumbers.locationPath, 0, 255, 'repeatable');
describe(optionNumbers.oscore, 0, 255);
describe(optionNumbers.uriPath, 0, 255, 'repeatable');
describe(optionNumbers.contentFormat, 0, 2);
describe(optionNumbers.maxAge, 0, 4);
describe(optionNumbers.uriQuery, 0, 255, 'repeatable');
describe(optionNumbers.hopLimit, 1, 1);
describe(optionNumbers.accept, 0, 2);
describe(optionNumbers.locationQuery, 0, 255, 'repeatable');
// RFC 9668 §3.1: the EDHOC option is empty, and a value that is there is ignored.
describe(optionNumbers.edhoc, 0, 65_535);
describe(optionNumbers.block2, 0, 3);
describe(optionNumbers.block1, 0, 3);
describe(optionNumbers.size2, 0, 4);
describe(optionNumbers.proxyUri, 1, 1034);
describe(optionNumbers.proxyScheme, 1, 255);
describe(optionNumbers.size1, 0, 4);
describe(optionNumbers.echo, 1, 40);
describe(optionNumbers.noResponse, 0, 1);
describe(optionNumbers.requestTag, 0, 8, 'repeatable');

function describe(
  number: number,
  minimumBytes: number,
  maximumBytes: number,
  repeatable?: 'repeatable',
): void {
  facts.set(number, { minimumBytes, maximumBytes, repeatable: repeatable !== undefined });
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

export interface Recognized {
  /** What is left when unrecognized elective options are dropped (RFC 7252 §5.4.1). */
  readonly options: readonly CoapOption[];
  /** The first critical option that is not recognized: the answer to a request is 4.02. */
  readonly badOption?: number;
}

/**
 * Recognized is an option that the caller understands, with a length in its range (RFC 7252 §5.4.3), and
 * in its first occurrence unless it may repeat (§5.4.5).
 */
export function recognize(
  options: readonly CoapOption[],
  understood: ReadonlySet<number>,
): Recognized {
  const kept: CoapOption[] = [];
  let badOption: number | undefined;
  let previous = -1;
  for (const option of options) {
    const { number, value } = option;
    const known = facts.get(number);
    const fits =
      known !== undefined &&
      value.length >= known.minimumBytes &&
      value.length <= known.maximumBytes &&
      (known.repeatable || number !== previous);
    previous = number;
    if (fits && understood.has(number)) kept.push(option);
    else if (isCritical(number)) badOption ??= number;
  }
  return badOption === undefined ? { options: kept } : { options: kept, badOption };
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
