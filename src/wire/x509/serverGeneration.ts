/**
 * The extension that makes a certificate the credential of a session server (docs/server-identity.md):
 *
 *     ServerGeneration ::= SEQUENCE {
 *       generation  INTEGER (0..MAX),
 *       floor       INTEGER (0..MAX),
 *       statusKey   OCTET STRING (SIZE (33)) OPTIONAL }
 *
 * `generation` counts the credentials of a server under one authority; `floor` is the least generation that
 * the authority still vouches for; `statusKey`, a compressed point of P-256, signs what the authority says of
 * this credential later. Critical: who does not know it must not take the certificate for a server of any kind.
 */
import { MalformedError } from '../bytes/malformed.ts';
import * as der from '../der/writer.ts';
import type { Extension } from './model.ts';

export interface ServerGeneration {
  readonly generation: number;
  readonly floor: number;
  /** Compressed point, 33 bytes; absent where nobody vouches for the credential later. */
  readonly statusKey?: Uint8Array;
}

/** Of the arc for examples (RFC 5612), until there is one of our own: both ends are configured alike. */
export const exampleGenerationOid = '1.3.6.1.4.1.32473.2.1';

/** 2^32 - 1: a new credential every second for a century. */
export const maximumGeneration = 0xffff_ffff;

const statusKeyBytes = 33;

export function serverGeneration(
  { generation, floor, statusKey }: ServerGeneration,
  oid: string,
): Extension {
  if (floor > generation) throw new TypeError('a credential below its own floor');
  const key = statusKey === undefined ? [] : [der.octetString(statusKey)];
  const value = der.sequence(der.integer(generation), der.integer(floor), ...key);
  return { oid, critical: true, value };
}

/** Throws a `MalformedError`. Read by hand: the whole reader of DER would be a tenth of a sensor's code. */
export function decodeServerGeneration(value: Uint8Array): ServerGeneration {
  if (value[0] !== 0x30 || value[1] !== value.length - 2) fail(0, 'a sequence expected');
  const generation = readNumber(value, 2);
  const floor = readNumber(value, generation.end);
  if (floor.number > generation.number) fail(generation.end, 'floor above the generation');
  const numbers = { generation: generation.number, floor: floor.number };
  if (floor.end === value.length) return numbers;
  const statusKey = value.subarray(floor.end + 2);
  const isKey = value[floor.end] === 4 && value[floor.end + 1] === statusKeyBytes;
  if (!isKey || statusKey.length !== statusKeyBytes) fail(floor.end, 'no compressed point');
  return { ...numbers, statusKey };
}

function readNumber(
  value: Uint8Array,
  start: number,
): { readonly number: number; readonly end: number } {
  const end = start + 2 + (value[start + 1] ?? 0);
  const content = value.subarray(start + 2, end);
  const [first = 0x80, second = 0x80] = content;
  // X.690 §8.3.2: a leading zero only where the number would be negative without it.
  const isMinimal = first < 0x80 && (first > 0 || second >= 0x80);
  const number = content.reduce((sum, octet) => sum * 256 + octet, 0);
  const isWhole = value[start] === 2 && end <= value.length;
  if (!isWhole || !isMinimal || number > maximumGeneration) fail(start, 'a number expected');
  return { number, end };
}

function fail(offset: number, problem: string): never {
  throw new MalformedError('der', offset, problem);
}
