/**
 * A lock on a file for the life of a process. It is an exclusive transaction on an empty database beside
 * the file: the operating system lets go of it when the process ends, however it ends, so that a crash
 * never leaves a lock that a person has to remove.
 */
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { EnvironmentError } from '../../../trust/ports/faults.ts';
import { environmentFault } from './faults.ts';

export interface ProcessLock {
  release(): void;
}

/** Throws an `EnvironmentError` that names the holder's process id when the file is held. */
export function holdLock(path: string): ProcessLock {
  const lockPath = `${path}-lock`;
  const holderPath = `${lockPath}.pid`;
  let database: DatabaseSync | undefined;
  try {
    createPrivately(lockPath);
    database = new DatabaseSync(lockPath, { timeout: 0 });
    // No journal file: the lock holds no data that could need one.
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    writeFileSync(holderPath, `${process.pid}\n`, { mode: 0o600 });
  } catch (error) {
    database?.close();
    if (isBusy(error)) {
      throw new EnvironmentError(`${path} is in use by process ${holderOf(holderPath)}`, {
        retryable: false,
        cause: error,
      });
    }
    throw environmentFault(error, `cannot lock ${path}`);
  }
  const held = database;
  return {
    release: () => {
      held.close();
    },
  };
}

/**
 * Never opens a file that is there: closing any descriptor of it would drop every lock that this process
 * has on it (POSIX advisory locks), and with them the lock of an earlier holder in the same process.
 */
function createPrivately(lockPath: string): void {
  try {
    closeSync(openSync(lockPath, 'ax', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5;
}

function holderOf(holderPath: string): string {
  try {
    return readFileSync(holderPath, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}
