/** What is done when the key that signs checkpoints is in wrong hands: the log goes on under another one. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { parseKeyFile } from '../../drivers/keys/software/keyFile.ts';
import { encodeAuditEntry } from '../../trust/audit/entry.ts';
import { logKeyOf } from '../../trust/audit/publication.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { LossCase } from '../../trust/ports/lossCase.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { type AuthorityPaths, otherKeys, readIfThere } from './authorityFolder.ts';
import type { Office } from './office.ts';

/** Of the log that the next start would go on with. Rejects with an `EnvironmentError` where it has no key. */
export async function presentLogName(paths: AuthorityPaths): Promise<string> {
  const text = await readIfThere(logKeyPath(paths));
  if (text !== undefined) return logKeyOf(sha256, parseKeyFile(text).publicKeySpki).name;
  throw new EnvironmentError('there is no key of the log', { retryable: false });
}

/** A leaf that stands in both logs: where the old one ended, as far as this database knows. */
export async function recordLostLog({ stores }: Office, one: LossCase): Promise<string> {
  const head = await stores.audit.head();
  const where = head === undefined ? 'empty' : `${head.treeSize} ${toHex(head.root)}`;
  const entry = encodeAuditEntry({
    kind: 'decision',
    atMs: one.openedMs,
    act: 'log-key-lost',
    subject: one.subject,
    detail: where,
  });
  await stores.audit.append([entry]);
  return `the log ended at ${where}`;
}

/** The next start makes a key, and writes the log anew under its name. */
export async function replaceLogKey(paths: AuthorityPaths, one: LossCase): Promise<string> {
  const text = await readIfThere(logKeyPath(paths));
  // The folder first: a new key would take the old log for a forged one.
  const kept = `${paths.log}-${one.openedMs}`;
  await rename(paths.log, kept).catch(ignoreMissing);
  if (
    text !== undefined &&
    logKeyOf(sha256, parseKeyFile(text).publicKeySpki).name === one.subject
  ) {
    await rename(logKeyPath(paths), `${logKeyPath(paths)}.lost-${one.openedMs}`);
  }
  return `the old log is kept as ${kept}; witnesses are to be told the key of the new one`;
}

function ignoreMissing(error: unknown): void {
  if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
  throw error;
}

function logKeyPath({ keys }: AuthorityPaths): string {
  return join(keys, `${otherKeys.log}.key`);
}

function sha256(data: Uint8Array): Uint8Array {
  return nodeCrypto.hash('SHA-256', data);
}
