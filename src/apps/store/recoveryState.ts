/**
 * Whether an installation was put back to an earlier state. The database says so itself (`RecoveryStore`);
 * the file beside it says so from the first moment of a restore, and for a database that has no such row.
 */
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import type { RecoveryRecord } from '../../trust/ports/recoveryStore.ts';
import { writeWhole } from '../authority/authorityFolder.ts';

/** `recover` and `release` open what nothing else may open; `approval` waits until it knows enough. */
export type RecoveryAct = 'recover' | 'approval';

/** Into the authority's folder, or the provisioner's: each refuses by itself. */
export async function markRecovery(folder: string): Promise<void> {
  if (isMarked(folder)) return;
  const note = { recovery: 'see birthmark store recover' };
  await writeWhole(recoveryPath(folder), `${JSON.stringify(note, undefined, 2)}\n`);
}

export async function unmarkRecovery(folder: string): Promise<void> {
  await rm(recoveryPath(folder), { force: true });
}

/** Throws an `EnvironmentError` that says what is to be done. */
export function refuseInRecovery(folder: string, record?: RecoveryRecord, act?: RecoveryAct): void {
  if (!isMarked(folder) && record === undefined) return;
  if (act === 'recover' || (act === 'approval' && record?.phase === 'ready')) return;
  throw new EnvironmentError(
    `${folder} was put back to an earlier state and issues nothing: see birthmark store recover, then release`,
    { retryable: false },
  );
}

/** By the file: a database that has no row yet may be in recovery too. */
export function isMarked(folder: string): boolean {
  return existsSync(recoveryPath(folder));
}

function recoveryPath(folder: string): string {
  return join(folder, 'recovery.json');
}
