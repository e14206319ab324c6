/** The envelope in which a gateway hands frames of its radio to the server and back: `[linkAddress, frame]`. */
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';

/** An EUI-64 has 8 bytes; room for radios with longer addresses. */
export const maximumLinkAddressBytes = 16;

/** The largest frame of any link that we carry (the least MTU of IPv6, RFC 8200 §5). */
export const maximumFrameBytes = 1280;

export interface Envelope {
  /** Who sent the frame or is to receive it, on the gateway's radio. A routing hint, never proof. */
  readonly linkAddress: Uint8Array;
  /** As it was on air: see `frame.ts`. Opaque to the gateway. */
  readonly frame: Uint8Array;
}

/** CBOR `[bstr, bstr]`. Throws a `TypeError` when a limit of this file is exceeded. */
export function writeEnvelope(envelope: Envelope): Uint8Array {
  const { linkAddress, frame } = envelope;
  if (!lengthFits(linkAddress, maximumLinkAddressBytes)) {
    throw new TypeError(`a link address has 1 to ${maximumLinkAddressBytes} bytes`);
  }
  if (!lengthFits(frame, maximumFrameBytes)) {
    throw new TypeError(`a frame has 1 to ${maximumFrameBytes} bytes`);
  }
  return cbor.array(cbor.bytes(linkAddress), cbor.bytes(frame));
}

/** Copies out of the input. Throws a `MalformedError`. */
export function readEnvelope(bytes: Uint8Array): Envelope {
  const reader = new CborReader(bytes);
  if (reader.array() !== 2) reader.fail('array of two expected', 0);
  const linkAddress = bounded(reader, maximumLinkAddressBytes);
  const frame = bounded(reader, maximumFrameBytes);
  reader.end();
  return { linkAddress, frame };
}

function bounded(reader: CborReader, maximumBytes: number): Uint8Array {
  const start = reader.offset;
  const value = reader.bytes();
  // Not slice(): on a Buffer that would be a view.
  if (lengthFits(value, maximumBytes)) return new Uint8Array(value);
  throw new MalformedError('envelope', start, `string is not of 1 to ${maximumBytes} bytes`);
}

function lengthFits(value: Uint8Array, maximumBytes: number): boolean {
  return value.length >= 1 && value.length <= maximumBytes;
}
