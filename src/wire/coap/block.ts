/** The value of Block1 and Block2 (RFC 7959 §2.2): block number, more flag, size exponent. */
import { decodeUint, encodeUint } from './options.ts';

export interface Block {
  /** 0 to 2^20 - 1, in units of the size. */
  readonly number: number;
  /** Whether further blocks follow. */
  readonly more: boolean;
  /** 16, 32, ... 1024. */
  readonly sizeBytes: number;
}

export const largestBlockBytes = 1024;
export const smallestBlockBytes = 16;
export const maximumBlockNumber: number = 2 ** 20 - 1;

export function encodeBlock({ number, more, sizeBytes }: Block): Uint8Array {
  const exponent = Math.log2(sizeBytes) - 4;
  if (!Number.isInteger(exponent) || exponent < 0 || exponent > 6) {
    throw new TypeError(`${sizeBytes} is no block size`);
  }
  if (!Number.isInteger(number) || number < 0 || number > maximumBlockNumber) {
    throw new TypeError(`${number} is no block number`);
  }
  return encodeUint(number * 16 + (more ? 8 : 0) + exponent);
}

/** `undefined` for a value of more than three bytes or with the reserved size exponent 7 (§2.2). */
export function decodeBlock(value: Uint8Array): Block | undefined {
  const whole = value.length > 3 ? undefined : decodeUint(value);
  if (whole === undefined || (whole & 7) === 7) return undefined;
  return { number: whole >> 4, more: (whole & 8) !== 0, sizeBytes: 16 << (whole & 7) };
}

/** The largest block size that is not above the limit; blocks are never smaller than 16 bytes. */
export function blockSizeWithin(limitBytes: number): number {
  let sizeBytes = largestBlockBytes;
  while (sizeBytes > limitBytes && sizeBytes > smallestBlockBytes) sizeBytes /= 2;
  return sizeBytes;
}
