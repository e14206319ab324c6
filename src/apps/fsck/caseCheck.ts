/** Cases of lost keys against the log: none vanishes, none is ended behind its back. */
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { caseActs } from '../../trust/ports/lossCase.ts';
import type { Inspection } from './fsck.ts';
import { string } from './values.ts';

export class CaseTrail {
  /** The document of each as the log had it last, by name. */
  readonly #logged = new Map<string, string>();

  note(entry: AuditEntry): void {
    if (entry.kind !== 'decision') return;
    if (caseActs.some((act) => act === entry.act)) this.#logged.set(entry.subject, entry.detail);
  }

  get logged(): ReadonlyMap<string, string> {
    return this.#logged;
  }
}

export async function checkCases(
  { snapshot, fault }: Inspection,
  { logged }: CaseTrail,
): Promise<void> {
  const recorded = new Set<string>();
  for await (const row of snapshot.rows('SELECT name, document FROM loss_cases')) {
    const name = string(row, 'name');
    recorded.add(name);
    const document = logged.get(name);
    if (document === undefined) fault(`case ${name}: not in the log`);
    else if (document !== string(row, 'document')) fault(`case ${name}: recorded otherwise`);
  }
  for (const name of logged.keys()) {
    if (!recorded.has(name)) fault(`case ${name}: logged and not recorded`);
  }
}
