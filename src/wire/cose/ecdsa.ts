/**
 * The two forms of an ECDSA signature: elements, HSMs and X.509 use DER (RFC 3279 §2.2.3), COSE uses r‖s
 * of fixed length (RFC 9053 §2.1).
 */
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';

/** Bytes of r and of s each: 32 on P-256, 48 on P-384, 66 on P-521. */
export const coordinateBytes = { ES256: 32, ES384: 48, ES512: 66 } as const;

export type EcdsaAlgorithm = keyof typeof coordinateBytes;

/** r‖s from DER. Throws a `MalformedError` when the DER is not exactly one ECDSA-Sig-Value of the curve. */
export function rawSignature(algorithm: EcdsaAlgorithm, der: Uint8Array): Uint8Array {
  const width = coordinateBytes[algorithm];
  const raw = new Uint8Array(2 * width);
  const sequence = readHead(der, 0, 0x30);
  if (sequence.end !== der.length) fail(sequence.end, 'trailing bytes');
  const r = readHead(der, sequence.start, 0x02);
  const s = readHead(der, r.end, 0x02);
  if (s.end !== der.length) fail(s.end, 'trailing bytes');
  placeInteger(der, r, raw.subarray(0, width));
  placeInteger(der, s, raw.subarray(width));
  return raw;
}

/** DER from r‖s. Throws a `TypeError` when the length is not that of the curve. */
export function derSignature(algorithm: EcdsaAlgorithm, raw: Uint8Array): Uint8Array {
  const width = coordinateBytes[algorithm];
  if (raw.length !== 2 * width)
    throw new TypeError(`${algorithm} signatures have ${2 * width} bytes`);
  const content = concat(derInteger(raw.subarray(0, width)), derInteger(raw.subarray(width)));
  const head = content.length < 0x80 ? [0x30, content.length] : [0x30, 0x81, content.length];
  return concat(Uint8Array.from(head), content);
}

interface Span {
  readonly start: number;
  readonly end: number;
}

function readHead(der: Uint8Array, offset: number, tag: number): Span {
  if (der[offset] !== tag) fail(offset, 'unexpected tag');
  const first = der[offset + 1] ?? fail(offset + 1, 'length missing');
  if (first < 0x80) return span(der, offset + 2, first);
  // The longest of ours, two integers of P-521, needs one length byte beyond 127.
  const second = der[offset + 2];
  if (first !== 0x81 || second === undefined || second < 0x80) fail(offset + 1, 'length not DER');
  return span(der, offset + 3, second);
}

function span(der: Uint8Array, start: number, length: number): Span {
  if (start + length > der.length) fail(start, 'element longer than the input');
  return { start, end: start + length };
}

function placeInteger(der: Uint8Array, { start, end }: Span, target: Uint8Array): void {
  if (start === end) fail(start, 'empty integer');
  const first = der[start] ?? 0;
  if (first >= 0x80) fail(start, 'negative integer');
  const padded = first === 0 && end - start > 1;
  if (padded && (der[start + 1] ?? 0) < 0x80) fail(start, 'integer not in its shortest form');
  const digits = der.subarray(padded ? start + 1 : start, end);
  if (digits.length > target.length) fail(start, 'integer longer than the curve');
  target.set(digits, target.length - digits.length);
}

function derInteger(digits: Uint8Array): Uint8Array {
  let start = 0;
  while (start < digits.length - 1 && digits[start] === 0) start += 1;
  const shortest = digits.subarray(start);
  const content = (shortest[0] ?? 0) >= 0x80 ? concat(Uint8Array.of(0), shortest) : shortest;
  return concat(Uint8Array.of(0x02, content.length), content);
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('ecdsa signature', offset, problem);
}
