/** A restore against the log: what was put back issues nothing before two persons have released it. */
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { readRecovery, recoverySetting } from '../../trust/ports/recoveryStore.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import type { Inspection } from './fsck.ts';
import { bytes } from './values.ts';

export class RecoveryTrail {
  readonly #fault: (text: string) => void;
  #waits = false;

  constructor(fault: (text: string) => void) {
    this.#fault = fault;
  }

  /** A log began anew after a restore, and nobody has released it. */
  get waits(): boolean {
    return this.#waits;
  }

  note(entry: AuditEntry): void {
    if (entry.kind === 'decision') {
      const { act, subject, detail } = entry;
      if (act === 'new-log' && detail.startsWith('restored')) {
        this.#waits = true;
        return;
      }
      if (act === 'released' && subject === 'recovery') {
        this.#waits = false;
        return;
      }
    }
    // Two persons sign the release before it is one.
    if (!this.#waits || entry.kind.startsWith('approval-')) return;
    this.#fault(`recovery: ${entry.kind} before it was released`);
    this.#waits = false;
  }
}

export async function checkRecovery(
  { snapshot, fault }: Inspection,
  { waits }: RecoveryTrail,
): Promise<void> {
  let phase: string | undefined;
  const select = 'SELECT value FROM settings WHERE name = $1';
  for await (const row of snapshot.rows(select, recoverySetting)) {
    phase = phaseOf(bytes(row, 'value'));
  }
  if (waits && phase === undefined) fault('recovery: ended, and nobody has released it');
  if (!waits && (phase === 'learnt' || phase === 'ready')) {
    fault('recovery: the log does not know of one');
  }
}

function phaseOf(value: Uint8Array): string {
  try {
    return readRecovery(value).phase;
  } catch (error) {
    if (error instanceof MalformedError) return 'unknown';
    throw error;
  }
}
