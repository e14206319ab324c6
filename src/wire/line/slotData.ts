/** What the line writes into an element's data slots, as the device reads it years later. */
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';

/**
 * Slot `anchors`: a CBOR array of what the device pins for servers, in byte strings: DER certificates, and
 * beside them `bareAnchor` of each for a device that reads no X.509.
 */
export function encodeAnchors(anchors: readonly Uint8Array[]): Uint8Array {
  return cbor.array(...anchors.map(cbor.bytes));
}

/** The DER certificates. Throws a `MalformedError`, also when there is none. */
export function readAnchors(slot: Uint8Array): readonly Uint8Array[] {
  return readSlot(slot, true);
}

/** What `readBareAnchor` reads. Throws a `MalformedError`, also when there is none. */
export function readBareAnchors(slot: Uint8Array): readonly Uint8Array[] {
  return readSlot(slot, false);
}

const maximumAnchors = 16;
/** SEQUENCE; a bare anchor is a CBOR array. */
const derOctet = 0x30;

function readSlot(slot: Uint8Array, inDer: boolean): readonly Uint8Array[] {
  const reader = new CborReader(slot);
  const count = reader.array();
  if (count > maximumAnchors) reader.fail(`more than ${maximumAnchors} anchors`, 0);
  const anchors = Array.from({ length: count }, () => reader.bytes());
  reader.end();
  const wanted = anchors.filter(([first]) => (first === derOctet) === inDer);
  return wanted.length > 0 ? wanted : reader.fail('no anchor of this kind', 0);
}

/** Slot `device-id`: 16 characters. */
export function encodeDeviceId(deviceId: string): Uint8Array {
  return utf8(deviceId);
}

/** Throws a `MalformedError`. */
export function readDeviceIdSlot(slot: Uint8Array): string {
  const deviceId = fromUtf8(slot);
  if (deviceId === undefined || !/^[0-9a-hjkmnp-tv-z]{16}$/.test(deviceId)) {
    throw new MalformedError('device-id slot', 0, 'no device id');
  }
  return deviceId;
}
