/** The tiles and the checkpoint of a log in a folder: each file is there whole and durable, or not at all. */
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import type { LogFile, LogFiles, TileStore } from '../../../trust/ports/tileStore.ts';
import { equal } from '../../../wire/bytes/bytes.ts';

/** Files that are written at a time: a disk flushes several for the price of one. */
const filesAtOnce = 4;

/** A folder to read from alone: the log's own, a copy, a mounted disk. */
export class LogFolder implements LogFiles {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    try {
      return new Uint8Array(await readFile(this.pathOf(path)));
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
      throw failed(`cannot read ${join(this.folder, path)}`, error);
    }
  }

  /** Throws a `TypeError` for a path that leaves the folder. */
  protected pathOf(path: string): string {
    if (!/^[a-z0-9]+(?:[/.-][a-z0-9]+)*$/.test(path)) throw new TypeError(`${path} is no log file`);
    return join(this.folder, path);
  }
}

export class TileFolder extends LogFolder implements TileStore {
  async write(files: readonly LogFile[]): Promise<void> {
    const folders = new Set<string>();
    const waiting = files.values();
    const work = async (): Promise<void> => {
      for (const file of waiting) {
        if (await this.#isThere(file)) continue;
        await this.#place(file);
        folders.add(dirname(this.pathOf(file.path)));
      }
    };
    // Settled, not raced: after a failure no write of this call may still be under way.
    const outcomes = await Promise.allSettled(Array.from({ length: filesAtOnce }, work));
    const failure = outcomes.find(({ status }) => status === 'rejected');
    if (failure?.status === 'rejected') throw failure.reason;
    // Behind the files: a name is durable when its folder is, and each folder when the one above it is.
    for (const folder of withParents(folders, this.folder)) {
      await guarded(folder, () => syncFolder(folder));
    }
  }

  async replace(file: LogFile): Promise<void> {
    await this.#place(file);
    const folder = dirname(this.pathOf(file.path));
    await guarded(folder, () => syncFolder(folder));
  }

  async dropPartials(fullTiles: readonly string[]): Promise<void> {
    for (const path of fullTiles) {
      const folder = `${this.pathOf(path)}.p`;
      await guarded(folder, () => rm(folder, { recursive: true, force: true }));
    }
  }

  async #isThere({ path, content }: LogFile): Promise<boolean> {
    const present = await this.read(path);
    if (present === undefined || equal(present, content)) return present !== undefined;
    throw new EnvironmentError(
      `${this.pathOf(path)} is there with another content: a log never changes a tile. See docs/audit.md`,
      { retryable: false },
    );
  }

  async #place({ path, content }: LogFile): Promise<void> {
    const target = this.pathOf(path);
    await guarded(target, async () => {
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      const file = await open(`${target}.tmp`, 'w', 0o600);
      try {
        await file.writeFile(content);
        await file.sync();
      } finally {
        await file.close();
      }
      // A crash before this line leaves a temporary file that the next writing replaces.
      await rename(`${target}.tmp`, target);
    });
  }
}

/** The folders and all above them up to `top`, deepest first. */
function withParents(folders: ReadonlySet<string>, top: string): readonly string[] {
  const all = new Set<string>();
  for (let folder of folders) {
    while (folder.length >= top.length && !all.has(folder)) {
      all.add(folder);
      folder = dirname(folder);
    }
  }
  return [...all].toSorted((left, right) => right.length - left.length);
}

async function syncFolder(folder: string): Promise<void> {
  // Windows neither offers nor needs it.
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function guarded(path: string, act: () => Promise<void>): Promise<void> {
  try {
    await act();
  } catch (error) {
    throw failed(`cannot write ${path}`, error);
  }
}

function failed(what: string, cause: unknown): unknown {
  if (!(cause instanceof Error && 'syscall' in cause)) return cause;
  return new EnvironmentError(`${what}: ${cause.message}`, { retryable: true, cause });
}
