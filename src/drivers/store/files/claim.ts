/**
 * Keeps a second process away from a file. SQLite's exclusive lock on an empty database beside it is an
 * advisory lock of the operating system with a portable face: it ends with its process, however that
 * ends, and leaves nothing to clear up.
 */
import { DatabaseSync } from 'node:sqlite';
import { DeviceFault } from '../../../device/ports/faults.ts';

export interface Claim {
  release(): void;
}

/** Throws a `DeviceFault` when somebody else, in this process or another one, has the file. */
export function claimFile(path: string): Claim {
  const database = open(`${path}.lock`);
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new DeviceFault(`${path} is in use by another process`, { retryable: false, cause });
  }
  return { release: () => database.close() };
}

function open(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 });
  } catch (cause) {
    throw new DeviceFault(`cannot write ${path}`, { retryable: true, cause });
  }
}
