/**
 * Which witnesses an authority shows its log to: `witnesses.json` in its folder, each a folder on another
 * disk or machine, or an address with the key of whoever answers there.
 */
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { HttpWitness } from '../../drivers/links/witness/httpWitness.ts';
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { SoftwareVerifier } from '../../drivers/keys/software/verifier.ts';
import { TileFolder } from '../../drivers/store/files/tileFolder.ts';
import { WitnessFolder } from '../../drivers/store/files/witnessFolder.ts';
import { Witness } from '../../trust/audit/witness.ts';
import type { AskedWitness } from '../../trust/audit/witnessing.ts';
import type { Clock } from '../../trust/ports/clock.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { type NoteKey, parseNoteKey } from '../../wire/tlog/noteKey.ts';
import type { TreeHash } from '../../wire/tlog/tree.ts';

export type WitnessEntry =
  | { readonly folder: string }
  | { readonly url: string; /** Verifier key, one line. */ readonly key: string };

export const sha256: TreeHash = (data) => nodeCrypto.hash('SHA-256', data);

/** Throws a `MalformedError` for an address that is none, or a key that is none. */
export function witnessEntry(target: string, key: string | undefined): WitnessEntry {
  if (!/^https?:\/\//.test(target)) return { folder: resolve(target) };
  if (key === undefined) throw new MalformedError('witness', 0, `${target} needs its --key`);
  const entry = { url: new HttpWitness(target).name, key };
  if (parseNoteKey(sha256, key).kind !== 'witness') {
    throw new MalformedError('witness', 0, 'the key is a log’s, not a witness’');
  }
  return entry;
}

export function targetOf(entry: WitnessEntry): string {
  return 'folder' in entry ? entry.folder : entry.url;
}

/** None where the file is missing. Rejects with a `MalformedError` for a broken one. */
export async function readWitnesses(authorityFolder: string): Promise<readonly WitnessEntry[]> {
  let text: string;
  try {
    text = await readFile(join(authorityFolder, fileName), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  const list: unknown = JSON.parse(text);
  if (!Array.isArray(list)) throw new MalformedError(fileName, 0, 'no list');
  return list.map((entry: unknown) => {
    const target = member(entry, 'folder') ?? member(entry, 'url');
    if (target === undefined) throw new MalformedError(fileName, 0, 'an entry without target');
    return witnessEntry(target, member(entry, 'key'));
  });
}

export async function writeWitnesses(
  authorityFolder: string,
  entries: readonly WitnessEntry[],
): Promise<void> {
  const content = new TextEncoder().encode(`${JSON.stringify(entries, undefined, 2)}\n`);
  await new TileFolder(authorityFolder).replace({ path: fileName, content });
}

/** A folder has no mind of its own: the checks of a witness are made here, against what lies there. */
export function askedWitnesses(
  entries: readonly WitnessEntry[],
  log: NoteKey,
  clock: Clock,
): readonly AskedWitness[] {
  const verifier = new SoftwareVerifier();
  return entries.map((entry) =>
    'folder' in entry
      ? {
          target: new Witness({
            name: entry.folder,
            logs: [log],
            memory: new WitnessFolder(entry.folder),
            crypto: nodeCrypto,
            verifier,
            clock,
          }),
        }
      : { target: new HttpWitness(entry.url), key: parseNoteKey(sha256, entry.key) },
  );
}

const fileName = 'witnesses.json';

function member(entry: unknown, name: string): string | undefined {
  const value: unknown =
    typeof entry === 'object' && entry !== null ? Reflect.get(entry, name) : undefined;
  return typeof value === 'string' ? value : undefined;
}
