/**
 * Sender Sequence Numbers (RFC 8613 §7.2) with look-ahead (§B.1.1): a range is written to durable memory
 * before its first number is used, so that no crash can make a number used twice. What is stored is the
 * end of the range, and a restart goes on from there: numbers are skipped, never repeated, and F = 0
 * suffices because a number exists only once its range is known to be written.
 */
import type { SecurityContext } from './context.ts';
import { type OscoreRefusal, refuse } from './refusal.ts';

/** RFC 8613 §7.2.1: numbers are below 2^40. */
export const sequenceNumberLimit: number = 2 ** 40;

/**
 * The right to use one number with one context, once. Only `SenderSequence` makes them: a number that
 * was not durably reserved cannot be used.
 */
export class SequenceNumber {
  readonly context: SecurityContext;
  readonly #value: number;
  #spent = false;

  constructor(maker: symbol, context: SecurityContext, value: number) {
    if (maker !== makerKey) throw new TypeError('not from a SenderSequence');
    this.context = context;
    this.#value = value;
  }

  /** The number; a second call throws, for a second message would have the same key and nonce. */
  spend(): number {
    if (this.#spent) throw new TypeError('this sequence number was used before');
    this.#spent = true;
    return this.#value;
  }
}

export class SenderSequence {
  readonly #context: SecurityContext;
  #next: number;
  #reservedEnd: number;

  /**
   * `durableEnd` is the end of the last range that was written: 0 for a new context. No number can be
   * taken before a first reservation was confirmed, that is, before the first write after a boot.
   */
  constructor(context: SecurityContext, durableEnd = 0) {
    if (!Number.isSafeInteger(durableEnd) || durableEnd < 0 || durableEnd > sequenceNumberLimit) {
      throw new TypeError(`${durableEnd} is no sequence number`);
    }
    this.#context = context;
    this.#next = durableEnd;
    this.#reservedEnd = durableEnd;
  }

  /** Numbers that can be taken without another write. */
  get left(): number {
    return this.#reservedEnd - this.#next;
  }

  /** What the durable memory holds, as far as it was confirmed. */
  get durableEnd(): number {
    return this.#reservedEnd;
  }

  /** The first number that was not taken: an upper bound of how many messages carry a Partial IV. */
  get next(): number {
    return this.#next;
  }

  /** The end of a range with `count` more numbers: write it durably, then `confirm` it. */
  reservation(count: number): number | OscoreRefusal<'sequence-exhausted'> {
    if (!Number.isSafeInteger(count) || count < 1) throw new TypeError('reserve one at least');
    if (this.#reservedEnd >= sequenceNumberLimit) return refuse('sequence-exhausted');
    return Math.min(this.#reservedEnd + count, sequenceNumberLimit);
  }

  /** Only after the write of that value is known to be durable. */
  confirm(durableEnd: number): void {
    if (durableEnd < this.#reservedEnd || durableEnd > sequenceNumberLimit) {
      throw new TypeError('a reservation can only grow');
    }
    this.#reservedEnd = durableEnd;
  }

  take(): SequenceNumber | OscoreRefusal<'reservation-needed' | 'sequence-exhausted'> {
    if (this.#next >= sequenceNumberLimit) return refuse('sequence-exhausted');
    if (this.#next >= this.#reservedEnd) return refuse('reservation-needed');
    const value = this.#next;
    this.#next += 1;
    return new SequenceNumber(makerKey, this.#context, value);
  }
}

/** For contexts that do not outlive the process: nothing is reserved because nothing is restored. */
export function volatileSequence(context: SecurityContext): SenderSequence {
  const sequence = new SenderSequence(context);
  sequence.confirm(sequenceNumberLimit);
  return sequence;
}

const makerKey = Symbol('SenderSequence');
