/** Who asked for what was done, and who approved it: the signed documents, and what they say. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { type Plain, readParameters } from '../../trust/approvals/acts.ts';
import { readDecision, readRequest, readSigned } from '../../trust/approvals/documents.ts';
import type { OperatorRecord, TwoPersonMode } from '../../trust/ports/approvalStore.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { encodePem } from '../../wire/x509/pem.ts';
import type { FoundLeaf } from './evidenceLeaves.ts';

export interface ApprovalParts {
  readonly mode: TwoPersonMode | undefined;
  readonly operators: readonly OperatorRecord[];
  readonly leaves: readonly FoundLeaf[];
}

interface FileWriter {
  write(path: string, content: Uint8Array): Promise<void>;
}

/**
 * `approvals/ID.request.cose` and `ID.decision.cose` as they were signed, `approvals/NAME.pem` of whoever
 * signed them; returns what evidence.json says.
 */
export async function writeApprovals(
  files: FileWriter,
  { mode, operators, leaves }: ApprovalParts,
): Promise<object> {
  if (mode === undefined) {
    return {
      mode: 'single-operator',
      text: 'Orders, tickets and closures took one operator; no second person had to approve. Decisions that were made stand in the log.',
    };
  }
  const acts = leaves.flatMap((leaf) =>
    leaf.entry.kind === 'approval-used' ? [{ leaf, id: toHex(leaf.entry.request) }] : [],
  );
  const documents: object[] = [];
  const signers = new Set<string>();
  for (const { leaf, id } of acts) {
    const about = leaves.filter(({ entry }) => 'request' in entry && toHex(entry.request) === id);
    documents.push(await writeOne(files, id, leaf, about, signers));
  }
  for (const { name, certificate } of operators) {
    if (!signers.has(name)) continue;
    await files.write(`approvals/${name}.pem`, utf8(encodePem('CERTIFICATE', certificate)));
  }
  return {
    mode: 'two-person',
    since: iso(mode.sinceMs),
    massLimit: mode.massLimit,
    text: 'What was done before that moment took one operator. Where an act is listed here another person approved it; revocations of fewer devices than the limit took one.',
    acts: documents,
  };
}

async function writeOne(
  files: FileWriter,
  id: string,
  used: FoundLeaf,
  about: readonly FoundLeaf[],
  signers: Set<string>,
): Promise<object> {
  const parts: Record<string, unknown> = {};
  for (const { entry } of about) {
    if (entry.kind === 'approval-requested') {
      const { document } = readSigned(nodeCrypto, entry.signed, readRequest);
      const file = `approvals/${id}.request.cose`;
      await files.write(file, entry.signed);
      signers.add(document.requester);
      parts['act'] = document.act;
      parts['parameters'] = jsonOf(readParameters(document.parameters));
      parts['requester'] = document.requester;
      parts['requested'] = iso(document.requestedMs);
      parts['request'] = file;
    } else if (entry.kind === 'approval-decided') {
      const { document } = readSigned(nodeCrypto, entry.signed, readDecision);
      const file = `approvals/${id}.decision.cose`;
      await files.write(file, entry.signed);
      signers.add(document.by);
      parts['approver'] = document.by;
      parts['approved'] = iso(document.atMs);
      parts['decision'] = file;
    }
  }
  return {
    approval: id,
    ...parts,
    used: iso(used.entry.atMs),
    leaves: about.map(({ index }) => index),
  };
}

function jsonOf(value: Plain): unknown {
  if (value instanceof Uint8Array) return toHex(value);
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value !== 'object') return value;
  const members = Object.entries(value).map(([name, member]) => [name, jsonOf(member)] as const);
  return Object.fromEntries(members);
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
