/**
 * Authorities of after a backup. Their keys are not here, and nobody believes them any more; their
 * certificates say who signed what the log speaks of.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { encodeAuditEntry, readAuditEntry } from '../../trust/audit/entry.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import {
  caseDocument,
  type CaseStep,
  type LossCase,
  reopened,
} from '../../trust/ports/lossCase.ts';
import type { Lesson } from '../../trust/ports/recoveryStore.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { attributeText, printName } from '../../wire/x509/names.ts';
import {
  type AuthorityName,
  authorityNames,
  type AuthorityPaths,
  requireInstallation,
  writeCertificateFile,
} from '../authority/authorityFolder.ts';
import { isNameOfRole, isSelfSigned } from '../authority/authorityNames.ts';
import {
  active,
  type AuthorityRecord,
  lineOf,
  nextName,
  readBook,
  writeBook,
} from '../authority/book.ts';
import { authoritiesOf } from './keptElsewhere.ts';

/**
 * Each gets a record of its own, which is believed by nobody; one that is there stays. Rejects with an
 * `EnvironmentError` for a certificate of which these leaves do not speak.
 */
export async function keepAuthorities(
  paths: AuthorityPaths,
  certificates: readonly Uint8Array[],
  leaves: readonly Uint8Array[],
): Promise<void> {
  const logged = new Set(leaves.flatMap(certifiedIn));
  const { organization } = await requireInstallation(paths);
  for (const der of certificates) {
    const { subject, publicKey } = parseCertificate(der);
    if (!logged.has(toHex(nodeCrypto.hash('SHA-256', der)))) {
      throw refused(`the log does not speak of the certificate of ${printName(subject)}`);
    }
    const known = [...(await authoritiesOf(paths)).values()];
    if (known.some(({ spki }) => toHex(spki) === toHex(publicKey.spki))) continue;
    const role = roleNamed(organization, attributeText(subject, 'commonName') ?? '');
    if (role === undefined) throw refused(`${printName(subject)} is no issuing authority of ours`);
    const book = await readBook(paths);
    const { algorithm } = active(book, role);
    const record = { name: nextName(book, role), role, algorithm, state: 'removed' } as const;
    // The certificate first: a record without it could not be read.
    await writeCertificateFile(paths, record.name, der);
    await writeBook(paths, [...book, record]);
  }
}

/**
 * What becomes here of a case that went on after the backup. An authority that this folder believes again has
 * all of it before it once more, with a successor of its own; of others nothing is left to be done.
 */
export function settledCase(
  one: LossCase,
  book: readonly AuthorityRecord[],
  nowMs: number,
): readonly Lesson[] {
  if (one.kind !== 'authority') return [];
  const record = book.find(({ name }) => name === one.subject);
  const isBack = record !== undefined && record.state !== 'removed';
  const settled = isBack ? begunAgain(one, record, book) : allDone(one, nowMs);
  const document = caseDocument(settled);
  if (document === caseDocument(one)) return [];
  const act = isBack ? 'case-reopened' : 'case-step';
  const said = { act, subject: one.name, detail: document };
  return [
    { kind: 'case', record: { name: one.name, openedMs: one.openedMs, document } },
    { kind: 'leaf', entry: encodeAuditEntry({ kind: 'decision', atMs: nowMs, ...said }) },
  ];
}

function begunAgain(
  one: LossCase,
  record: AuthorityRecord,
  book: readonly AuthorityRecord[],
): LossCase {
  const isHere = book.some(({ name, state }) => name === one.successor && state !== 'removed');
  const successor = isHere ? one.successor : nextName(book, lineOf(record));
  return reopened(successor === undefined ? one : { ...one, successor });
}

function allDone(one: LossCase, doneMs: number): LossCase {
  const detail = 'its key is not here any more';
  const steps = one.steps.map((step): CaseStep =>
    step.doneMs === undefined ? { ...step, doneMs, detail } : step,
  );
  return { ...one, steps };
}

function roleNamed(organization: string, name: string): AuthorityName | undefined {
  return authorityNames.find(
    (role) => !isSelfSigned({ role }) && isNameOfRole(organization, role, name),
  );
}

/** SHA-256 of certificates, hexadecimal. */
function certifiedIn(leaf: Uint8Array): readonly string[] {
  const entry = readAuditEntry(leaf);
  if (entry.kind === 'issued') return [toHex(entry.certificateSha256)];
  // Of a root on another machine.
  return entry.kind === 'decision' && entry.act === 'authority-certificate' ? [entry.detail] : [];
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
