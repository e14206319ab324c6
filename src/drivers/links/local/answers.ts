/**
 * Reads JSON answers of a local process. It is the same user's program, perhaps of another version:
 * what is not as expected is told, never cast.
 */
import { EnvironmentError, isRefusal, type Refusal, refuse } from '../../../trust/ports/faults.ts';
import type { LinkResponse } from '../../../trust/ports/link.ts';
import { parseHex, toHex } from '../../../wire/bytes/hex.ts';

export class Answer {
  readonly #members: object;

  constructor(members: unknown) {
    if (typeof members !== 'object' || members === null) unexpected('an object');
    this.#members = members;
  }

  text(name: string): string {
    const value = this.#member(name);
    return typeof value === 'string' ? value : unexpected(name);
  }

  optionalText(name: string): string | undefined {
    return this.#member(name) === null ? undefined : this.text(name);
  }

  texts(name: string): readonly string[] {
    return this.#list(name).map((entry) => (typeof entry === 'string' ? entry : unexpected(name)));
  }

  number(name: string): number {
    const value = this.#member(name);
    return typeof value === 'number' ? value : unexpected(name);
  }

  numbers(name: string): readonly number[] {
    return this.#list(name).map((entry) => (typeof entry === 'number' ? entry : unexpected(name)));
  }

  /** Of the numbers in an object, whatever their names. */
  sum(name: string): number {
    const members = this.#member(name);
    if (typeof members !== 'object' || members === null) unexpected(name);
    return Object.values(members).reduce<number>(
      (total, count) => total + (typeof count === 'number' ? count : unexpected(name)),
      0,
    );
  }

  optionalNumber(name: string): number | undefined {
    return this.#member(name) === null ? undefined : this.number(name);
  }

  base64(name: string): Uint8Array {
    return decodeBase64(this.text(name)) ?? unexpected(name);
  }

  hex(name: string): Uint8Array {
    return parseHex(this.text(name)) ?? unexpected(name);
  }

  base64List(name: string): readonly Uint8Array[] {
    return this.#list(name).map((entry) =>
      typeof entry === 'string' ? (decodeBase64(entry) ?? unexpected(name)) : unexpected(name),
    );
  }

  /** For documents that have a reader of their own. */
  value(name: string): unknown {
    return this.#member(name);
  }

  values(name: string): readonly unknown[] {
    return this.#list(name);
  }

  answers(name: string): readonly Answer[] {
    return this.#list(name).map((entry) => new Answer(entry));
  }

  answer(name: string): Answer {
    return new Answer(this.#member(name));
  }

  isNull(name: string): boolean {
    return this.#member(name) === null;
  }

  has(name: string): boolean {
    return this.#member(name) !== undefined;
  }

  oneOf<Word extends string | boolean>(name: string, words: readonly Word[]): Word {
    const value = this.#member(name);
    return words.find((word) => word === value) ?? unexpected(name);
  }

  #list(name: string): readonly unknown[] {
    const value = this.#member(name);
    return Array.isArray(value) ? value : unexpected(name);
  }

  #member(name: string): unknown {
    return Object.hasOwn(this.#members, name) ? Reflect.get(this.#members, name) : undefined;
  }
}

/** Of a request's body: the approval that allows it. */
export function approvalMember(approval: Uint8Array | undefined): { readonly approval?: string } {
  return approval === undefined ? {} : { approval: toHex(approval) };
}

/** The answer, or the refusal that a problem document (RFC 9457) tells. */
export function readAnswer<Value>(
  { status, body }: LinkResponse,
  read: (answer: Answer) => Value,
): Value | Refusal<string> {
  return readOutcome(status, new Answer(parseJson(body)), read);
}

/** The same for an answer that is one of several of a message. */
export function readOutcome<Value>(
  status: number,
  answer: Answer,
  read: (answer: Answer) => Value,
): Value | Refusal<string> {
  if (status >= 200 && status < 300) return read(answer);
  const code = answer.has('code') ? answer.text('code') : `http-${status}`;
  const detail = answer.has('detail') ? answer.text('detail') : 'no reason given';
  if (status < 500) return refuse(code, detail);
  throw new EnvironmentError(`the other process failed: ${detail} [${code}]`, {
    retryable: status === 503,
  });
}

/** A no where the caller expects none. */
export class RefusedError extends EnvironmentError {
  constructor({ refused, reason }: Refusal<string>) {
    super(`refused: ${reason} [${refused}]`, { retryable: false });
    this.name = 'RefusedError';
  }
}

/** For what is not refused to whoever may ask at all. Throws a `RefusedError`. */
export function allowed<Value>(outcome: Value | Refusal<string>): Value {
  if (isRefusal(outcome)) throw new RefusedError(outcome);
  return outcome;
}

/** Node skips what is no base64, and every value has one text (RFC 4648 §3.5). */
function decodeBase64(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? new Uint8Array(bytes) : undefined;
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8')) as unknown;
  } catch {
    return unexpected('JSON');
  }
}

function unexpected(what: string): never {
  throw new EnvironmentError(`the other process answered without ${what}: is it of this version?`, {
    retryable: false,
  });
}
