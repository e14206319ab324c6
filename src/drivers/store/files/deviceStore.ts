/**
 * A device's durable memory as one small file. Every commit writes a new file beside the old one, syncs
 * it and renames it over: a loss of power at any moment leaves the one or the other, whole.
 *
 *     file = [1, {* name: tstr => value: bstr}, SHA-256 of the map's encoding]
 *
 * The hash tells a damaged file from an old one; it is no protection against an attacker, which is what
 * `device/storage/sealedStore.ts` is for.
 */
import { hash } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type DeviceStore, maximumValueBytes } from '../../../device/ports/deviceStore.ts';
import { DeviceFault } from '../../../device/ports/faults.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../../wire/bytes/malformed.ts';
import { CborReader } from '../../../wire/cbor/reader.ts';
import * as cbor from '../../../wire/cbor/writer.ts';
import { holdLock, type ProcessLock } from '../sqlite/processLock.ts';

/** Largest number of values; a device needs about ten. */
const maximumValues = 256;
const formatVersion = 1;

export interface FileDeviceStore extends DeviceStore {
  /** Waits for commits under way and gives the file free for another process. */
  close(): Promise<void>;
}

/**
 * Opens the file or begins an empty one. One process a file: two that count the same sequence numbers
 * would use them twice. Rejects with an `EnvironmentError` when another process has it, and with a
 * `DeviceFault` when the disk fails or the file is damaged.
 */
export async function openDeviceStore(path: string): Promise<FileDeviceStore> {
  await guarded(`cannot make ${dirname(path)}`, mkdir(dirname(path), { recursive: true }));
  const lock = holdLock(path);
  try {
    return new OpenStore(path, await load(path), lock);
  } catch (error) {
    lock.release();
    throw error;
  }
}

class OpenStore implements FileDeviceStore {
  readonly #path: string;
  readonly #lock: ProcessLock;
  #values: ReadonlyMap<string, Uint8Array>;
  #last: Promise<void> = Promise.resolve();
  #failed = false;
  #closed = false;

  constructor(path: string, values: ReadonlyMap<string, Uint8Array>, lock: ProcessLock) {
    this.#path = path;
    this.#values = values;
    this.#lock = lock;
  }

  async read(name: string): Promise<Uint8Array | undefined> {
    await this.#last.catch(() => undefined);
    return this.#values.get(name)?.slice();
  }

  commit(changes: ReadonlyMap<string, Uint8Array | undefined>): Promise<void> {
    const next = this.#last.then(() => this.#write(changes));
    this.#last = next.catch(() => undefined);
    return next;
  }

  async close(): Promise<void> {
    await this.#last;
    if (this.#closed) return;
    this.#closed = true;
    this.#lock.release();
  }

  async #write(changes: ReadonlyMap<string, Uint8Array | undefined>): Promise<void> {
    if (this.#closed) throw new TypeError(`${this.#path} is closed`);
    if (this.#failed) {
      throw new DeviceFault(`${this.#path} failed before; start again`, { retryable: false });
    }
    const values = new Map(this.#values);
    for (const [name, value] of changes) {
      if (value === undefined) values.delete(name);
      else values.set(name, checked(name, value));
    }
    if (values.size > maximumValues) throw new TypeError(`more than ${maximumValues} values`);
    try {
      await replaceFile(this.#path, encode(values));
    } catch (cause) {
      // Whether the rename took place is unknown, and so is what a reader of the file would find.
      this.#failed = true;
      throw new DeviceFault(`cannot write ${this.#path}`, { retryable: true, cause });
    }
    this.#values = values;
  }
}

function checked(name: string, value: Uint8Array): Uint8Array {
  if (value.length <= maximumValueBytes) return value.slice();
  throw new TypeError(`${name} has more than ${maximumValueBytes} bytes`);
}

async function load(path: string): Promise<ReadonlyMap<string, Uint8Array>> {
  let file: Uint8Array;
  try {
    file = new Uint8Array(await readFile(path));
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return new Map();
    throw new DeviceFault(`cannot read ${path}`, { retryable: true, cause });
  }
  try {
    return decode(file);
  } catch (cause) {
    if (!(cause instanceof MalformedError || cause instanceof UnsupportedError)) throw cause;
    throw new DeviceFault(`${path} is damaged: ${cause.message}`, { retryable: false, cause });
  }
}

function encode(values: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const body = cbor.map(
    ...[...values].map(([name, value]) => [cbor.text(name), cbor.bytes(value)] as const),
  );
  const digest = hash('sha256', body, 'buffer');
  return cbor.array(cbor.integer(formatVersion), body, cbor.bytes(digest));
}

/** Throws a `MalformedError`, or an `UnsupportedError` for a later version. */
export function decode(file: Uint8Array): ReadonlyMap<string, Uint8Array> {
  const reader = new CborReader(file);
  const count = reader.array();
  const version = reader.unsigned();
  if (version !== formatVersion) throw new UnsupportedError('device store', `version ${version}`);
  if (count !== 3) reader.fail('three members expected', 0);
  const start = reader.offset;
  const values = readValues(reader);
  const body = file.subarray(start, reader.offset);
  const digest = reader.bytes();
  reader.end();
  if (!equal(digest, hash('sha256', body, 'buffer'))) reader.fail('wrong hash', start);
  return values;
}

function readValues(reader: CborReader): ReadonlyMap<string, Uint8Array> {
  const start = reader.offset;
  const count = reader.map();
  if (count > maximumValues) reader.fail(`more than ${maximumValues} values`, start);
  const values = new Map<string, Uint8Array>();
  for (let index = 0; index < count; index++) {
    const nameStart = reader.offset;
    const name = reader.text();
    if (values.has(name)) reader.fail('name given twice', nameStart);
    values.set(name, reader.bytes().slice());
  }
  return values;
}

async function replaceFile(path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  // A crash here leaves the old file and a temporary one that the next commit writes anew.
  await rename(temporary, path);
  await syncFolder(dirname(path));
}

/** Makes the new name durable. Windows neither offers nor needs it. */
async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await open(join(path, '.'), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function guarded<Value>(problem: string, action: Promise<Value>): Promise<Value> {
  try {
    return await action;
  } catch (cause) {
    throw new DeviceFault(problem, { retryable: true, cause });
  }
}
