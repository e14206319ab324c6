/** What every reader of C509 begins with: the array of a certificate or request, its type, and numbers. */
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { noExpirationMs } from '../der/time.ts';
import { maximumCertificateBytes } from '../x509/model.ts';
import type { C509Type } from './names.ts';

/**
 * The array; older drafts also knew the bare sequence of its items, which begins with the type instead of
 * the head of an array.
 */
export function asArray(input: Uint8Array, items: number): Uint8Array {
  if (input.length > maximumCertificateBytes) {
    throw new MalformedError('cbor', 0, `longer than ${maximumCertificateBytes} bytes`);
  }
  const reader = new CborReader(input);
  const [first = 0xff] = input;
  if (first <= 0x17) {
    for (let count = 0; count < items; count++) reader.skip();
    reader.end();
    return cbor.sequence(cbor.head(4, items), input);
  }
  if (reader.array() !== items) reader.fail(`an array of ${items} items expected`, 0);
  return input;
}

export function readType(reader: CborReader): C509Type {
  const start = reader.offset;
  const type = reader.integer();
  // 0 and 1 were types of drafts long ago and mean nothing now.
  return type === 2 || type === 3 ? type : reader.fail(`type ${type} is not known`, start);
}

/** `~biguint`: big-endian without leading zeros (RFC 8949 §3.4.3). */
export function readMagnitude(reader: CborReader): Uint8Array {
  const start = reader.offset;
  const value = reader.bytes();
  return value[0] === 0 ? reader.fail('leading zero of an unsigned integer', start) : value;
}

/** Latest second of GeneralizedTime but one: the last is null (§3.1.5). */
export const latestS: number = noExpirationMs / 1000 - 1;
