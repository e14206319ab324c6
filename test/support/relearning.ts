/** A store that was put back learns what a log and lists say, as `birthmark store recover` has it learn. */
import { lessonsOf, type Source } from '../../src/apps/store/relearn.ts';
import { type AuditEntry, encodeAuditEntry } from '../../src/trust/audit/entry.ts';
import type { Learnt } from '../../src/trust/ports/recoveryStore.ts';
import type { IssuingStores } from './issuingStores.ts';

export const nobody: ReadonlySet<string> = new Set<string>();

/** When it is put back. */
export const nowMs = 1_000;

export function decision(act: string, subject: string, detail: string): AuditEntry {
  return { kind: 'decision', atMs: 500, act, subject, detail };
}

/** The last leaf of what is learnt. */
export const closing = encodeAuditEntry(decision('new-log', 'log', 'restored; goes on'));

/** The only authority that is known is `operational`, with key 01. */
export function learn(
  { recovery }: IssuingStores,
  entries: readonly AuditEntry[],
  changes: Partial<Source> = {},
): Promise<Learnt> {
  const source: Source = {
    leaves: entries.map(encodeAuditEntry),
    authorities: new Map([['01', 'operational']]),
    offline: nobody,
    ledger: [],
    lists: [],
    certificates: new Map(),
    cases: [],
    settle: () => [],
    ...changes,
  };
  const ending = { nowMs, roots: nobody, offline: nobody, closing };
  return recovery.learn(() => lessonsOf(source), ending);
}
