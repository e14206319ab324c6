/** A log to be read: that of this installation, or a copy from elsewhere, with its key and its witnesses. */
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseKeyFile } from '../../drivers/keys/software/keyFile.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { LogFolder } from '../../drivers/store/files/tileFolder.ts';
import { witnessHistory } from '../../drivers/store/files/witnessFolder.ts';
import { signedBy } from '../../trust/audit/notes.ts';
import { TiledTree } from '../../trust/audit/proofs.ts';
import { logKeyOf } from '../../trust/audit/publication.ts';
import type { SeenCheckpoint } from '../../trust/audit/verify.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { checkpointFile, keyFile } from '../../trust/ports/tileStore.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { fromUtf8 } from '../../wire/bytes/utf8.ts';
import { encodeNote, parseCheckpoint, type SignedCheckpoint } from '../../wire/tlog/checkpoint.ts';
import { type NoteKey, parseNoteKey } from '../../wire/tlog/noteKey.ts';
import { encodeInclusion } from '../../wire/tlog/proof.ts';
import { parseEntries, tilePath, tileWidth } from '../../wire/tlog/tile.ts';
import { type AuthorityPaths, otherKeys } from '../authority/authorityFolder.ts';
import { readWitnesses, sha256 } from '../authority/witnesses.ts';

export interface LogCopy {
  readonly files: LogFolder;
  readonly key: NoteKey;
  /** Whether the key came with the copy: then a forger could have brought both. */
  readonly keyIsOwn: boolean;
}

/** Rejects with an `EnvironmentError` where no log is, with a `MalformedError` for a key that is none. */
export async function openCopy(folder: string, keyText: string | undefined): Promise<LogCopy> {
  // Without the folder nothing can be said of the log; without its checkpoint that it was changed.
  if (!existsSync(folder))
    throw new EnvironmentError(`there is no ${folder}`, { retryable: false });
  const files = new LogFolder(folder);
  const stored = keyText ?? fromUtf8((await files.read(keyFile)) ?? new Uint8Array(0))?.trim();
  if (stored === undefined || stored === '') {
    throw new EnvironmentError(`${folder} holds no log`, { retryable: false });
  }
  return { files, key: parseNoteKey(sha256, stored), keyIsOwn: keyText === undefined };
}

/** The log of an installation; its key is that of the authority's key file. */
export async function openInstallation(paths: AuthorityPaths): Promise<LogCopy> {
  const path = join(paths.keys, `${otherKeys.log}.key`);
  if (!existsSync(path) || !existsSync(paths.log)) {
    throw new EnvironmentError(`${paths.folder} has no log yet: start birthmark serve once`, {
      retryable: false,
    });
  }
  const { publicKeySpki } = parseKeyFile(await readFile(path, 'utf8'));
  const key = logKeyOf(sha256, publicKeySpki);
  return { files: new LogFolder(paths.log), key, keyIsOwn: false };
}

/** What the witnesses of an installation saw: folders by their history, others by what they signed. */
export async function seenByWitnesses(
  paths: AuthorityPaths,
  log: NoteKey,
): Promise<readonly SeenCheckpoint[]> {
  const seen: SeenCheckpoint[] = [];
  for (const entry of await readWitnesses(paths.folder)) {
    if ('folder' in entry) seen.push(...(await seenInFolder(entry.folder, log)));
    else seen.push(...(await cosigned(paths.log, [parseNoteKey(sha256, entry.key)], entry.url)));
  }
  return seen;
}

/** Every checkpoint in the folder of a witness. Rejects with an `EnvironmentError` when there is none. */
export async function seenInFolder(
  folder: string,
  log: NoteKey,
): Promise<readonly SeenCheckpoint[]> {
  const notes = await witnessHistory(folder, log.name);
  if (notes.length > 0) return notes.map((note) => ({ source: folder, note }));
  throw new EnvironmentError(`the witness ${folder} saw nothing of this log`, { retryable: false });
}

/** Checkpoints beside a log that these witnesses signed. Rejects when one of them signed none. */
export async function cosigned(
  logFolder: string,
  keys: readonly NoteKey[],
  source?: string,
): Promise<readonly SeenCheckpoint[]> {
  const folder = join(logFolder, 'witness');
  const names = existsSync(folder) ? await readdir(folder) : [];
  const seen: SeenCheckpoint[] = [];
  for (const witness of keys) {
    const name = toHex(witness.keyId);
    if (!names.includes(name)) {
      throw new EnvironmentError(`the witness ${source ?? witness.name} signed nothing yet`, {
        retryable: false,
      });
    }
    const note = new Uint8Array(await readFile(join(folder, name)));
    seen.push({ source: source ?? witness.name, note, witness });
  }
  return seen;
}

/** The last checkpoint. Rejects with a `MalformedError` when its log did not sign it. */
export async function checkpointOf({ files, key }: LogCopy): Promise<SignedCheckpoint> {
  const content = await files.read(checkpointFile);
  if (content === undefined) {
    throw new EnvironmentError(`${files.folder} has no checkpoint`, { retryable: false });
  }
  const note = parseCheckpoint(content);
  if (signedBy(new SoftwareVerifier(), note, key)) return note;
  throw new MalformedError('tlog', 0, 'the checkpoint is not signed by this log');
}

/** Every entry under the checkpoint, in order. Rejects with an `EnvironmentError` when a bundle is missing. */
export async function* entriesOf(
  { files }: Pick<LogCopy, 'files'>,
  { treeSize }: SignedCheckpoint,
  from = 0,
): AsyncGenerator<{ readonly index: number; readonly entry: Uint8Array }> {
  for (let bundle = Math.floor(from / tileWidth); bundle * tileWidth < treeSize; bundle++) {
    const width = Math.min(tileWidth, treeSize - bundle * tileWidth);
    const tile = { level: 'entries', index: bundle } as const;
    const content =
      (await files.read(tilePath({ ...tile, width }))) ??
      (await files.read(tilePath({ ...tile, width: tileWidth })));
    const entries = content === undefined ? [] : parseEntries(content).slice(0, width);
    if (entries.length < width) {
      throw new EnvironmentError(
        `leaves from ${bundle * tileWidth} on are missing: see birthmark audit verify`,
        { retryable: false },
      );
    }
    for (const [at, entry] of entries.entries()) {
      const index = bundle * tileWidth + at;
      if (index >= from) yield { index, entry };
    }
  }
}

/** C2SP tlog-proof: that this leaf stands under the checkpoint. */
export async function proofText(
  { files }: Pick<LogCopy, 'files'>,
  { treeSize, text, signatures }: SignedCheckpoint,
  leafIndex: number,
): Promise<string> {
  const path = await new TiledTree(files, sha256, treeSize).inclusion(leafIndex);
  return encodeInclusion({ leafIndex, path, checkpoint: encodeNote(text, signatures) });
}
