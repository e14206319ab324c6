/**
 * Byte strings that travel as integers where they can (RFC 9528 §3.3.2): connection identifiers and kid.
 * One byte that is the encoding of an integer -24..23 is sent as that integer, everything else as bstr.
 */
import * as cbor from '../cbor/writer.ts';
import type { CborReader } from '../cbor/reader.ts';

/** Our limit; the RFC has none. Identifiers for OSCORE have at most 7 bytes (RFC 8613 §3.3). */
export const maximumIdentifierBytes = 64;

export function encodeIdentifier(identifier: Uint8Array): Uint8Array {
  if (identifier.length > maximumIdentifierBytes) {
    throw new TypeError(`an identifier has at most ${maximumIdentifierBytes} bytes`);
  }
  return isOneByteInteger(identifier) ? identifier.slice() : cbor.bytes(identifier);
}

/** The byte string, whichever form it had. A view of the input. */
export function readIdentifier(reader: CborReader): Uint8Array {
  const start = reader.offset;
  const major = reader.peek();
  if (major === 'unsigned' || major === 'negative') {
    const item = reader.item();
    return item.length === 1 ? item : reader.fail('identifier outside -24..23', start);
  }
  const identifier = reader.bytes();
  if (isOneByteInteger(identifier)) reader.fail('identifier not as integer', start);
  if (identifier.length > maximumIdentifierBytes) {
    reader.fail(`identifier longer than ${maximumIdentifierBytes} bytes`, start);
  }
  return identifier;
}

/** Whether the byte string has the one-byte form: 00..17 and 20..37. */
export function isOneByteInteger(identifier: Uint8Array): boolean {
  const [byte] = identifier;
  if (identifier.length !== 1 || byte === undefined) return false;
  return byte <= 0x17 || (byte >= 0x20 && byte <= 0x37);
}
