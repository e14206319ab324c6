/**
 * What a raw link carries in one frame: a byte that says which protocol, then its message.
 *
 *     0x01  EDHOC. message_1 is marked by a leading `true`, every other message and every error by the
 *           receiver's connection identifier (RFC 9528 §3.4.1).
 *     0x02  a CoAP message, protected with OSCORE.
 */
import { concat } from '../bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';

export const frameKinds = { edhoc: 0x01, coap: 0x02 } as const;

/** RFC 8613 §3.3 allows 7 bytes for an identifier with a nonce of 13 bytes. */
export const maximumConnectionIdBytes = 7;

export type LinkFrame =
  | { readonly kind: 'edhoc-start'; readonly message1: Uint8Array }
  | {
      readonly kind: 'edhoc';
      /** The one that the receiver chose. */
      readonly connectionId: Uint8Array;
      /** message_2, message_3, message_4 or an error, told apart by EDHOC. */
      readonly message: Uint8Array;
    }
  | { readonly kind: 'coap'; readonly message: Uint8Array };

export function writeFrame(frame: LinkFrame): Uint8Array {
  if (frame.kind === 'coap') return concat(Uint8Array.of(frameKinds.coap), frame.message);
  const edhoc = Uint8Array.of(frameKinds.edhoc);
  return frame.kind === 'edhoc-start'
    ? concat(edhoc, cbor.trueItem, frame.message1)
    : concat(edhoc, connectionIdItem(frame.connectionId), frame.message);
}

/**
 * Splits a frame without looking into the message. Views of the input, not copies. Throws a
 * `MalformedError`, or an `UnsupportedError` for a kind that is not known.
 */
export function readFrame(bytes: Uint8Array): LinkFrame {
  const kind = bytes[0];
  if (kind === undefined) throw new MalformedError('link-frame', 0, 'empty frame');
  if (kind === frameKinds.coap) {
    return { kind: 'coap', message: rest(bytes, 1) };
  }
  if (kind !== frameKinds.edhoc) throw new UnsupportedError('link-frame', `kind ${kind}`);
  if (bytes[1] === cbor.trueItem[0]) {
    return { kind: 'edhoc-start', message1: rest(bytes, 2) };
  }
  const reader = new CborReader(bytes, 1);
  const connectionId = readConnectionId(reader);
  return { kind: 'edhoc', connectionId, message: rest(bytes, reader.offset) };
}

/** RFC 9528 §3.3.2: a byte string that is the encoding of an integer -24..23 is sent as that integer. */
function connectionIdItem(connectionId: Uint8Array): Uint8Array {
  if (connectionId.length > maximumConnectionIdBytes) {
    throw new TypeError(`connection identifier above ${maximumConnectionIdBytes} bytes`);
  }
  return isOneByteInteger(connectionId) ? connectionId : cbor.bytes(connectionId);
}

function readConnectionId(reader: CborReader): Uint8Array {
  const start = reader.offset;
  const major = reader.peek();
  if (major === 'unsigned' || major === 'negative') {
    const value = reader.integer();
    if (value < -24 || value > 23) reader.fail('connection identifier above one byte', start);
    return cbor.integer(value);
  }
  const connectionId = reader.bytes();
  if (connectionId.length > maximumConnectionIdBytes) {
    reader.fail(`connection identifier above ${maximumConnectionIdBytes} bytes`, start);
  }
  if (isOneByteInteger(connectionId)) reader.fail('connection identifier not as integer', start);
  return connectionId;
}

function isOneByteInteger(bytes: Uint8Array): boolean {
  const [value] = bytes;
  if (bytes.length !== 1 || value === undefined) return false;
  return value <= 0x17 || (value >= 0x20 && value <= 0x37);
}

function rest(bytes: Uint8Array, offset: number): Uint8Array {
  if (offset >= bytes.length) throw new MalformedError('link-frame', offset, 'message missing');
  return bytes.subarray(offset);
}
