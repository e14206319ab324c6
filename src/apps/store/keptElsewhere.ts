/** What is kept elsewhere, read and believed: a copy of the log, checkpoints that others saw, published lists. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseKeyFile } from '../../drivers/keys/software/keyFile.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { LogFolder } from '../../drivers/store/files/tileFolder.ts';
import { logKeyOf } from '../../trust/audit/publication.ts';
import { type SeenCheckpoint, verifyLog } from '../../trust/audit/verify.ts';
import { EnvironmentError, InvariantError } from '../../trust/ports/faults.ts';
import { changeOf } from '../../trust/status/notices.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { parseCertificateList, revokedEntries } from '../../wire/crl/certificateList.ts';
import type { SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import { type NoteKey, parseNoteKey } from '../../wire/tlog/noteKey.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import {
  decodeSubjectKeyIdentifier,
  extensionOids,
  findExtension,
} from '../../wire/x509/extensions.ts';
import { checkpointOf, type LogCopy, seenInFolder } from '../audit/logCopy.ts';
import {
  type AuthorityPaths,
  otherKeys,
  readCertificateFile,
} from '../authority/authorityFolder.ts';
import { isSelfSigned } from '../authority/authorityNames.ts';
import { offlineKey, readCertifiedBook } from '../authority/book.ts';
import { sha256 } from '../authority/witnesses.ts';
import type { PublishedList } from './relearn.ts';

export interface KeptElsewhere {
  /** A copy of the log's folder. */
  readonly log: string;
  /** Its verifier key, where it has another one than at the time of the backup. */
  readonly logKey?: string | undefined;
  /** Folders of witnesses, and files with a checkpoint; one of either at least. */
  readonly witnesses: readonly string[];
  readonly checkpoints: readonly string[];
}

export interface CheckedCopy extends LogCopy {
  readonly checkpoint: SignedCheckpoint;
}

/**
 * Signed by the key of this installation's log, whole, and up to everything that was seen of it. Rejects with an
 * `EnvironmentError` that says what is missing.
 */
export async function checkedCopy(
  options: KeptElsewhere,
  paths: AuthorityPaths,
): Promise<CheckedCopy> {
  const { logKey } = options;
  const key = logKey === undefined ? await ownKey(paths) : parseNoteKey(sha256, logKey);
  const copy: LogCopy = { files: new LogFolder(options.log), key, keyIsOwn: false };
  const seen: SeenCheckpoint[] = [];
  for (const folder of options.witnesses) seen.push(...(await seenInFolder(folder, key)));
  for (const path of options.checkpoints) {
    seen.push({ source: path, note: new Uint8Array(await readFile(path)) });
  }
  if (seen.length === 0) {
    throw refused(
      'the newest checkpoint is missing: name the folder of a witness, or a kept checkpoint',
    );
  }
  const report = await verifyLog({
    files: copy.files,
    hash: sha256,
    verifier: new SoftwareVerifier(),
    key,
    seen,
  });
  if (!report.ok) throw refused(report.faults.map(({ text }) => text).join('; '));
  return { ...copy, checkpoint: await checkpointOf(copy) };
}

async function ownKey({ keys }: AuthorityPaths): Promise<NoteKey> {
  const text = await readFile(join(keys, `${otherKeys.log}.key`), 'utf8');
  return logKeyOf(sha256, parseKeyFile(text).publicKeySpki);
}

export interface KnownAuthority {
  readonly name: string;
  readonly isRoot: boolean;
  /** Its key, and what it signs, is on another machine. */
  readonly isOffline: boolean;
  readonly spki: Uint8Array;
}

/** By the hexadecimal identifier of their key. */
export async function authoritiesOf(
  paths: AuthorityPaths,
): Promise<ReadonlyMap<string, KnownAuthority>> {
  const known = new Map<string, KnownAuthority>();
  for (const { name, role, key } of await readCertifiedBook(paths)) {
    const { publicKey, extensions } = parseCertificate(await readCertificateFile(paths, name));
    // As the log has it: signers of chips identify keys by SHA-1.
    const found = findExtension(extensions, extensionOids.subjectKeyIdentifier);
    if (found === undefined) throw new InvariantError(`${name} is no authority's certificate`);
    const identifier = toHex(decodeSubjectKeyIdentifier(found.value));
    const isRoot = isSelfSigned({ role });
    known.set(identifier, { name, isRoot, isOffline: key === offlineKey, spki: publicKey.spki });
  }
  return known;
}

/** Throws an `EnvironmentError` for a list that no authority of ours signed. */
export function readList(
  der: Uint8Array,
  authorities: ReadonlyMap<string, KnownAuthority>,
): PublishedList {
  const list = parseCertificateList(der);
  const signer = authorities.get(toHex(list.authorityKeyIdentifier ?? new Uint8Array(0)));
  const { signatureAlgorithm, tbsCertList, signature } = list;
  const isOurs =
    signer !== undefined &&
    new SoftwareVerifier().verify(signer.spki, signatureAlgorithm, tbsCertList, signature);
  if (!isOurs)
    throw refused('a list of revoked certificates is not signed by an authority of ours');
  return {
    authority: signer.name,
    number: Number(`0x${toHex(list.crlNumber ?? Uint8Array.of(0))}`),
    thisUpdateMs: list.thisUpdateMs,
    nextUpdateMs: list.nextUpdateMs ?? list.thisUpdateMs,
    der,
    issuerKeyId: list.authorityKeyIdentifier ?? new Uint8Array(0),
    isImported: signer.isOffline,
    revoked: [...revokedEntries(list)].map(({ serialNumber, revokedAtMs, reason }) => {
      const padded = new Uint8Array(16);
      padded.set(serialNumber, padded.length - serialNumber.length);
      const code = reason ?? 'unspecified';
      return changeOf(padded, { code, reason: 'on a published list', atMs: revokedAtMs });
    }),
  };
}

function refused(message: string): EnvironmentError {
  return new EnvironmentError(message, { retryable: false });
}
