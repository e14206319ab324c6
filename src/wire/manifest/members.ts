/**
 * Typed access to parsed JSON. Every read names the member at fault by its path, so that a person finds
 * it in a file of a million entries.
 */
import { type EntryPosition, ManifestFault } from './fault.ts';

const maximumTextCharacters = 256;

export class Members {
  readonly #values: ReadonlyMap<string, unknown>;
  readonly #path: string;
  readonly #at: EntryPosition;

  private constructor(value: unknown, path: string, at: EntryPosition) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new ManifestFault(at, path, 'is not an object');
    }
    this.#values = new Map<string, unknown>(Object.entries(value));
    this.#path = path;
    this.#at = at;
  }

  /** `path` is the name of the parsed text itself: `payload`, or empty for the entry. */
  static parse(text: string, path: string, at: EntryPosition): Members {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new ManifestFault(at, path, 'is not JSON');
    }
    const twice = memberNamedTwice(text);
    if (twice !== undefined) {
      throw new ManifestFault(at, path, `names the member ${JSON.stringify(twice)} twice`);
    }
    return new Members(value, path, at);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  text(name: string, maximumCharacters: number = maximumTextCharacters): string {
    const value = this.#required(name);
    return this.#textOf(value, name, maximumCharacters);
  }

  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined;
  }

  /** Text in a form that `parse` knows; `undefined` from it is a fault. */
  parsed<Value>(
    name: string,
    parse: (text: string) => Value | undefined,
    form: string,
    maximumCharacters: number = maximumTextCharacters,
  ): Value {
    return parse(this.text(name, maximumCharacters)) ?? this.fail(name, `is not ${form}`);
  }

  integer(name: string, minimum: number, maximum: number): number {
    const value = this.#required(name);
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      this.fail(name, 'is not an integer');
    }
    if (value < minimum || value > maximum) {
      this.fail(name, `is not between ${minimum} and ${maximum}`);
    }
    return value;
  }

  object(name: string): Members {
    return new Members(this.#required(name), this.pathOf(name), this.#at);
  }

  objects(name: string, maximumCount: number): Members[] {
    return this.#list(name, maximumCount).map(
      (value, index) => new Members(value, `${this.pathOf(name)}[${index}]`, this.#at),
    );
  }

  texts(name: string, maximumCount: number, maximumCharacters: number): string[] {
    return this.#list(name, maximumCount).map((value, index) =>
      this.#textOf(value, `${name}[${index}]`, maximumCharacters),
    );
  }

  pathOf(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }

  fail(name: string, problem: string): never {
    throw new ManifestFault(this.#at, this.pathOf(name), problem);
  }

  #required(name: string): unknown {
    if (!this.#values.has(name)) this.fail(name, 'is missing');
    return this.#values.get(name);
  }

  #list(name: string, maximumCount: number): readonly unknown[] {
    const value: unknown = this.#required(name);
    if (!Array.isArray(value)) this.fail(name, 'is not an array');
    if (value.length > maximumCount) this.fail(name, `has more than ${maximumCount} items`);
    return value;
  }

  #textOf(value: unknown, name: string, maximumCharacters: number): string {
    if (typeof value !== 'string') this.fail(name, 'is not a string');
    if (value.length === 0) this.fail(name, 'is empty');
    if (value.length > maximumCharacters) {
      this.fail(name, `has more than ${maximumCharacters} characters`);
    }
    // Control characters would reach terminals and logs; a lone surrogate is no text at all.
    if (/\p{Cc}/u.test(value) || !value.isWellFormed()) this.fail(name, 'is not plain text');
    return value;
  }
}

/**
 * JSON.parse keeps the last of two members of one name, other readers the first: what was signed would
 * mean two things (RFC 7515 §4 lets a reader refuse). The text is known to be JSON.
 */
function memberNamedTwice(text: string): string | undefined {
  const open: Array<Set<string> | undefined> = [];
  for (const [token, closed] of text.matchAll(/"((?:[^"\\]|\\.)*)"(?:\s*:)?|[{}[\]]/gs)) {
    if (token === '{') open.push(new Set());
    else if (token === '[') open.push(undefined);
    else if (token === '}' || token === ']') open.pop();
    else if (token.endsWith(':')) {
      // Two spellings of one name, "a" and "\u0061", are one name.
      const name = String(JSON.parse(`"${closed ?? ''}"`));
      const names = open.at(-1);
      if (names?.has(name) === true) return name;
      names?.add(name);
    }
  }
  return undefined;
}
