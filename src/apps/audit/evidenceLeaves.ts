/** Which leaves of the log concern some devices: their certificates, orders, tickets, closures, decisions. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { readDecision, readRequest, readSigned } from '../../trust/approvals/documents.ts';
import { twoPersonAct } from '../../trust/approvals/twoPersons.ts';
import { type AuditEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import { orderedAct, reportedAct } from '../../trust/status/notices.ts';
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
  /** `name@version`. */
  readonly profiles: ReadonlySet<string>;
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
  const found = new Map<number, FoundLeaf>();
  const approvals = new ApprovalLeaves();
  for await (const { index, entry: bytes } of entriesOf(copy, checkpoint)) {
    onProgress(index + 1);
    const entry = readOr(bytes);
    if (entry === undefined) continue;
    const leaf = { index, bytes, entry };
    if (concerns(entry, wanted)) {
      for (const one of [...approvals.before(leaf), leaf]) found.set(one.index, one);
    }
    approvals.note(leaf);
  }
  return [...found.values()].toSorted((left, right) => left.index - right.index);
}

/** Leaves of approvals so far, of which only those count whose act is wanted. */
class ApprovalLeaves {
  readonly #byRequest = new Map<string, FoundLeaf[]>();
  /** Certificates of operators, by name. */
  readonly #operators = new Map<string, FoundLeaf[]>();
  #last: FoundLeaf | undefined;

  note(leaf: FoundLeaf): void {
    const { entry } = leaf;
    this.#last = leaf;
    const isOfRequest = ['approval-requested', 'approval-decided', 'approval-used'].includes(
      entry.kind,
    );
    if (isOfRequest && 'request' in entry) {
      listOf(this.#byRequest, toHex(entry.request)).push(leaf);
    } else if (entry.kind === 'issued' && entry.profile.startsWith('operator@')) {
      listOf(this.#operators, entry.holder).push(leaf);
    }
  }

  /** Whatever allowed the act of this leaf, which an approval stands directly before. */
  before(leaf: FoundLeaf): readonly FoundLeaf[] {
    const request = this.#requestOf(leaf);
    if (request === undefined) return [];
    const leaves = this.#byRequest.get(request) ?? [];
    const signers = leaves.flatMap(({ entry }) => signerOf(entry) ?? []);
    const certificates = signers.flatMap((name) => this.#operators.get(name) ?? []);
    return [...certificates, ...leaves];
  }

  /** Changes of status name it: their order has many of them. */
  #requestOf({ entry, index }: FoundLeaf): string | undefined {
    if (entry.kind === 'decision' && entry.act === orderedAct) return entry.subject;
    const used = this.#last;
    if (used?.entry.kind !== 'approval-used' || used.index !== index - 1) return undefined;
    return toHex(used.entry.request);
  }
}

function listOf(lists: Map<string, FoundLeaf[]>, name: string): FoundLeaf[] {
  const list = lists.get(name) ?? [];
  lists.set(name, list);
  return list;
}

function signerOf(entry: AuditEntry): string | undefined {
  if (entry.kind === 'approval-requested') {
    return readSigned(nodeCrypto, entry.signed, readRequest).document.requester;
  }
  if (entry.kind !== 'approval-decided') return undefined;
  return readSigned(nodeCrypto, entry.signed, readDecision).document.by;
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
      return (
        entry.act === twoPersonAct ||
        isAbout(entry, wanted.deviceIds) ||
        [wanted.deviceIds, wanted.orders, wanted.batches, wanted.profiles].some((set) =>
          set.has(entry.subject),
        )
      );
    case 'foreign-anchor':
    case 'list-signed':
    case 'answers-signed':
    // Those of approvals come with the act that they allowed.
    case 'approval-requested':
    case 'approval-decided':
    case 'approval-used':
      return false;
  }
}

/** Changes of status are announced for many devices in one entry. */
function isAbout(
  { act, detail }: Extract<AuditEntry, { readonly kind: 'decision' }>,
  deviceIds: ReadonlySet<string>,
): boolean {
  if (act !== reportedAct && act !== orderedAct) return false;
  return detail.split(' ').some((word) => deviceIds.has(word));
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
