/**
 * Entries of the audit log: what the authority did, never what it refused. Each is a CBOR array that
 * begins with version and kind, so that a log is readable without the program that wrote it.
 */
import { CborReader } from '../../wire/cbor/reader.ts';
import * as cbor from '../../wire/cbor/writer.ts';

export type AuditEntry =
  | IssuedEntry
  | RevokedEntry
  | OrderedEntry
  | TicketIssuedEntry
  | TicketClosedEntry
  | BatchClosedEntry
  | ForeignAnchorEntry
  | ForeignDeviceEntry
  | ForeignRevokedEntry
  | HeldEntry
  | ReinstatedEntry
  | ListSignedEntry
  | DecisionEntry
  | AnswersSignedEntry
  | ApprovalRequestedEntry
  | ApprovalDecidedEntry
  | ApprovalUsedEntry;

interface Dated {
  readonly atMs: number;
}

/** A certificate was signed. Written in the transaction that stores the signature. */
export interface IssuedEntry extends Dated {
  readonly kind: 'issued';
  /** Key identifier of the issuer. */
  readonly issuerKeyId: Uint8Array;
  readonly serialNumber: Uint8Array;
  /** Over the whole certificate. */
  readonly certificateSha256: Uint8Array;
  readonly profile: string;
  /** deviceId, or the name of a server, station, application or authority. */
  readonly holder: string;
  /** Absent for what no ticket allowed. */
  readonly ticketId: Uint8Array | undefined;
}

export interface RevokedEntry extends Dated {
  readonly kind: 'revoked';
  readonly serialNumber: Uint8Array;
  /** What a person said; before it and a colon the reason of RFC 5280 §5.3.1, where there is one. */
  readonly reason: string;
}

/** Certificate on hold: it counts no more, perhaps for now. */
export interface HeldEntry extends Dated {
  readonly kind: 'held';
  readonly serialNumber: Uint8Array;
  readonly reason: string;
}

/** A hold was taken back. */
export interface ReinstatedEntry extends Dated {
  readonly kind: 'reinstated';
  readonly serialNumber: Uint8Array;
  readonly reason: string;
}

/** A list of revoked certificates was signed. Written in the transaction that stores it. */
export interface ListSignedEntry extends Dated {
  readonly kind: 'list-signed';
  readonly issuerKeyId: Uint8Array;
  readonly shard: number;
  readonly number: number;
  readonly listSha256: Uint8Array;
}

/** Answers about the status of certificates were signed: how many, and which. */
export interface AnswersSignedEntry extends Dated {
  readonly kind: 'answers-signed';
  /** SHA-1 of the responder's key, as the answers name it. */
  readonly signerKeyHash: Uint8Array;
  readonly count: number;
  /** SHA-256 over the SHA-256 of each answer, in the order they were signed. */
  readonly batchSha256: Uint8Array;
}

export interface OrderedEntry extends Dated {
  readonly kind: 'ordered';
  readonly order: string;
  /** SHA-256 over what was ordered, as the order's record encodes it. */
  readonly recordSha256: Uint8Array;
}

export interface TicketIssuedEntry extends Dated {
  readonly kind: 'ticket-issued';
  readonly ticketId: Uint8Array;
  /** SHA-256 over the signed ticket. */
  readonly ticketSha256: Uint8Array;
}

export interface TicketClosedEntry extends Dated {
  readonly kind: 'ticket-closed';
  readonly ticketId: Uint8Array;
  readonly counts: readonly [issued: number, released: number, scrapped: number, returned: number];
}

export interface BatchClosedEntry extends Dated {
  readonly kind: 'batch-closed';
  readonly batch: string;
  readonly manifestSha256: Uint8Array;
  readonly yieldReportSha256: Uint8Array;
}

/** An authority of another maker was pinned for a product; a count of 0 retires it. */
export interface ForeignAnchorEntry extends Dated {
  readonly kind: 'foreign-anchor';
  readonly product: string;
  readonly certificateSha256: Uint8Array;
  readonly count: number;
}

/** A device was bound to the birth certificate that another maker gave it. */
export interface ForeignDeviceEntry extends Dated {
  readonly kind: 'foreign-device';
  readonly deviceId: string;
  readonly certificateSha256: Uint8Array;
  readonly anchorSha256: Uint8Array;
}

