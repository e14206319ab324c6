/** What the transaction of an act does with its approval, on PostgreSQL. */
import { faultOfSpending, type JudgedRequest } from '../../../trust/ports/approvalRules.ts';
import type { HeldRole, Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import { requestOf, roleOf, selectRequest } from '../sqlite/approvalRows.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';

/** As on SQLite: to be asked before anything of the act is written. */
export async function spend(
  connection: Connection,
  spending: Spending | undefined,
): Promise<SpendingFault | undefined> {
  if (spending === undefined) return undefined;
  const judged = await judgedRequest(connection, spending.id);
  const fault = faultOfSpending(judged, spending);
  if (fault !== undefined) return fault;
  if (judged?.request.spentMs !== undefined) return 'approval-spent';
  await mark(connection, spending, spending.atMs);
  return undefined;
}

export async function beginSpending(
  connection: Connection,
  spending: Spending,
): Promise<'begun' | 'resumed' | SpendingFault> {
  const judged = await judgedRequest(connection, spending.id);
  const fault = faultOfSpending(judged, spending);
  if (fault !== undefined) return fault;
  if (judged?.request.doneMs !== undefined) return 'approval-spent';
  if (judged?.request.spentMs !== undefined) return 'resumed';
  await mark(connection, spending, null);
  return 'begun';
}

async function mark(
  connection: Connection,
  { id, atMs, entry }: Spending,
  doneMs: number | null,
): Promise<void> {
  const sql = 'UPDATE approvals SET spent_ms = $1, done_ms = $2 WHERE sha256 = $3';
  await connection.run(sql, atMs, doneMs, id);
  await appendLeaves(connection, [entry]);
}

async function judgedRequest(
  connection: Connection,
  id: Uint8Array,
): Promise<JudgedRequest | undefined> {
  const row = await connection.first(`${selectRequest} WHERE sha256 = $1`, id);
  if (row === undefined) return undefined;
  const request = requestOf(row);
  const rolesOf = async (name: string | undefined): Promise<readonly HeldRole[]> =>
    name === undefined ? [] : (await connection.all(selectRoles, name)).map(roleOf);
  return {
    request,
    requesterRoles: await rolesOf(request.requester),
    approverRoles: await rolesOf(request.decision?.by),
  };
}

const selectRoles = `
  SELECT role, granted_ms FROM operator_roles JOIN operators ON operators.id = operator
  WHERE operators.name = $1 AND withdrawn_ms IS NULL AND revoked_ms IS NULL
  ORDER BY operator_roles.id`;
