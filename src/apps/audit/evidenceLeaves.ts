/** Which leaves of the log concern some devices: their certificates, orders, tickets, closures, decisions. */
import { type AuditEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import { entriesOf, type LogCopy } from './logCopy.ts';

/** Identifiers of binary kind in hexadecimal. */
export interface Wanted {
  readonly deviceIds: ReadonlySet<string>;
  /** Of devices and of the authorities above them. */
  readonly certificates: ReadonlySet<string>;
  readonly serialNumbers: ReadonlySet<string>;
  readonly orders: ReadonlySet<string>;
  readonly batches: ReadonlySet<string>;
  readonly tickets: ReadonlySet<string>;
}

export interface FoundLeaf {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly entry: AuditEntry;
}

export async function evidenceLeaves(
  copy: LogCopy,
  checkpoint: SignedCheckpoint,
  wanted: Wanted,
  onProgress: (done: number) => void,
): Promise<readonly FoundLeaf[]> {
  const found: FoundLeaf[] = [];
  for await (const { index, entry: bytes } of entriesOf(copy, checkpoint)) {
    onProgress(index + 1);
    const entry = readOr(bytes);
    if (entry !== undefined && concerns(entry, wanted)) found.push({ index, bytes, entry });
  }
  return found;
}

function concerns(entry: AuditEntry, wanted: Wanted): boolean {
  switch (entry.kind) {
    case 'issued':
      return wanted.certificates.has(toHex(entry.certificateSha256));
    case 'revoked':
    case 'held':
    case 'reinstated':
      return wanted.serialNumbers.has(toHex(entry.serialNumber));
    case 'ordered':
      return wanted.orders.has(entry.order);
    case 'ticket-issued':
    case 'ticket-closed':
      return wanted.tickets.has(toHex(entry.ticketId));
    case 'batch-closed':
      return wanted.batches.has(entry.batch);
    case 'foreign-device':
    case 'foreign-revoked':
      return wanted.deviceIds.has(entry.deviceId);
    case 'decision':
      return [wanted.deviceIds, wanted.orders, wanted.batches].some((set) =>
        set.has(entry.subject),
      );
    case 'foreign-anchor':
    case 'list-signed':
    case 'answers-signed':
      return false;
  }
}

/** Entries of later versions concern nothing that this one knows. */
function readOr(bytes: Uint8Array): AuditEntry | undefined {
  try {
    return readAuditEntry(bytes);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}
