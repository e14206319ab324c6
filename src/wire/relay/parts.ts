/**
 * How a message_2 that is longer than a frame of a raw link comes down: whoever sent message_1 asks for one
 * part after the other, so that a frame that gets lost costs itself alone (docs/links.md).
 *
 *     up    03 limit 00 message_1      the first part, in frames of at most `limit` bytes
 *     up    03 limit number hash       the part of that number
 *     down  03 number hash part        0x80 in the number: the last one
 *
 * The hash is the first two bytes of SHA-256 over message_1; the parts together are the frame that would
 * have come. An answer that fits comes as it is. Nothing here is authentic: message_2 is, or is not.
 */
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';

export const partsKind = 0x03;

export const maximumParts = 32;
export const partHashBytes = 2;
const partHeadBytes = 2 + partHashBytes;
/** Frames below this would hold next to nothing of a part. */
export const minimumLimitBytes: number = 2 * partHeadBytes;

const lastBit = 0x80;

export type PartRequest = { readonly limitBytes: number } & (
  | { readonly number: 0; readonly message1: Uint8Array }
  | { readonly number: number; readonly hash: Uint8Array }
);

export interface Part {
  readonly number: number;
  readonly isLast: boolean;
  readonly hash: Uint8Array;
  readonly part: Uint8Array;
}

export function writePartRequest(request: PartRequest): Uint8Array {
  const { limitBytes, number } = request;
  const rest = 'message1' in request ? request.message1 : request.hash;
  return concat(Uint8Array.of(partsKind, limitBytes, number), rest);
}

/** Views of the input. Throws a `MalformedError`. */
export function readPartRequest(bytes: Uint8Array): PartRequest {
  const [kind, limitBytes = 0, number = 0] = bytes;
  const rest = bytes.subarray(3);
  if (kind !== partsKind) fail(0, 'not the kind of parts');
  if (limitBytes < minimumLimitBytes) fail(1, 'frames that hold next to nothing');
  if (number >= maximumParts) fail(2, 'a number of no part');
  if (number > 0 && rest.length === partHashBytes) return { limitBytes, number, hash: rest };
  if (number > 0 || rest.length === 0) fail(3, 'neither message_1 nor the hash of one');
  return { limitBytes, number: 0, message1: rest };
}

/** The part of that answer; the answer itself where it fits, `undefined` where there is no such part. */
export function cutPart(
  answer: Uint8Array,
  { limitBytes, number }: PartRequest,
  hashOfMessage1: Uint8Array,
): Uint8Array | undefined {
  if (answer.length <= limitBytes) return number === 0 ? answer : undefined;
  const partBytes = limitBytes - partHeadBytes;
  const count = Math.ceil(answer.length / partBytes);
  if (number >= count || count > maximumParts) return undefined;
  const isLast = number === count - 1;
  return concat(
    Uint8Array.of(partsKind, isLast ? number | lastBit : number),
    hashOfMessage1.subarray(0, partHashBytes),
    answer.subarray(number * partBytes, (number + 1) * partBytes),
  );
}

/** Views of the input. Throws a `MalformedError`. */
export function readPart(bytes: Uint8Array): Part {
  const [kind, marked = 0] = bytes;
  const part = bytes.subarray(partHeadBytes);
  if (kind !== partsKind) fail(0, 'not the kind of parts');
  const isLast = marked >= lastBit;
  const number = isLast ? marked - lastBit : marked;
  if (number >= maximumParts) fail(1, 'a number of no part');
  if (part.length === 0) fail(partHeadBytes, 'an empty part');
  return { number, isLast, hash: bytes.subarray(2, partHeadBytes), part };
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('parts', offset, problem);
}
