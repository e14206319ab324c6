/** What the line writes into an element's data slots, as the device reads it years later. */
import { fromUtf8, utf8 } from '../bytes/utf8.ts';
import { MalformedError } from '../bytes/malformed.ts';
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import { readCertificates } from './fields.ts';

/** Slot `anchors`: a CBOR array of the DER certificates that the device pins for servers. */
export function encodeAnchors(anchors: readonly Uint8Array[]): Uint8Array {
  return cbor.array(...anchors.map(cbor.bytes));
}

/** Throws a `MalformedError`. */
export function readAnchors(slot: Uint8Array): readonly Uint8Array[] {
  const reader = new CborReader(slot);
  const anchors = readCertificates(reader, 'anchors');
  reader.end();
  return anchors;
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