/** A birth certificate of another maker counts no more. */
export interface ForeignRevokedEntry extends Dated {
  readonly kind: 'foreign-revoked';
  readonly deviceId: string;
  readonly reason: string;
}

/** A person decided something that changes what will be issued. */
export interface DecisionEntry extends Dated {
  readonly kind: 'decision';
  /** A word for what was done. */
  readonly act: string;
  /** Of whom or what. */
  readonly subject: string;
  readonly detail: string;
}

/** A person asked for an act that takes two. */
export interface ApprovalRequestedEntry extends Dated {
  readonly kind: 'approval-requested';
  /** SHA-256 over the request document. */
  readonly request: Uint8Array;
  /** COSE_Sign1 by that person around the document. */
  readonly signed: Uint8Array;
}

/** Another person approved or rejected it, or the first one withdrew it. */
export interface ApprovalDecidedEntry extends Dated {
  readonly kind: 'approval-decided';
  readonly request: Uint8Array;
  /** COSE_Sign1 by that person. */
  readonly signed: Uint8Array;
}

/** The approval was spent. The entry of the act follows it directly, unless the act has several. */
export interface ApprovalUsedEntry extends Dated {
  readonly kind: 'approval-used';
  readonly request: Uint8Array;
  readonly act: string;
}

export function encodeAuditEntry(entry: AuditEntry): Uint8Array {
  return cbor.array(
    cbor.integer(version),
    cbor.integer(kinds.indexOf(entry.kind)),
    cbor.integer(entry.atMs),
    ...members(entry),
  );
}

/** Throws a `MalformedError` for bytes that no version of ours wrote. */
export function readAuditEntry(bytes: Uint8Array): AuditEntry {
  const reader = new CborReader(bytes);
  const count = reader.array();
  if (reader.unsigned() !== version) reader.fail('unknown version of an audit entry');
  const kind = kinds[reader.unsigned()] ?? reader.fail('unknown kind of audit entry');
  if (count !== 3 + memberCounts[kind]) reader.fail(`${kind} has ${memberCounts[kind]} members`, 0);
  const entry = readMembers(reader, kind, reader.unsigned());
  reader.end();
  return entry;
}

const version = 1;

/** The order is the encoding: append only. */
const kinds = [
  'issued',
  'revoked',
  'ordered',
  'ticket-issued',
  'ticket-closed',
  'batch-closed',
  'foreign-anchor',
  'foreign-device',
  'foreign-revoked',
  'held',
  'reinstated',
  'list-signed',
  'decision',
  'answers-signed',
  'approval-requested',
  'approval-decided',
  'approval-used',
] as const;

const memberCounts: Readonly<Record<AuditEntry['kind'], number>> = {
  issued: 6,
  revoked: 2,
  ordered: 2,
  'ticket-issued': 2,
  'ticket-closed': 5,
  'batch-closed': 3,
  'foreign-anchor': 3,
  'foreign-device': 3,
  'foreign-revoked': 2,
  held: 2,
  reinstated: 2,
  'list-signed': 4,
  'answers-signed': 3,
  decision: 3,
  'approval-requested': 2,
  'approval-decided': 2,
  'approval-used': 2,
};

