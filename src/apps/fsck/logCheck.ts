/** The audit log: no leaf missing, every signature logged once, every stored head the root of its leaves. */
import { createHash } from 'node:crypto';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { GrowingTree } from '../../wire/tlog/growingTree.ts';
import type { TreeHash } from '../../wire/tlog/tree.ts';
import { type AuditEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import type { Inspection } from './fsck.ts';
import { bytes, hex, number } from './values.ts';

/** What follows the log in its order. */
export interface Trail {
  note(entry: AuditEntry): void;
}

/** Number of leaves. `certificates`: SHA-256 by serial number, both hexadecimal. */
export async function checkLog(
  { snapshot, fault }: Inspection,
  certificates: ReadonlyMap<string, string>,
  trails: readonly Trail[],
): Promise<number> {
  const heads = new Map<number, string>();
  for await (const row of snapshot.rows('SELECT tree_size, root FROM audit_heads')) {
    heads.set(number(row, 'tree_size'), hex(row, 'root'));
  }
  const tree = new GrowingTree(sha256);
  const logged = new Map<string, string>();
  for await (const row of snapshot.rows('SELECT id, entry FROM audit_leaves ORDER BY id')) {
    const entry = bytes(row, 'entry');
    tree.append(entry);
    if (number(row, 'id') !== tree.size) fault(`log: leaf ${tree.size} is missing`);
    noteEntry(entry, logged, trails, fault);
    const head = heads.get(tree.size);
    if (head !== undefined && head !== toHex(tree.root())) {
      fault(`log: the head of ${tree.size} leaves is not their root`);
    }
    heads.delete(tree.size);
  }
  for (const size of heads.keys()) {
    if (size > 0) fault(`log: a head of ${size} leaves, but there are ${tree.size}`);
  }
  for (const [serial, sha256] of certificates) {
    if (logged.get(serial) !== sha256) fault(`serial number ${serial}: signed and not logged so`);
  }
  for (const serial of logged.keys()) {
    if (!certificates.has(serial)) fault(`serial number ${serial}: logged and not recorded`);
  }
  return tree.size;
}

function noteEntry(
  entry: Uint8Array,
  logged: Map<string, string>,
  trails: readonly Trail[],
  fault: (text: string) => void,
): void {
  try {
    const read = readAuditEntry(entry);
    for (const trail of trails) trail.note(read);
    if (read.kind !== 'issued') return;
    const serial = toHex(read.serialNumber);
    if (logged.has(serial)) fault(`serial number ${serial}: logged twice`);
    logged.set(serial, toHex(read.certificateSha256));
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    fault(`log: an entry cannot be read: ${error.message}`);
  }
}

const sha256: TreeHash = (data) => new Uint8Array(createHash('sha256').update(data).digest());
