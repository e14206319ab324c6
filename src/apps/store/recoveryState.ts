/**
 * Whether an installation was put back to an earlier state, and how far it has come since. While the file
 * is there nothing starts: what was given out after the backup would be given out a second time.
 */
import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { writeWhole } from '../authority/authorityFolder.ts';

/** `demanded`: it wants what is kept elsewhere. `ready`: it knows everything again, and waits for two persons. */
export type RecoveryPhase = 'demanded' | 'ready';

export interface RecoveryState {
  readonly phase: RecoveryPhase;
  /** Of the report of `recover`, for whoever releases it. */
  readonly report?: RecoveryReport;
}

export type RecoveryReport = Readonly<Record<string, number | string>>;

/** Of the authority's folder, or the provisioner's: each refuses by itself. */
export async function readRecovery(folder: string): Promise<RecoveryState | undefined> {
  const path = recoveryPath(folder);
  if (!existsSync(path)) return undefined;
  const value: unknown = JSON.parse(await readFile(path, 'utf8'));
  const member = (name: string): unknown =>
    typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const phase = member('phase');
  if (phase !== 'demanded' && phase !== 'ready') throw new MalformedError(fileName, 0, 'phase');
  return { phase, report: reportOf(member('report')) };
}

/** What is a number or a text in it. */
export function reportOf(value: unknown): RecoveryReport {
  return Object.fromEntries(
    Object.entries(value ?? {}).flatMap(([name, count]) => {
      return typeof count === 'number' || typeof count === 'string' ? [[name, count] as const] : [];
    }),
  );
}

export async function writeRecovery(folder: string, state: RecoveryState): Promise<void> {
  await writeWhole(recoveryPath(folder), `${JSON.stringify(state, undefined, 2)}\n`);
}

export async function endRecovery(folder: string): Promise<void> {
  await rm(recoveryPath(folder), { force: true });
}

/** Throws an `EnvironmentError` that says what is to be done. */
export function refuseInRecovery(folder: string): void {
  if (!existsSync(recoveryPath(folder))) return;
  throw new EnvironmentError(
    `${folder} was put back to an earlier state and issues nothing: see birthmark store recover, then release`,
    { retryable: false },
  );
}

function recoveryPath(folder: string): string {
  return join(folder, fileName);
}

const fileName = 'recovery.json';
