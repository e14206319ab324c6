/**
 * How EDHOC messages find their session where the transport does not tell (RFC 9528 §3.4.1): message_1 has
 * `true` in front, every other message the connection identifier that its receiver chose.
 *
 * - A raw link correlates nothing: both directions are prepended, error messages too.
 * - CoAP correlates responses by token: what the client sends is prepended, what the server sends is not
 *   (RFC 9528 Appendix A.2). In the forward flow the client is the initiator. In the reverse flow the
 *   server is: an empty POST triggers it, message_1 comes bare in the response, and the client prepends
 *   C_I to message_2 and message_4. The states do not know the difference.
 */
import { concat } from '../bytes/bytes.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { encodeIdentifier, readIdentifier } from './identifiers.ts';

/** What EDHOC fixes of its transfer over CoAP (RFC 9528 §10.7 to §10.10). */
export const coapTransfer = {
  wellKnownPath: ['.well-known', 'edhoc'],
  /** application/edhoc+cbor-seq: a message alone. */
  messageFormat: 64,
  /** application/cid-edhoc+cbor-seq: a message with an identifier, or `true`, in front. */
  prependedFormat: 65,
  resourceType: 'core.edhoc',
} as const;

export type Carried =
  /** message_1: no session exists yet. */
  | { readonly kind: 'start'; readonly message1: Uint8Array }
  | {
      readonly kind: 'continue';
      /** The one that the receiver chose. */
      readonly connectionId: Uint8Array;
      /** message_2 to message_4, or an error; the states tell them apart. */
      readonly message: Uint8Array;
    };

export function carryStart(message1: Uint8Array): Uint8Array {
  return concat(cbor.trueItem, message1);
}

/** `connectionId` is that of the receiver. */
export function carry(connectionId: Uint8Array, message: Uint8Array): Uint8Array {
  return concat(encodeIdentifier(connectionId), message);
}

/** Views of the input. Throws a `MalformedError`. The message itself is not looked into. */
export function readCarried(bytes: Uint8Array): Carried {
  if (bytes[0] === cbor.trueItem[0]) return { kind: 'start', message1: rest(bytes, 1) };
  const reader = new CborReader(bytes);
  const connectionId = readIdentifier(reader);
  return { kind: 'continue', connectionId, message: rest(bytes, reader.offset) };
}

function rest(bytes: Uint8Array, offset: number): Uint8Array {
  if (offset >= bytes.length) throw new MalformedError('edhoc', offset, 'message missing');
  return bytes.subarray(offset);
}
