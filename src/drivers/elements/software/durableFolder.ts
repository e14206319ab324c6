/** Files of one folder that are, after a power cut at any moment, whole: the old one or the new one. */
import { randomUUID } from 'node:crypto';
import { link, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';

export class DurableFolder {
  readonly path: string;
  #syncing: Promise<void> = Promise.resolve();
  #nextSync: Promise<void> | undefined;

  constructor(path: string) {
    this.path = path;
  }

  async names(): Promise<readonly string[]> {
    return readdir(this.path);
  }

  async read(name: string): Promise<Uint8Array> {
    // Not Node's Buffer, whose slice() shares memory.
    return new Uint8Array(await readFile(join(this.path, name)));
  }

  /** Durable when the promise resolves. One writer a name at a time. */
  async replace(name: string, content: Uint8Array): Promise<void> {
    const temporary = await this.#stage(name, content);
    await rename(temporary, join(this.path, name));
    await this.#syncFolder();
  }

  /** As `replace`, but false when the name is taken; what is there stays. */
  async create(name: string, content: Uint8Array): Promise<boolean> {
    const temporary = await this.#stage(name, content, `.${randomUUID()}`);
    try {
      // A link fails where a rename would silently take the place of what is there.
      await link(temporary, join(this.path, name));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
      throw error;
    } finally {
      await unlink(temporary);
    }
    await this.#syncFolder();
    return true;
  }

  /** A crash leaves the temporary file at most, which the next write of that name replaces. */
  async #stage(name: string, content: Uint8Array, suffix = ''): Promise<string> {
    const temporary = join(this.path, `.${name}${suffix}.tmp`);
    const file = await open(temporary, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    return temporary;
  }

  /**
   * Makes names durable. A sync that is under way may have begun before the caller's rename, so it waits
   * for the one after it, which is shared with everybody else who came meanwhile.
   */
  #syncFolder(): Promise<void> {
    this.#nextSync ??= this.#syncing.then(() => {
      this.#nextSync = undefined;
      const sync = this.#syncNow();
      this.#syncing = sync.catch(() => undefined);
      return sync;
    });
    return this.#nextSync;
  }

  async #syncNow(): Promise<void> {
    // Windows neither offers nor needs it: a rename there is in the journal of the file system.
    if (process.platform === 'win32') return;
    const folder = await open(this.path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}
