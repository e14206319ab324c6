/**
 * What a witness saw, in a folder: of each log the last checkpoint, and all of them in a file that only
 * grows. Meant for another disk or another machine than the log's.
 *
 *     LOG/checkpoint   the last signed note
 *     LOG/history      every one of them, a JSON text a line
 */
import { createHash } from 'node:crypto';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { WitnessMemory } from '../../../trust/ports/witness.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import { TileFolder } from './tileFolder.ts';

export class WitnessFolder implements WitnessMemory {
  readonly #folder: string;
  readonly #files: TileFolder;

  constructor(folder: string) {
    this.#folder = folder;
    this.#files = new TileFolder(folder);
  }

  last(origin: string): Promise<Uint8Array | undefined> {
    return this.#files.read(`${nameOf(origin)}/checkpoint`);
  }

  async save(origin: string, note: Uint8Array): Promise<void> {
    const name = nameOf(origin);
    const before = await this.last(origin);
    // Seen again, unchanged: the time of it is in the cosignature.
    if (before !== undefined && equal(before, note)) return;
    await this.#append(name, note);
    // A crash before this line leaves a note in the history that comes a second time: harmless.
    await this.#files.replace({ path: `${name}/checkpoint`, content: note });
  }

  async #append(name: string, note: Uint8Array): Promise<void> {
    const path = join(this.#folder, name, 'history');
    try {
      await mkdir(join(this.#folder, name), { recursive: true, mode: 0o700 });
      const file = await open(path, 'a', 0o600);
      try {
        // Begins with a line end, so that a line that a crash has cut stays alone.
        await file.writeFile(`\n${JSON.stringify(Buffer.from(note).toString('utf8'))}`);
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown';
      throw new EnvironmentError(`cannot write ${path}: ${reason}`, { retryable: true, cause });
    }
  }
}

/** Every checkpoint that the witness in this folder saw of that log, oldest first; none when it saw none. */
export async function witnessHistory(
  folder: string,
  origin: string,
): Promise<readonly Uint8Array[]> {
  let text: string;
  try {
    text = await readFile(join(folder, nameOf(origin), 'history'), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => {
    const note = jsonText(line);
    return note === undefined ? [] : [new Uint8Array(Buffer.from(note))];
  });
}

/** Origins are not file names. */
function nameOf(origin: string): string {
  return createHash('sha256').update(origin).digest('hex').slice(0, 16);
}

function jsonText(line: string): string | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'string' ? value : undefined;
  } catch {
    // Cut by a crash; the same checkpoint stands on the next line.
    return undefined;
  }
}
