/** Tells the faults of disk and file from the answers of the database to a statement. */
import { EnvironmentError } from '../../../trust/ports/faults.ts';

/** Primary result codes (https://www.sqlite.org/rescode.html) for which the outside is to blame. */
const environmental = new Map<number, { readonly problem: string; readonly retryable: boolean }>([
  [5, { problem: 'another process holds it', retryable: true }],
  [7, { problem: 'out of memory', retryable: true }],
  [8, { problem: 'it is read-only', retryable: true }],
  [10, { problem: 'the disk reports an error', retryable: true }],
  [11, { problem: 'the file is damaged', retryable: false }],
  [13, { problem: 'the disk is full', retryable: true }],
  [14, { problem: 'the file cannot be opened', retryable: true }],
  [23, { problem: 'access was denied', retryable: false }],
  [26, { problem: 'the file is no database', retryable: false }],
]);

/** SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY and _ROWID: a value that has to be unique is there already. */
export function isUniqueViolation(error: unknown): boolean {
  const code = resultCode(error);
  return code === 2067 || code === 1555 || code === 2579;
}

export function isEnvironmental(error: unknown): boolean {
  const code = resultCode(error);
  return code !== undefined && environmental.has(code & 0xff);
}

/** An `EnvironmentError` for faults of the outside; any other error as it is. */
export function environmentFault(error: unknown, doing: string): unknown {
  const fault = environmental.get((resultCode(error) ?? 0) & 0xff);
  if (fault !== undefined) {
    const { problem, retryable } = fault;
    return new EnvironmentError(`${doing}: ${problem}`, { retryable, cause: error });
  }
  // Errors of the file system itself, such as a folder that may not be written.
  if (error instanceof Error && 'syscall' in error) {
    return new EnvironmentError(`${doing}: ${error.message}`, { retryable: true, cause: error });
  }
  return error;
}

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}
