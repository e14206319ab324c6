/**
 * A mark beside a database that is not part of its backup: which life of the database this is, and how far
 * it had been written. A database that is behind its mark was put back to an earlier state. A mark that is
 * itself a copy, because somebody put it back too, says so: a file's birth does not come along.
 */
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { environmentFault } from '../sqlite/faults.ts';

export interface Life {
  /** 16 bytes. */
  readonly storeId: Uint8Array;
  readonly incarnation: number;
  readonly written: number;
}

/** store id 16, inode 8, birth in nanoseconds 8, incarnation 4; then, on its own, written 8. */
const headBytes = 36;
const markBytes = headBytes + 8;

export class LifeMark {
  readonly #path: string;
  #descriptor: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** `undefined` when there is none, or none that was made here. Throws an `EnvironmentError`. */
  read(): Life | undefined {
    try {
      this.#descriptor = openSync(this.#path, 'r+');
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
      throw environmentFault(error, `cannot read ${this.#path}`);
    }
    const bytes = Buffer.alloc(markBytes);
    const length = readSync(this.#descriptor, bytes, 0, markBytes, 0);
    const { ino, birthtimeNs } = fstatSync(this.#descriptor, { bigint: true });
    const bornNs = bytes.readBigUInt64BE(24);
    const isOriginal =
      length === markBytes &&
      bytes.readBigUInt64BE(16) === ino &&
      (bornNs === unknownBirth || bornNs === birthtimeNs);
    if (!isOriginal) return undefined;
    return {
      storeId: Uint8Array.from(bytes.subarray(0, 16)),
      incarnation: bytes.readUInt32BE(32),
      written: Number(bytes.readBigUInt64BE(headBytes)),
    };
  }

  /** Replaces the mark whole; durable when it returns. Throws an `EnvironmentError`. */
  begin({ storeId, incarnation, written }: Life): void {
    const fresh = `${this.#path}.new`;
    try {
      this.close();
      rmSync(fresh, { force: true });
      const descriptor = openSync(fresh, 'wx+', 0o600);
      this.#descriptor = descriptor;
      writeSync(descriptor, Buffer.alloc(markBytes), 0, markBytes, 0);
      const bytes = Buffer.alloc(markBytes);
      bytes.set(storeId);
      bytes.writeBigUInt64BE(fstatSync(descriptor, { bigint: true }).ino, 16);
      bytes.writeBigUInt64BE(birthOf(descriptor), 24);
      bytes.writeUInt32BE(incarnation, 32);
      bytes.writeBigUInt64BE(BigInt(written), headBytes);
      writeSync(descriptor, bytes, 0, markBytes, 0);
      fsyncSync(descriptor);
      renameSync(fresh, this.#path);
      syncFolder(dirname(this.#path));
    } catch (error) {
      throw environmentFault(error, `cannot write ${this.#path}`);
    }
  }

  /**
   * After a commit, and without a flush of its own: a mark that is behind its database means nothing, and a
   * crash of the process loses none of it.
   */
  advance(written: number): void {
    if (this.#descriptor === undefined) throw new TypeError('the mark was not begun');
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(written));
    writeSync(this.#descriptor, bytes, 0, bytes.length, headBytes);
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

const unknownBirth = 0n;

/** Where a file system knows no birth, Node gives the latest change in its place: one change later we know. */
function birthOf(descriptor: number): bigint {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, longestTickMs);
  fchmodSync(descriptor, 0o600);
  const { birthtimeNs, ctimeNs } = fstatSync(descriptor, { bigint: true });
  return birthtimeNs === ctimeNs ? unknownBirth : birthtimeNs;
}

/** Two changes that are further apart have different times on every file system with times below a second. */
const longestTickMs = 20;

function syncFolder(folder: string): void {
  const descriptor = openSync(folder, 'r');
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
