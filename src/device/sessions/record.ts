/**
 * What a sensor without IP keeps of its session, as one value of its store. It holds secrets: the store is
 * a sealed one.
 *
 *     awaiting    = [0, state: bstr, frame: bstr, sizes: [1* uint]]
 *     unconfirmed = [1, state: bstr, frame: bstr, sizes: [3* uint], reserved: uint, failed: uint]
 *     live        = [2, state: bstr, sizes: [3* uint], reserved: uint, failed: uint]
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';

/** The one name under which the record is stored: it is replaced whole, never in parts. */
export const sessionRecordName = 'session';

interface KeyRecord {
  /** End of the sequence numbers that were reserved durably (RFC 8613 §B.1.1). */
  readonly reservedEnd: number;
  /** Of the server's messages, towards the limit of the key. */
  readonly failedVerifications: number;
}

export interface AwaitingRecord {
  readonly kind: 'awaiting';
  /** `AwaitMessage2.store()`. */
  readonly state: Uint8Array;
  /** The frame with message_1: retransmissions are these bytes, never a new message (RFC 9528 §7). */
  readonly frame: Uint8Array;
  /** Bytes of the EDHOC messages so far. */
  readonly handshakeBytes: readonly number[];
}

export interface UnconfirmedRecord extends KeyRecord {
  readonly kind: 'unconfirmed';
  /** `AwaitApplication.store()`. */
  readonly state: Uint8Array;
  /** The frame with message_3. */
  readonly frame: Uint8Array;
  readonly handshakeBytes: readonly number[];
}

export interface LiveRecord extends KeyRecord {
  readonly kind: 'live';
  /** `EdhocSession.store()`. */
  readonly state: Uint8Array;
  readonly handshakeBytes: readonly number[];
}

export type SessionRecord = AwaitingRecord | UnconfirmedRecord | LiveRecord;

export function encodeRecord(record: SessionRecord): Uint8Array {
  const state = cbor.bytes(record.state);
  const sizes = cbor.array(...record.handshakeBytes.map(cbor.integer));
  if (record.kind === 'awaiting') {
    return cbor.array(cbor.integer(0), state, cbor.bytes(record.frame), sizes);
  }
  const keys = [cbor.integer(record.reservedEnd), cbor.integer(record.failedVerifications)];
  return record.kind === 'unconfirmed'
    ? cbor.array(cbor.integer(1), state, cbor.bytes(record.frame), sizes, ...keys)
    : cbor.array(cbor.integer(2), state, sizes, ...keys);
}

/** Throws a `MalformedError` on bytes that `encodeRecord` did not give. */
export function parseRecord(bytes: Uint8Array): SessionRecord {
  const reader = new CborReader(bytes);
  const members = reader.array();
  const kind = reader.unsigned(2);
  if (members !== [4, 6, 5][kind]) reader.fail('not the members of this record', 0);
  const state = reader.bytes().slice();
  const frame = kind === 2 ? undefined : reader.bytes().slice();
  const handshakeBytes = Array.from({ length: reader.array() }, () => reader.unsigned());
  const keys =
    kind === 0
      ? undefined
      : { reservedEnd: reader.unsigned(), failedVerifications: reader.unsigned() };
  reader.end();
  if (keys === undefined) return { kind: 'awaiting', state, frame: frame ?? state, handshakeBytes };
  return frame === undefined
    ? { kind: 'live', state, handshakeBytes, ...keys }
    : { kind: 'unconfirmed', state, frame, handshakeBytes, ...keys };
}
