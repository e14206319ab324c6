/**
 * Cuts a manifest, a JSON array of entries, into its entries while the file is being read: a million
 * devices are 3.8 GB, so that only one entry is ever held. Looks at braces and strings only; whether an
 * entry is JSON is judged by whoever reads it.
 */
import { concat } from '../bytes/bytes.ts';
import { type EntryPosition, ManifestFault } from './fault.ts';

/** One published entry has 3.8 KB; re-indented and with more certificates it stays far below this. */
export const maximumEntryBytes = 65_536;

export interface EntryText extends EntryPosition {
  /** From the opening to the closing brace. */
  readonly bytes: Uint8Array;
}

/**
 * - `start`: before the opening bracket
 * - `first`: after it; an entry or the end of the array
 * - `entry`: inside an entry
 * - `after`: a comma or the end of the array
 * - `next`: after a comma; an entry
 * - `end`: only white space
 */
type State = 'start' | 'first' | 'entry' | 'after' | 'next' | 'end';

export class EntrySplitter {
  #state: State = 'start';
  #index = 0;
  /** Bytes of earlier chunks. */
  #consumed = 0;
  #entryOffset = 0;
  #parts: Uint8Array[] = [];
  #depth = 0;
  #inString = false;
  #escaped = false;

  /** The entries that end in this chunk. */
  push(chunk: Uint8Array): EntryText[] {
    const entries: EntryText[] = [];
    let offset = 0;
    while (offset < chunk.length) {
      if (this.#state !== 'entry') {
        const next = this.#structure(chunk[offset] ?? 0, this.#consumed + offset);
        // The opening brace belongs to the entry: it is looked at again as its first byte.
        if (next !== 'entry') offset += 1;
        continue;
      }
      const end = this.#entryEnd(chunk, offset);
      this.#parts.push(chunk.subarray(offset, end));
      const held = this.#consumed + end - this.#entryOffset;
      if (held > maximumEntryBytes) this.#fail(`longer than ${maximumEntryBytes} bytes`);
      if (this.#depth === 0) entries.push(this.#finishEntry());
      offset = end;
    }
    // The chunk's memory is the caller's again: what is kept is a copy.
    this.#parts = this.#parts.length === 0 ? [] : [concat(...this.#parts)];
    this.#consumed += chunk.length;
    return entries;
  }

  /** The file ends here. Number of entries. */
  end(): number {
    if (this.#state !== 'end') {
      this.#entryOffset = this.#consumed;
      this.#fail('the file ends before the array does');
    }
    return this.#index;
  }

  #structure(byte: number, at: number): State {
    if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) return this.#state;
    const next = transitions[this.#state][byte];
    if (next === undefined) {
      this.#entryOffset = at;
      this.#fail(expected[this.#state]);
    }
    this.#state = next;
    if (next === 'entry') this.#entryOffset = at;
    return next;
  }

  /** Offset behind the closing brace, or the end of the chunk; keeps depth and string state. */
  #entryEnd(chunk: Uint8Array, from: number): number {
    for (let offset = from; offset < chunk.length; offset++) {
      const byte = chunk[offset];
      if (this.#inString) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === 0x5c) this.#escaped = true;
        else if (byte === 0x22) this.#inString = false;
      } else if (byte === 0x22) this.#inString = true;
      else if (byte === 0x7b) this.#depth += 1;
      else if (byte === 0x7d) {
        this.#depth -= 1;
        if (this.#depth === 0) return offset + 1;
      }
    }
    return chunk.length;
  }

  #finishEntry(): EntryText {
    const entry = { index: this.#index, offset: this.#entryOffset, bytes: concat(...this.#parts) };
    this.#parts = [];
    this.#index += 1;
    this.#state = 'after';
    return entry;
  }

  #fail(problem: string): never {
    throw new ManifestFault({ index: this.#index, offset: this.#entryOffset }, '', problem);
  }
}

const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const comma = 0x2c;

const transitions: Readonly<Record<State, Readonly<Record<number, State>>>> = {
  start: { [openBracket]: 'first' },
  first: { [openBrace]: 'entry', [closeBracket]: 'end' },
  entry: {},
  after: { [comma]: 'next', [closeBracket]: 'end' },
  next: { [openBrace]: 'entry' },
  end: {},
};

const expected: Readonly<Record<State, string>> = {
  start: 'a manifest begins with "["',
  first: 'an entry or "]" expected',
  entry: '',
  after: '"," or "]" expected',
  next: 'an entry expected',
  end: 'bytes after the end of the array',
};
