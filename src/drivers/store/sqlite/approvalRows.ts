/** Rows of operators and approvals, and what the transaction of an act does with its approval. */
import {
  type DecisionRecord,
  decisions,
  type HeldRole,
  type OperatorRecord,
  operatorRoles,
  type RequestRecord,
  type Spending,
  type SpendingFault,
  type TwoPersonMode,
} from '../../../trust/ports/approvalStore.ts';
import { faultOfSpending, type JudgedRequest } from '../../../trust/ports/approvalRules.ts';
import type { Connection } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { blob, integer, optionalInteger, type Row, text, word } from './rows.ts';

/**
 * Spends the approval of an act and writes its leaf; `undefined` when that is done. To be asked before
 * anything of the act is written: a fault has changed nothing.
 */
export function spend(
  connection: Connection,
  spending: Spending | undefined,
): SpendingFault | undefined {
  if (spending === undefined) return undefined;
  const judged = judgedRequest(connection, spending.id);
  const fault = faultOfSpending(judged, spending);
  if (fault !== undefined) return fault;
  if (judged?.request.spentMs !== undefined) return 'approval-spent';
  mark(connection, spending, spending.atMs);
  return undefined;
}

/** As `spend`, for an act that is finished later and may be begun again until then. */
export function beginSpending(
  connection: Connection,
  spending: Spending,
): 'begun' | 'resumed' | SpendingFault {
  const judged = judgedRequest(connection, spending.id);
  const fault = faultOfSpending(judged, spending);
  if (fault !== undefined) return fault;
  if (judged?.request.doneMs !== undefined) return 'approval-spent';
  if (judged?.request.spentMs !== undefined) return 'resumed';
  mark(connection, spending, null);
  return 'begun';
}

function mark(connection: Connection, { id, atMs, entry }: Spending, doneMs: number | null): void {
  connection
    .prepare('UPDATE approvals SET spent_ms = ?, done_ms = ? WHERE sha256 = ?')
    .run(atMs, doneMs, id);
  connection.prepare(appendLeaf).run(entry);
}

function judgedRequest(connection: Connection, id: Uint8Array): JudgedRequest | undefined {
  const row = connection.prepare(`${selectRequest} WHERE sha256 = ?`).get(id);
  if (row === undefined) return undefined;
  const request = requestOf(row);
  const rolesOf = (name: string | undefined): readonly HeldRole[] =>
    name === undefined ? [] : connection.prepare(selectRoles).all(name).map(roleOf);
  return {
    request,
    requesterRoles: rolesOf(request.requester),
    approverRoles: rolesOf(request.decision?.by),
  };
}

export const selectRequest = `
  SELECT approvals.*, requesters.name AS requester_name, deciders.name AS decider_name
  FROM approvals
  JOIN operators AS requesters ON requesters.id = requester
  LEFT JOIN operators AS deciders ON deciders.id = decided_by`;

/** Of one operator, who is not revoked. */
const selectRoles = `
  SELECT role, granted_ms FROM operator_roles JOIN operators ON operators.id = operator
  WHERE operators.name = ? AND withdrawn_ms IS NULL AND revoked_ms IS NULL ORDER BY operator_roles.id`;

export function requestOf(row: Row): RequestRecord {
  return {
    id: blob(row, 'sha256'),
    act: text(row, 'act'),
    requester: text(row, 'requester_name'),
    signed: blob(row, 'signed'),
    takenMs: integer(row, 'taken_ms'),
    expiresMs: integer(row, 'expires_ms'),
    decision: decisionOf(row),
    spentMs: optionalInteger(row, 'spent_ms'),
    doneMs: optionalInteger(row, 'done_ms'),
  };
}

function decisionOf(row: Row): DecisionRecord | undefined {
  if (row['decision'] === null) return undefined;
  return {
    decision: word(row, 'decision', decisions),
    by: text(row, 'decider_name'),
    signed: blob(row, 'decision_signed'),
    atMs: integer(row, 'decided_ms'),
  };
}

export function roleOf(row: Row): HeldRole {
  return { role: word(row, 'role', operatorRoles), grantedMs: integer(row, 'granted_ms') };
}

export function modeOf(row: Row): TwoPersonMode {
  return {
    installation: blob(row, 'installation'),
    sinceMs: integer(row, 'since_ms'),
    massLimit: integer(row, 'mass_limit'),
  };
}

/** From rows of operators in order, and rows of held roles with the name of their holder. */
export function operatorsOf(rows: readonly Row[], roles: readonly Row[]): OperatorRecord[] {
  return rows.map((row) => {
    const name = text(row, 'name');
    return {
      name,
      certificate: blob(row, 'certificate'),
      keyIdentifier: blob(row, 'key_id'),
      roles: roles.filter((role) => role['name'] === name).map(roleOf),
      addedMs: integer(row, 'added_ms'),
      revokedMs: optionalInteger(row, 'revoked_ms'),
    };
  });
}

export const selectOperators = 'SELECT * FROM operators ORDER BY name';

export const selectAllRoles = `
  SELECT name, role, granted_ms FROM operator_roles JOIN operators ON operators.id = operator
  WHERE withdrawn_ms IS NULL ORDER BY operator_roles.id`;
