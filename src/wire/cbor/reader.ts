/**
 * Reads CBOR (RFC 8949) item by item, strict: shortest heads, definite lengths, nothing beyond the
 * input. Every failure is a `MalformedError` with the offset of the first wrong byte.
 */
import { MalformedError } from '../bytes/malformed.ts';
import { fromUtf8 } from '../bytes/utf8.ts';

export type MajorType =
  | 'unsigned'
  | 'negative'
  | 'bytes'
  | 'text'
  | 'array'
  | 'map'
  | 'tag'
  | 'simple';

const majorTypes: readonly MajorType[] = [
  'unsigned',
  'negative',
  'bytes',
  'text',
  'array',
  'map',
  'tag',
  'simple',
];

/** Deepest nesting that `skip` follows; nothing that we read needs more. */
const maximumDepth = 32;

export class CborReader {
  readonly #input: Uint8Array;
  #offset: number;

  constructor(input: Uint8Array, offset = 0) {
    this.#input = input;
    this.#offset = offset;
  }

  get offset(): number {
    return this.#offset;
  }

  get atEnd(): boolean {
    return this.#offset === this.#input.length;
  }

  /** Refuses trailing bytes. */
  end(): void {
    if (!this.atEnd) this.fail('trailing bytes');
  }

  fail(problem: string, offset: number = this.#offset): never {
    throw new MalformedError('cbor', offset, problem);
  }

  peek(): MajorType {
    const initial = this.#input[this.#offset];
    if (initial === undefined) this.fail('item missing');
    return majorTypes[initial >> 5] ?? 'simple';
  }

  unsigned(maximum: number = Number.MAX_SAFE_INTEGER): number {
    const start = this.#offset;
    const value = this.#headOf('unsigned');
    if (value > maximum) this.fail(`integer above ${maximum}`, start);
    return value;
  }

  integer(): number {
    if (this.peek() === 'negative') return -1 - this.#headOf('negative');
    return this.#headOf('unsigned');
  }

  /** An integer of up to 64 bits and a sign, where a number is too small. */
  bigInteger(): bigint {
    const start = this.#offset;
    const major = this.peek();
    const wide = ((this.#input[start] ?? 0) & 31) === 27;
    if (!wide || (major !== 'unsigned' && major !== 'negative')) return BigInt(this.integer());
    this.#byte();
    let value = 0n;
    for (let count = 0; count < 8; count++) value = value * 256n + BigInt(this.#byte());
    if (value < 0x1_0000_0000n) this.fail('head not in its shortest form', start);
    return major === 'negative' ? -1n - value : value;
  }

  /** A view of the input, not a copy. */
  bytes(): Uint8Array {
    return this.#take(this.#headOf('bytes'));
  }

  text(): string {
    const start = this.#offset;
    const text = fromUtf8(this.#take(this.#headOf('text')));
    return text ?? this.fail('text is not UTF-8', start);
  }

  /** Number of items that follow. */
  array(): number {
    return this.#countOf('array', 1);
  }

  /** Number of pairs that follow. Order and uniqueness of keys are judged by whoever reads them. */
  map(): number {
    return this.#countOf('map', 2);
  }

  tag(): number {
    return this.#headOf('tag');
  }

  boolean(): boolean {
    const start = this.#offset;
    const value = this.simple();
    if (value === 20) return false;
    return value === 21 ? true : this.fail('true or false expected', start);
  }

  /** Whether the next item is null (0xf6); reads it when it is. */
  takeNull(): boolean {
    if (this.#input[this.#offset] !== 0xf6) return false;
    this.#offset += 1;
    return true;
  }

  /** Simple value number: 20 false, 21 true, 22 null, 23 undefined. Floating point is not read. */
  simple(): number {
    const start = this.#offset;
    if (this.peek() !== 'simple') this.fail('simple value expected');
    const initial = this.#byte();
    const information = initial & 31;
    if (information < 24) return information;
    if (information !== 24) this.fail('floating point or break', start);
    const value = this.#byte();
    // RFC 8949 §3.3: simple values below 32 in two bytes are not well-formed.
    return value >= 32 ? value : this.fail('simple value not in its shortest form', start);
  }

  /** The encoding of the next item, whole, as a view of the input. Contents are checked on the way. */
  item(): Uint8Array {
    const start = this.#offset;
    this.skip();
    return this.since(start);
  }

  /** What was read since that offset, as a view of the input. */
  since(start: number): Uint8Array {
    return this.#input.subarray(start, this.#offset);
  }

  skip(depth = 0): void {
    if (depth > maximumDepth) this.fail(`nested deeper than ${maximumDepth}`);
    const major = this.peek();
    switch (major) {
      case 'unsigned':
      case 'negative':
        this.integer();
        return;
      case 'bytes':
        this.bytes();
        return;
      case 'text':
        this.text();
        return;
      case 'array':
        for (let count = this.array(); count > 0; count--) this.skip(depth + 1);
        return;
      case 'map':
        for (let count = this.map() * 2; count > 0; count--) this.skip(depth + 1);
        return;
      case 'tag':
        this.tag();
        this.skip(depth + 1);
        return;
      case 'simple':
        this.simple();
    }
  }

  #countOf(major: 'array' | 'map', itemsEach: number): number {
    const start = this.#offset;
    const count = this.#headOf(major);
    // Every item takes a byte, so a larger count cannot be honest; checked before anyone allocates.
    if (count * itemsEach > this.#input.length - this.#offset) {
      this.fail('more items announced than bytes left', start);
    }
    return count;
  }

  #headOf(expected: MajorType): number {
    const start = this.#offset;
    if (this.peek() !== expected) this.fail(`${expected} expected, ${this.peek()} found`);
    const information = this.#byte() & 31;
    if (information < 24) return information;
    if (information > 27) this.fail('indefinite or reserved length', start);
    const width = 1 << (information - 24);
    let value = 0;
    for (let count = 0; count < width; count++) value = value * 256 + this.#byte();
    if (value > Number.MAX_SAFE_INTEGER) this.fail('integer above 2^53 - 1', start);
    // RFC 8949 §4.2.1: the shortest form alone is deterministic.
    if (value < (smallestOfWidth[width] ?? 0)) this.fail('head not in its shortest form', start);
    return value;
  }

  #byte(): number {
    const value = this.#input[this.#offset];
    if (value === undefined) this.fail('input ends inside an item');
    this.#offset += 1;
    return value;
  }

  #take(length: number): Uint8Array {
    const end = this.#offset + length;
    if (end > this.#input.length) this.fail('string longer than the input');
    const view = this.#input.subarray(this.#offset, end);
    this.#offset = end;
    return view;
  }
}

const smallestOfWidth: readonly number[] = [0, 24, 0x100, 0, 0x1_0000, 0, 0, 0, 0x1_0000_0000];