function members(entry: AuditEntry): readonly Uint8Array[] {
  switch (entry.kind) {
    case 'issued':
      return [
        cbor.bytes(entry.issuerKeyId),
        cbor.bytes(entry.serialNumber),
        cbor.bytes(entry.certificateSha256),
        cbor.text(entry.profile),
        cbor.text(entry.holder),
        entry.ticketId === undefined ? cbor.nullItem : cbor.bytes(entry.ticketId),
      ];
    case 'revoked':
    case 'held':
    case 'reinstated':
      return [cbor.bytes(entry.serialNumber), cbor.text(entry.reason)];
    case 'list-signed':
      return [
        cbor.bytes(entry.issuerKeyId),
        cbor.integer(entry.shard),
        cbor.integer(entry.number),
        cbor.bytes(entry.listSha256),
      ];
    case 'answers-signed':
      return [
        cbor.bytes(entry.signerKeyHash),
        cbor.integer(entry.count),
        cbor.bytes(entry.batchSha256),
      ];
    case 'ordered':
      return [cbor.text(entry.order), cbor.bytes(entry.recordSha256)];
    case 'ticket-issued':
      return [cbor.bytes(entry.ticketId), cbor.bytes(entry.ticketSha256)];
    case 'ticket-closed':
      return [cbor.bytes(entry.ticketId), ...entry.counts.map(cbor.integer)];
    case 'batch-closed':
      return [
        cbor.text(entry.batch),
        cbor.bytes(entry.manifestSha256),
        cbor.bytes(entry.yieldReportSha256),
      ];
    case 'foreign-anchor':
      return [
        cbor.text(entry.product),
        cbor.bytes(entry.certificateSha256),
        cbor.integer(entry.count),
      ];
    case 'foreign-device':
      return [
        cbor.text(entry.deviceId),
        cbor.bytes(entry.certificateSha256),
        cbor.bytes(entry.anchorSha256),
      ];
    case 'foreign-revoked':
      return [cbor.text(entry.deviceId), cbor.text(entry.reason)];
    case 'decision':
      return [cbor.text(entry.act), cbor.text(entry.subject), cbor.text(entry.detail)];
    case 'approval-requested':
    case 'approval-decided':
      return [cbor.bytes(entry.request), cbor.bytes(entry.signed)];
    case 'approval-used':
      return [cbor.bytes(entry.request), cbor.text(entry.act)];
  }
}

function readMembers(reader: CborReader, kind: AuditEntry['kind'], atMs: number): AuditEntry {
  const bytes = (): Uint8Array => reader.bytes().slice();
  switch (kind) {
    case 'issued':
      return readIssued(reader, atMs);
    case 'revoked':
    case 'held':
    case 'reinstated':
      return { kind, atMs, serialNumber: bytes(), reason: reader.text() };
    case 'list-signed':
      return {
        kind,
        atMs,
        issuerKeyId: bytes(),
        shard: reader.unsigned(),
        number: reader.unsigned(),
        listSha256: bytes(),
      };
    case 'answers-signed':
      return {
        kind,
        atMs,
        signerKeyHash: bytes(),
        count: reader.unsigned(),
        batchSha256: bytes(),
      };
    case 'ordered':
      return { kind, atMs, order: reader.text(), recordSha256: bytes() };
    case 'ticket-issued':
      return { kind, atMs, ticketId: bytes(), ticketSha256: bytes() };
    case 'ticket-closed':
      return { kind, atMs, ticketId: bytes(), counts: readCounts(reader) };
    case 'batch-closed':
      return {
        kind,
        atMs,
        batch: reader.text(),
        manifestSha256: bytes(),
        yieldReportSha256: bytes(),
      };
    case 'foreign-anchor':
      return {
        kind,
        atMs,
        product: reader.text(),
        certificateSha256: bytes(),
        count: reader.unsigned(),
      };
    case 'foreign-device':
      return {
        kind,
        atMs,
        deviceId: reader.text(),
        certificateSha256: bytes(),
        anchorSha256: bytes(),
      };
    case 'foreign-revoked':
      return { kind, atMs, deviceId: reader.text(), reason: reader.text() };
    case 'decision':
      return { kind, atMs, act: reader.text(), subject: reader.text(), detail: reader.text() };
    case 'approval-requested':
    case 'approval-decided':
      return { kind, atMs, request: bytes(), signed: bytes() };
    case 'approval-used':
      return { kind, atMs, request: bytes(), act: reader.text() };
  }
}

function readIssued(reader: CborReader, atMs: number): IssuedEntry {
  return {
    kind: 'issued',
    atMs,
    issuerKeyId: reader.bytes().slice(),
    serialNumber: reader.bytes().slice(),
    certificateSha256: reader.bytes().slice(),
    profile: reader.text(),
    holder: reader.text(),
    ticketId: reader.takeNull() ? undefined : reader.bytes().slice(),
  };
}

function readCounts(reader: CborReader): TicketClosedEntry['counts'] {
  return [reader.unsigned(), reader.unsigned(), reader.unsigned(), reader.unsigned()];
}
