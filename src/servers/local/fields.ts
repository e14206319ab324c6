/** Reads the JSON bodies of local commands: every member by name, with a message for the person who sent it. */
import { parseHex } from '../../wire/bytes/hex.ts';
import { pageSizes } from '../http/pages.ts';

/** The body is not what the route takes; becomes status 400 with this message. */
export class FieldError extends Error {
  readonly statusCode = 400;
}

export interface PageQuery {
  readonly limit?: string;
  readonly before?: string;
}

/** Of a list whose entries have numbers. */
export interface NumberedPageQuery extends PageQuery {
  readonly after?: string;
}

export class Fields {
  readonly #members: object;

  constructor(body: unknown) {
    if (typeof body !== 'object' || body === null)
      throw new FieldError('a JSON object is expected');
    this.#members = body;
  }

  text(name: string, most = 200): string {
    const value = this.#member(name);
    if (typeof value !== 'string' || value.length === 0 || value.length > most) {
      throw new FieldError(`${name} is a text of 1 to ${most} characters`);
    }
    if (/\p{Cc}/u.test(value)) throw new FieldError(`${name} has control characters`);
    return value;
  }

  optionalText(name: string, most = 200): string | undefined {
    return this.#member(name) === undefined ? undefined : this.text(name, most);
  }

  oneOf<Word extends string>(name: string, words: readonly Word[]): Word {
    const value = this.#member(name);
    const found = words.find((word) => word === value);
    if (found === undefined) throw new FieldError(`${name} is one of ${words.join(', ')}`);
    return found;
  }

  flag(name: string): boolean {
    const value = this.#member(name);
    if (value === undefined) return false;
    if (typeof value !== 'boolean') throw new FieldError(`${name} is true or false`);
    return value;
  }

  integer(name: string, least: number, most: number): number {
    const value = this.#member(name);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most)
      return value;
    throw new FieldError(`${name} is a whole number from ${least} to ${most}`);
  }

  /** For documents that a schema judges. */
  value(name: string): unknown {
    return this.#member(name);
  }

  has(name: string): boolean {
    return this.#member(name) !== undefined;
  }

  objects(name: string, most: number): readonly Fields[] {
    const value = this.#member(name);
    if (!Array.isArray(value) || value.length > most) {
      throw new FieldError(`${name} is a list of at most ${most} objects`);
    }
    return value.map((entry: unknown) => new Fields(entry));
  }

  texts(name: string, most: number): readonly string[] {
    const value = this.#member(name);
    if (!Array.isArray(value) || value.length > most) {
      throw new FieldError(`${name} is a list of at most ${most} texts`);
    }
    return value.map((entry: unknown) => {
      if (typeof entry === 'string' && entry.length <= 200) return entry;
      throw new FieldError(`${name} is a list of texts`);
    });
  }

  base64(name: string): Uint8Array {
    return decodeBase64(this.#member(name), name);
  }

  base64List(name: string, most: number): readonly Uint8Array[] {
    const value = this.#member(name);
    if (!Array.isArray(value) || value.length > most) {
      throw new FieldError(`${name} is a list of at most ${most} base64 texts`);
    }
    return value.map((entry: unknown) => decodeBase64(entry, name));
  }

  hex(name: string): Uint8Array {
    const value = this.#member(name);
    const bytes = typeof value === 'string' ? parseHex(value) : undefined;
    if (bytes === undefined) throw new FieldError(`${name} is hexadecimal`);
    return bytes;
  }

  #member(name: string): unknown {
    return Object.hasOwn(this.#members, name) ? Reflect.get(this.#members, name) : undefined;
  }
}

function decodeBase64(value: unknown, name: string): Uint8Array {
  if (typeof value !== 'string') throw new FieldError(`${name} is base64`);
  const bytes = Buffer.from(value, 'base64');
  // Node skips what is no base64, and every value has one text (RFC 4648 §3.5).
  if (bytes.toString('base64') !== value) throw new FieldError(`${name} is base64`);
  return new Uint8Array(bytes);
}

/** Of a list that grows, newest first: how much of it, and behind which entry. Throws a `FieldError`. */
export function readPage({ limit, before }: PageQuery): {
  readonly limit: number;
  readonly before: string | undefined;
} {
  if (limit === undefined) return { limit: pageSizes.usual, before };
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > pageSizes.most) {
    throw new FieldError(`limit is a whole number from 1 to ${pageSizes.most}`);
  }
  return { limit: Number(limit), before };
}

/** Number of the entry that a page begins behind. Throws a `FieldError`. */
export function readNumber(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,14}$/.test(text)) return Number(text);
  throw new FieldError('a page begins behind the number of an entry');
}
