/**
 * Reads DER (X.690) element by element, strict: shortest definite lengths, canonical values, nothing
 * beyond the input, nothing left over inside an element. Every failure is a `MalformedError` with the
 * offset of the first wrong byte. Rules about content (RFC 5280) belong to whoever reads the value.
 */
import { compare } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { fromUtf8 } from '../bytes/utf8.ts';
import { oidText } from './oid.ts';
import { tagName, tags } from './tags.ts';
import { parseGeneralizedTime, parseUtcTime } from './time.ts';

export interface DerLimits {
  /** Longest input that is read at all. */
  readonly maximumBytes?: number;
  /** Deepest nesting of constructed elements. */
  readonly maximumDepth?: number;
}

const defaultMaximumBytes = 1_048_576;
const defaultMaximumDepth = 32;

/** A BIT STRING. DER fills the last octet with zeros (X.690 §11.2.1). */
export interface BitString {
  readonly bytes: Uint8Array;
  /** 0 to 7, counted from the least significant end of the last octet. */
  readonly unusedBits: number;
}

/**
 * A cursor over one input. Constructed elements are read by a callback that gets the same cursor,
 * narrowed to the content, and must leave nothing of it:
 * `reader.sequence((seq) => ({ oid: seq.oid(), critical: seq.boolean() }))`.
 */
export class DerReader {
  readonly #input: Uint8Array;
  readonly #maximumDepth: number;
  #offset = 0;
  #end: number;
  #depth = 0;

  constructor(input: Uint8Array, limits: DerLimits = {}) {
    const maximumBytes = limits.maximumBytes ?? defaultMaximumBytes;
    this.#input = input;
    this.#end = input.length;
    this.#maximumDepth = limits.maximumDepth ?? defaultMaximumDepth;
    if (input.length > maximumBytes) this.fail(`input longer than ${maximumBytes} bytes`);
  }

  get offset(): number {
    return this.#offset;
  }

  /** Whether the input, or the constructed element that is being read, has no more elements. */
  get atEnd(): boolean {
    return this.#offset === this.#end;
  }

  /** Refuses trailing bytes. Constructed elements do this by themselves. */
  end(): void {
    if (!this.atEnd) this.fail('trailing bytes');
  }

  fail(problem: string, offset: number = this.#offset): never {
    throw new MalformedError('der', offset, problem);
  }

  /** Whether an element with this identifier octet comes next: the test for OPTIONAL and DEFAULT. */
  isNext(tag: number): boolean {
    return !this.atEnd && this.#input[this.#offset] === tag;
  }

  /** Identifier octet of the next element; `undefined` at the end. */
  peek(): number | undefined {
    return this.atEnd ? undefined : this.#input[this.#offset];
  }

  optional<T>(tag: number, read: (reader: DerReader) => T): T | undefined {
    return this.isNext(tag) ? read(this) : undefined;
  }

