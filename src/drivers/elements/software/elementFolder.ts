/** A folder of software elements under one passphrase: `folder.key` and one file an element. */
import { mkdir } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { ElementError } from '../../../trust/ports/element.ts';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { DurableFolder } from './durableFolder.ts';
import { encodeFolderKey, FolderKey, parseFolderKey } from './folderKey.ts';
import { elementFileSuffix, SoftwareElement } from './softwareElement.ts';

export class ElementFolder {
  readonly #files: DurableFolder;
  readonly #key: FolderKey;

  constructor(files: DurableFolder, key: FolderKey) {
    this.#files = files;
    this.#key = key;
  }

  get path(): string {
    return this.#files.path;
  }

  /** Names of the element files, in the order of their uids. */
  async names(): Promise<readonly string[]> {
    return elementNames(await this.#files.names());
  }

  /** Rejects with a `TypeError` when there is one of that uid. */
  create(uid: Uint8Array): Promise<SoftwareElement> {
    return SoftwareElement.create(this.#files, this.#key, uid);
  }

  /** Rejects with an `ElementError`. */
  open(name: string): Promise<SoftwareElement> {
    return SoftwareElement.open(this.#files, this.#key, name);
  }
}

/**
 * Opens the folder, or makes it when it is not there. Rejects with an `EnvironmentError` on a wrong
 * passphrase, with a `MalformedError` on a broken key file. `costLog2` counts only when it is made.
 */
export async function createElementFolder(
  path: string,
  passphrase: string,
  costLog2?: number,
): Promise<ElementFolder> {
  await mkdir(path, { recursive: true, mode: 0o700 });
  const files = new DurableFolder(path);
  const names = await files.names();
  if (!names.includes(keyFileName)) {
    if (elementNames(names).length > 0) {
      throw new EnvironmentError(`${path} holds elements but no ${keyFileName}`, {
        retryable: false,
      });
    }
    const { key, parameters } = await FolderKey.create(passphrase, costLog2);
    // Whoever comes second opens the key of the first.
    if (await files.create(keyFileName, encodeFolderKey(parameters))) {
      return new ElementFolder(files, key);
    }
  }
  return openElementFolder(path, passphrase);
}

/** As `createElementFolder`, of a folder that is there. */
export async function openElementFolder(path: string, passphrase: string): Promise<ElementFolder> {
  const files = new DurableFolder(path);
  const key = await FolderKey.open(passphrase, parseFolderKey(await readKeyFile(files)));
  if (key === undefined) {
    throw new EnvironmentError(`the passphrase does not open ${path}`, { retryable: false });
  }
  return new ElementFolder(files, key);
}

/** One element by the path of its file, as a device opens its own. */
export async function openElement(file: string, passphrase: string): Promise<SoftwareElement> {
  const folder = await openElementFolder(dirname(file), passphrase);
  const name = basename(file);
  if (!name.endsWith(elementFileSuffix)) {
    throw new ElementError('damaged', `${name} is not named as an element`);
  }
  return folder.open(name);
}

const keyFileName = 'folder.key';

function elementNames(names: readonly string[]): readonly string[] {
  return names.filter((name) => name.endsWith(elementFileSuffix) && !name.startsWith('.')).sort();
}

async function readKeyFile(files: DurableFolder): Promise<Uint8Array> {
  try {
    return await files.read(keyFileName);
  } catch (cause) {
    const message = `${files.path} is no folder of software elements: ${keyFileName} cannot be read`;
    throw new EnvironmentError(message, { retryable: false, cause });
  }
}
