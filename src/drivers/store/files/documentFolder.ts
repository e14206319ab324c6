/** Documents in a folder: each is there whole, the old one or the new one, whatever happens on the way. */
import { createHash } from 'node:crypto';
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import type { DocumentStore } from '../../../trust/ports/documentStore.ts';
import { EnvironmentError } from '../../../trust/ports/faults.ts';

export class DocumentFolder implements DocumentStore {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  async write(name: string, chunks: AsyncIterable<string>): Promise<Uint8Array> {
    const path = this.pathOf(name);
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      const hash = await writeSynced(`${path}.tmp`, chunks);
      // A crash before this line leaves a temporary file that the next writing replaces.
      await rename(`${path}.tmp`, path);
      await syncFolder(this.folder);
      return hash;
    } catch (error) {
      if (!(error instanceof Error && 'syscall' in error)) throw error;
      throw new EnvironmentError(`cannot write ${path}: ${error.message}`, {
        retryable: true,
        cause: error,
      });
    }
  }

  /** Throws a `TypeError` for a name that leaves the folder. */
  pathOf(name: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw new TypeError(`${name} is no file name`);
    return join(this.folder, name);
  }
}

async function writeSynced(path: string, chunks: AsyncIterable<string>): Promise<Uint8Array> {
  const hash = createHash('sha256');
  const file = await open(path, 'w', 0o600);
  try {
    for await (const chunk of chunks) {
      hash.update(chunk);
      await file.write(chunk);
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return new Uint8Array(hash.digest());
}

/** A rename is durable only when its folder is. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
