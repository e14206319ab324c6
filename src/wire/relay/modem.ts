/**
 * Datagrams between a host and its radio modem or packet forwarder: `kind, address length, address, frame`.
 * On a sensor the address is its own when it sends and when it receives; at a gateway it is the sensor's.
 *
 *     0x00  attach: "frames for this address come to the datagram's sender"; no address means all of them
 *     0x01  frame
 */
import { concat } from '../bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../bytes/malformed.ts';
import { maximumFrameBytes, maximumLinkAddressBytes } from './envelope.ts';

export type ModemDatagram =
  | { readonly kind: 'attach'; readonly linkAddress: Uint8Array | undefined }
  | { readonly kind: 'frame'; readonly linkAddress: Uint8Array; readonly frame: Uint8Array };

const attachKind = 0x00;
const frameKind = 0x01;

export function writeModemDatagram(datagram: ModemDatagram): Uint8Array {
  const linkAddress = datagram.linkAddress ?? new Uint8Array(0);
  if (linkAddress.length > maximumLinkAddressBytes) {
    throw new TypeError(`a link address has 1 to ${maximumLinkAddressBytes} bytes`);
  }
  const addressed = concat(Uint8Array.of(linkAddress.length), linkAddress);
  if (datagram.kind === 'attach') return concat(Uint8Array.of(attachKind), addressed);
  if (linkAddress.length === 0) throw new TypeError('a frame needs a link address');
  if (datagram.frame.length === 0 || datagram.frame.length > maximumFrameBytes) {
    throw new TypeError(`a frame has 1 to ${maximumFrameBytes} bytes`);
  }
  return concat(Uint8Array.of(frameKind), addressed, datagram.frame);
}

/** Copies out of the input. Throws a `MalformedError`, or an `UnsupportedError` for an unknown kind. */
export function readModemDatagram(bytes: Uint8Array): ModemDatagram {
  const [kind, addressBytes] = bytes;
  if (kind === undefined || addressBytes === undefined) {
    throw new MalformedError('modem', bytes.length, 'datagram ends inside its head');
  }
  if (kind !== attachKind && kind !== frameKind)
    throw new UnsupportedError('modem', `kind ${kind}`);
  const end = 2 + addressBytes;
  if (addressBytes > maximumLinkAddressBytes || end > bytes.length) {
    throw new MalformedError('modem', 1, 'wrong length of the link address');
  }
  // Not slice(): on a Buffer that would be a view.
  const linkAddress = new Uint8Array(bytes.subarray(2, end));
  const frame = new Uint8Array(bytes.subarray(end));
  if (kind === attachKind) {
    if (frame.length > 0) throw new MalformedError('modem', end, 'trailing bytes');
    return { kind: 'attach', linkAddress: addressBytes === 0 ? undefined : linkAddress };
  }
  if (addressBytes === 0) throw new MalformedError('modem', 1, 'link address missing');
  if (frame.length === 0) throw new MalformedError('modem', end, 'frame missing');
  if (frame.length > maximumFrameBytes) {
    throw new MalformedError('modem', end, `frame above ${maximumFrameBytes} bytes`);
  }
  return { kind: 'frame', linkAddress, frame };
}
