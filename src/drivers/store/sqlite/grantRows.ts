/** What T1 does with the grant of an intent: found free, and spent, in the transaction of the intent itself. */
import { InvariantError } from '../../../trust/ports/faults.ts';
import type { GrantReference } from '../../../trust/ports/grantStore.ts';
import type { Connection } from './database.ts';

const grantTables: Readonly<Record<GrantReference['kind'], string>> = {
  secret: 'enrolment_secrets',
  approval: 'enrolment_approvals',
};

/** Asked before anything of the intent is written. */
export function isGrantFree(connection: Connection, { kind, id }: GrantReference): boolean {
  const open = kind === 'secret' ? 'voided_ms IS NULL' : `decision = 'approved'`;
  const row = connection
    .prepare(`SELECT 1 FROM ${grantTables[kind]} WHERE id = ? AND issuance IS NULL AND ${open}`)
    .get(id);
  return row !== undefined;
}

export function spendGrant(
  connection: Connection,
  { kind, id }: GrantReference,
  issuance: number,
): void {
  const { changes } = connection
    .prepare(`UPDATE ${grantTables[kind]} SET issuance = ? WHERE id = ? AND issuance IS NULL`)
    .run(issuance, id);
  if (changes === 0) throw new InvariantError('a grant was spent within its own transaction');
}
