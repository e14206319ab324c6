/** Entries of the audit log for people and programs: bytes in hexadecimal, times readable. */
import { type AuditEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';

/** `{ kind: 'unreadable', bytes }` for an entry that a later version wrote. */
export function entryDocument(entry: Uint8Array): Readonly<Record<string, unknown>> {
  let read: AuditEntry;
  try {
    read = readAuditEntry(entry);
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    return { kind: 'unreadable', bytes: toHex(entry) };
  }
  const document: Record<string, unknown> = {};
  for (const [name, value] of Object.entries<unknown>({ ...read })) {
    document[name] = value instanceof Uint8Array ? toHex(value) : (value ?? null);
  }
  document['at'] = new Date(read.atMs).toISOString();
  return document;
}
