/**
 * What a sensor without IP keeps of its session, as one value of its store. It holds secrets: the store is
 * a sealed one.
 *
 *     awaiting    = [0, state: bstr, frame: bstr, sizes: [1* uint]]
 *     unconfirmed = [1, state: bstr, frame: bstr, sizes: [3* uint], reserved: uint, failed: uint]
 *     live        = [2, state: bstr, sizes: [3* uint], reserved: uint, failed: uint]
 *     resuming    = [3, state: bstr, frame: bstr, sizes: [1* uint]]
 *
 * Beside it, while a renewal has not got as far as message_3, the live session that it is to replace, and
 * for the next renewal the resumption key of the session:
 *
 *     resumption  = [psk: bstr, uses: uint]
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';

/** The one name under which the record is stored: it is replaced whole, never in parts. */
export const sessionRecordName = 'session';
/** A live record: what to go back to when a renewal is not answered. */
export const standbyRecordName = 'standby';
export const resumptionRecordName = 'resumption';

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

export interface ResumingRecord extends Omit<AwaitingRecord, 'kind'> {
  /** The state is `PskAwaitMessage2.store()`. */
  readonly kind: 'resuming';
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

export type SessionRecord = AwaitingRecord | ResumingRecord | UnconfirmedRecord | LiveRecord;

export function encodeRecord(record: SessionRecord): Uint8Array {
  const state = cbor.bytes(record.state);
  const sizes = cbor.array(...record.handshakeBytes.map(cbor.integer));
  if (record.kind === 'awaiting' || record.kind === 'resuming') {
    const kind = cbor.integer(record.kind === 'awaiting' ? 0 : 3);
    return cbor.array(kind, state, cbor.bytes(record.frame), sizes);
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
  const number = reader.unsigned(3);
  if (members !== [4, 6, 5, 4][number]) reader.fail('not the members of this record', 0);
  const state = reader.bytes().slice();
  const frame = number === 2 ? undefined : reader.bytes().slice();
  const handshakeBytes = Array.from({ length: reader.array() }, () => reader.unsigned());
  const isUnanswered = number === 0 || number === 3;
  const keys = isUnanswered
    ? undefined
    : { reservedEnd: reader.unsigned(), failedVerifications: reader.unsigned() };
  reader.end();
  if (keys === undefined) {
    const kind = number === 0 ? 'awaiting' : 'resuming';
    return { kind, state, frame: frame ?? state, handshakeBytes };
  }
  return frame === undefined
    ? { kind: 'live', state, handshakeBytes, ...keys }
    : { kind: 'unconfirmed', state, frame, handshakeBytes, ...keys };
}

/** What the next session can be made with, cheaper than with the long-term keys. */
export interface ResumptionRecord {
  /** `storePskCredential()`. */
  readonly psk: Uint8Array;
  /** Resumptions in a row since the long-term keys were used. */
  readonly uses: number;
}

export function encodeResumption({ psk, uses }: ResumptionRecord): Uint8Array {
  return cbor.array(cbor.bytes(psk), cbor.integer(uses));
}

/** Throws a `MalformedError` on bytes that `encodeResumption` did not give. */
export function parseResumption(bytes: Uint8Array): ResumptionRecord {
  const reader = new CborReader(bytes);
  if (reader.array() !== 2) reader.fail('not the members of this record', 0);
  const record = { psk: reader.bytes().slice(), uses: reader.unsigned() };
  reader.end();
  return record;
}
