/** The files of software elements in memory, for tests that make thousands of them. */
import { DurableFolder } from '../../../src/drivers/elements/software/durableFolder.ts';
import { FolderKey } from '../../../src/drivers/elements/software/folderKey.ts';
import {
  fileNameOf,
  SoftwareElement,
} from '../../../src/drivers/elements/software/softwareElement.ts';
import { ElementFolder } from '../../../src/drivers/elements/software/elementFolder.ts';

class MemoryFolder extends DurableFolder {
  readonly #files = new Map<string, Uint8Array>();

  override async names(): Promise<readonly string[]> {
    return [...this.#files.keys()];
  }

  override async read(name: string): Promise<Uint8Array> {
    const content = this.#files.get(name);
    if (content === undefined) throw new Error(`${name} is not there`);
    return content.slice();
  }

  override async replace(name: string, content: Uint8Array): Promise<void> {
    this.#files.set(name, content.slice());
  }

  override async create(name: string, content: Uint8Array): Promise<boolean> {
    if (this.#files.has(name)) return false;
    this.#files.set(name, content.slice());
    return true;
  }
}

const folderKey = FolderKey.create('memory', 4);

/** A folder with `count` blank elements, uids 1, 2, 3, ... */
export async function memoryElements(count: number): Promise<ElementFolder> {
  const files = new MemoryFolder('memory');
  const { key } = await folderKey;
  for (let number = 1; number <= count; number++) {
    await SoftwareElement.create(files, key, uidOf(number));
  }
  return new ElementFolder(files, key);
}

export function uidOf(number: number): Uint8Array {
  return Uint8Array.of(0xee, number >> 8, number & 255);
}

export function elementNameOf(number: number): string {
  return fileNameOf(uidOf(number));
}