  /** Reads a constructed element; `read` must leave nothing of its content. */
  constructed<T>(tag: number, read: (content: DerReader) => T): T {
    const outerEnd = this.#end;
    const length = this.#header(tag);
    this.#depth += 1;
    if (this.#depth > this.#maximumDepth) this.fail(`nested deeper than ${this.#maximumDepth}`);
    this.#end = this.#offset + length;
    const value = read(this);
    this.end();
    this.#end = outerEnd;
    this.#depth -= 1;
    return value;
  }

  sequence<T>(read: (content: DerReader) => T): T {
    return this.constructed(tags.sequence, read);
  }

  /** SEQUENCE OF. `tag` for `[n] IMPLICIT`. */
  sequenceOf<T>(readItem: (reader: DerReader) => T, tag: number = tags.sequence): T[] {
    return this.constructed(tag, (content) => {
      const items: T[] = [];
      while (!content.atEnd) items.push(readItem(content));
      return items;
    });
  }

  /** SET OF, whose members DER sorts by their encodings (X.690 §11.6). */
  setOf<T>(readItem: (reader: DerReader) => T, tag: number = tags.set): T[] {
    let previous: Uint8Array | undefined;
    return this.sequenceOf((content) => {
      const start = content.offset;
      const item = readItem(content);
      const encoding = this.#input.subarray(start, content.offset);
      if (previous !== undefined && compare(previous, encoding) > 0) {
        content.fail('SET OF is not sorted', start);
      }
      previous = encoding;
      return item;
    }, tag);
  }

  /** The content of a primitive element, whatever it means, as a view of the input. */
  content(tag: number): Uint8Array {
    const length = this.#header(tag);
    const view = this.#input.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return view;
  }

  /** The encoding of the next element, whole, as a view of the input. What it contains is checked for form. */
  element(): Uint8Array {
    const start = this.#offset;
    this.any();
    return this.#input.subarray(start, this.#offset);
  }

  /** What `read` read, as bytes: for the part of a message that is signed, and names compared as bytes. */
  recorded<T>(read: (reader: DerReader) => T): { readonly value: T; readonly der: Uint8Array } {
    const start = this.#offset;
    const value = read(this);
    return { value, der: this.#input.subarray(start, this.#offset) };
  }

  /** Identifier octet and content of the next element, whatever it is. Its content is checked for form. */
  any(): { readonly tag: number; readonly content: Uint8Array } {
    const tag = this.peek() ?? this.fail('element missing');
    if ((tag & 0x20) === 0) return { tag, content: this.content(tag) };
    const content = this.constructed(tag, (inner) => {
      const start = inner.offset;
      while (!inner.atEnd) inner.any();
      return this.#input.subarray(start, inner.offset);
    });
    return { tag, content };
  }

  boolean(tag: number = tags.boolean): boolean {
    const start = this.#offset;
    const content = this.content(tag);
    const value = content[0];
    if (content.length !== 1) this.fail('BOOLEAN is not one octet long', start);
    // X.690 §11.1: TRUE is 0xff in DER.
    if (value !== 0 && value !== 0xff) this.fail('BOOLEAN is neither 00 nor ff', start);
    return value === 0xff;
  }

  null(): void {
    const start = this.#offset;
    if (this.content(tags.null).length !== 0) this.fail('NULL with content', start);
  }

  /** Two's complement, most significant octet first, in the fewest octets (X.690 §8.3.2). */
  integer(tag: number = tags.integer): Uint8Array {
    const start = this.#offset;
    const content = this.content(tag);
    const [first = 0, second = 0] = content;
    if (content.length === 0) this.fail('INTEGER without content', start);
    const padded = first === 0 ? second < 0x80 : first === 0xff && second >= 0x80;
    if (content.length > 1 && padded) this.fail('INTEGER not in its shortest form', start);
    return content;
  }

  /** An INTEGER from 0 to `maximum`, at most 2^53 - 1. */
  unsigned(maximum: number = Number.MAX_SAFE_INTEGER, tag: number = tags.integer): number {
    const start = this.#offset;
    const content = this.integer(tag);
    if ((content[0] ?? 0) >= 0x80) this.fail('negative INTEGER', start);
    let value = 0;
    for (const octet of content) {
      value = value * 256 + octet;
      if (value > maximum) this.fail(`INTEGER above ${maximum}`, start);
    }
    return value;
  }

  /** Dotted text. */
  oid(tag: number = tags.oid): string {
    const content = this.content(tag);
    return oidText(content, this.#offset - content.length);
  }

  octetString(tag: number = tags.octetString): Uint8Array {
    return this.content(tag);
  }

  /** An OCTET STRING whose content is DER itself: extension values, keys. */
  encapsulated<T>(read: (content: DerReader) => T, tag: number = tags.octetString): T {
    return this.constructed(tag, read);
  }

  bitString(tag: number = tags.bitString): BitString {
    const start = this.#offset;
    const content = this.content(tag);
    const unusedBits = content[0] ?? this.fail('BIT STRING without content', start);
    if (unusedBits > 7 || (content.length === 1 && unusedBits !== 0)) {
      this.fail('BIT STRING with an impossible number of unused bits', start);
    }
    const last = content[content.length - 1] ?? 0;
    if (content.length > 1 && (last & ((1 << unusedBits) - 1)) !== 0) {
      this.fail('unused bits of a BIT STRING are not zero', start);
    }
    return { bytes: content.subarray(1), unusedBits };
  }

  /** A BIT STRING of whole octets: signatures, public keys. */
  bitStringOctets(tag: number = tags.bitString): Uint8Array {
    const start = this.#offset;
    const { bytes, unusedBits } = this.bitString(tag);
    return unusedBits === 0 ? bytes : this.fail('BIT STRING is not whole octets', start);
  }

  /** Positions of the bits that are set in a named bit list (KeyUsage). */
  namedBits(tag: number = tags.bitString): number[] {
    const start = this.#offset;
    const { bytes, unusedBits } = this.bitString(tag);
    // X.690 §11.2.2: trailing zero bits of a named bit list are removed.
    const lastBit = ((bytes[bytes.length - 1] ?? 0) >> unusedBits) & 1;
    if (bytes.length > 0 && lastBit === 0) this.fail('named bits end in zero bits', start);
    const set: number[] = [];
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      if ((((bytes[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1) === 1) set.push(bit);
    }
    return set;
  }

  utf8String(tag: number = tags.utf8String): string {
    const start = this.#offset;
    return fromUtf8(this.content(tag)) ?? this.fail('UTF8String is not UTF-8', start);
  }

  printableString(tag: number = tags.printableString): string {
    return this.#ascii(tag, /^[A-Za-z0-9 '()+,\-./:=?]*$/);
  }

  ia5String(tag: number = tags.ia5String): string {
    // oxlint-disable-next-line no-control-regex -- IA5 is all of ASCII
    return this.#ascii(tag, /^[\x00-\x7f]*$/);
  }

  /** UTCTime or GeneralizedTime of RFC 5280 §4.1.2.5, in milliseconds of Unix time. */
  time(): number {
    // GeneralizedTime before 2050 breaks a rule about content only: Microchip's factory certificates have it.
    return this.isNext(tags.generalizedTime) ? this.generalizedTime() : this.utcTime();
  }

  utcTime(tag: number = tags.utcTime): number {
    const start = this.#offset;
    const text = this.#ascii(tag, /^[0-9Z+\-.]*$/);
    return parseUtcTime(text) ?? this.fail('UTCTime is not a YYMMDDHHMMSSZ date', start);
  }

  generalizedTime(tag: number = tags.generalizedTime): number {
    const start = this.#offset;
    const text = this.#ascii(tag, /^[0-9Z+\-.]*$/);
    return (
      parseGeneralizedTime(text) ??
      this.fail('GeneralizedTime is not a YYYYMMDDHHMMSSZ date', start)
    );
  }

  #ascii(tag: number, alphabet: RegExp): string {
    const start = this.#offset;
    let text = '';
    for (const octet of this.content(tag)) text += String.fromCharCode(octet);
    return alphabet.test(text) ? text : this.fail(`character outside ${tagName(tag)}`, start);
  }

  /** Reads identifier and length; returns the length, checked against what is left. */
  #header(expected: number): number {
    const start = this.#offset;
    const tag = this.#octet();
    if (tag !== expected) {
      this.fail(`${tagName(expected)} expected, ${tagName(tag)} found`, start);
    }
    if ((tag & 31) === 31) this.fail('tag number above 30', start);
    const length = this.#length();
    if (length > this.#end - this.#offset) this.fail('element longer than what holds it', start);
    return length;
  }

  #length(): number {
    const start = this.#offset;
    const first = this.#octet();
    if (first < 0x80) return first;
    const octets = first & 0x7f;
    if (octets === 0) this.fail('indefinite length', start);
    if (octets > 4) this.fail('length of more than four octets', start);
    let length = 0;
    for (let count = 0; count < octets; count++) length = length * 256 + this.#octet();
    // X.690 §10.1: the fewest octets.
    if (length < 0x80 || length < 256 ** (octets - 1)) {
      this.fail('length not in its shortest form', start);
    }
    return length;
  }

  #octet(): number {
    const octet = this.#offset < this.#end ? this.#input[this.#offset] : undefined;
    if (octet === undefined) this.fail('input ends inside an element');
    this.#offset += 1;
    return octet;
  }
}

/** Reads the one element that the input is; trailing bytes are refused. */
export function readDer<T>(
  input: Uint8Array,
  read: (reader: DerReader) => T,
  limits: DerLimits = {},
): T {
  const reader = new DerReader(input, limits);
  const value = read(reader);
  reader.end();
  return value;
}
