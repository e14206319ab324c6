/** Opening a ticket: the station learns what every unit of the batch gets and the key for agree proofs. */
import { CborReader } from '../cbor/reader.ts';
import * as cbor from '../cbor/writer.ts';
import {
  lineLimits,
  messageTypes,
  readArrayOf,
  readBytes,
  readCertificates,
  readHead,
  readPoint,
} from './fields.ts';

export interface OpenRequest {
  /** The ticket as the authority signed it. */
  readonly ticket: Uint8Array;
  /** 16 random bytes; the answer is bound to the request and so to them. */
  readonly nonce: Uint8Array;
}

export interface OpenAnswer {
  readonly ticketId: Uint8Array;
  /** Uncompressed P-256 point of the authority, made for this ticket alone: the peer of agree proofs. */
  readonly agreeKey: Uint8Array;
  /** DER certificates that elements pin for servers. */
  readonly anchors: readonly Uint8Array[];
  /** What elements store as `server-identity`: the server's EDHOC credential. Empty when there is none. */
  readonly serverIdentity: Uint8Array;
  /** The order's EUI-64 range; absent when the product has none. */
  readonly eui64Range: { readonly first: Uint8Array; readonly count: number } | undefined;
  /** Identities already made under this ticket: a resumed station starts from here. */
  readonly endorsed: number;
  /** The authority's time, Unix seconds: a station whose clock is off says so before it starts. */
  readonly nowS: number;
}

export function encodeOpenRequest(request: OpenRequest): Uint8Array {
  return cbor.array(
    cbor.integer(messageTypes.openRequest),
    cbor.bytes(request.ticket),
    cbor.bytes(request.nonce),
  );
}

export function readOpenRequest(payload: Uint8Array): OpenRequest {
  const reader = new CborReader(payload);
  readHead(reader, 'openRequest', 3);
  const request: OpenRequest = {
    ticket: readBytes(reader, 'ticket', 1, lineLimits.ticket),
    nonce: readBytes(reader, 'nonce', 16, 16),
  };
  reader.end();
  return request;
}

export function encodeOpenAnswer(answer: OpenAnswer): Uint8Array {
  const range = answer.eui64Range;
  return cbor.array(
    cbor.integer(messageTypes.openAnswer),
    cbor.bytes(answer.ticketId),
    cbor.bytes(answer.agreeKey),
    cbor.array(...answer.anchors.map(cbor.bytes)),
    cbor.bytes(answer.serverIdentity),
    range === undefined
      ? cbor.nullItem
      : cbor.array(cbor.bytes(range.first), cbor.integer(range.count)),
    cbor.integer(answer.endorsed),
    cbor.integer(answer.nowS),
  );
}

export function readOpenAnswer(payload: Uint8Array): OpenAnswer {
  const reader = new CborReader(payload);
  readHead(reader, 'openAnswer', 8);
  const answer: OpenAnswer = {
    ticketId: readBytes(reader, 'ticket id', 16, 16),
    agreeKey: readPoint(reader, 'agree key'),
    anchors: readCertificates(reader, 'anchors'),
    serverIdentity: readBytes(reader, 'server identity', 0, lineLimits.serverIdentity),
    eui64Range: readRange(reader),
    endorsed: reader.unsigned(),
    nowS: reader.unsigned(),
  };
  reader.end();
  return answer;
}

function readRange(reader: CborReader): OpenAnswer['eui64Range'] {
  if (reader.takeNull()) return undefined;
  readArrayOf(reader, 2, 'EUI-64 range');
  return { first: readBytes(reader, 'first EUI-64', 8, 8), count: reader.unsigned() };
}
