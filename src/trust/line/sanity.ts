/**
 * Is the chip in its right mind? Elements are delivered whose random source is not yet alive (an ATECC608
 * answers FFFF0000 until its configuration is locked) and whose uid was never programmed; a key that such
 * an element makes may be a key that others have too.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import { lineLimits } from '../../wire/line/fields.ts';
import type { Element } from '../ports/element.ts';

/** Bytes of one answer of the random source, and how many answers are asked for. */
const sampleBytes = 32;
const sampleCount = 3;
/** Of 96 random bytes fewer are different in one element of 10^22. */
const leastDifferentBytes = 48;
/** Answers that are remembered to find two elements with one random sequence. */
const rememberedSamples = 100_000;

/** What a station remembers of the elements that it saw, bounded. */
export class SanityMemory {
  readonly #samples = new Set<string>();

  /** False when that answer was given before, by whatever element. */
  remember(sample: Uint8Array): boolean {
    const text = toHex(sample.subarray(0, 16));
    if (this.#samples.has(text)) return false;
    this.#samples.add(text);
    if (this.#samples.size > rememberedSamples) {
      for (const oldest of this.#samples) {
        this.#samples.delete(oldest);
        break;
      }
    }
    return true;
  }
}

/** `undefined` for a sane element, else what is wrong with it. */
export async function findInsanity(
  element: Element,
  memory: SanityMemory,
): Promise<string | undefined> {
  const { uid, model, firmware } = element.identity;
  if (uid.every((byte) => byte === 0) || uid.every((byte) => byte === 0xff)) {
    return `uid ${toHex(uid)} was never programmed`;
  }
  // One element that names itself in control characters must not spoil the request of a whole batch.
  if (uid.length > lineLimits.uid || ![model, firmware].every(isPrintable)) {
    return 'what it says of itself cannot be written into a request';
  }
  const samples: Uint8Array[] = [];
  for (let count = 0; count < sampleCount; count++) {
    samples.push(await element.random(sampleBytes));
  }
  const pattern = patternOf(samples);
  if (pattern !== undefined) return pattern;
  for (const sample of samples) {
    if (!memory.remember(sample)) return 'random source repeats what was seen before';
  }
  return undefined;
}

function isPrintable(line: string): boolean {
  return line.length <= lineLimits.nameCharacters && !/[\p{Cc}\u2028\u2029]/u.test(line);
}

function patternOf(samples: readonly Uint8Array[]): string | undefined {
  if (samples.some((sample) => sample.length !== sampleBytes)) {
    return 'random source gives another length than was asked for';
  }
  const different = new Set(samples.flatMap((sample) => [...sample]));
  if (different.size === 1) return 'random source is constant';
  return different.size < leastDifferentBytes ? 'random source repeats itself' : undefined;
}
