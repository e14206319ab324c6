/** What every store asks inside its transactions: whether an approval may be spent, and a role changed. */
import type {
  HeldRole,
  OperatorRecord,
  OperatorRole,
  RequestRecord,
  RoleChange,
  RoleOutcome,
  Spending,
  SpendingFault,
} from './approvalStore.ts';

/** Two of them are the least with which anything can be decided. */
export const leastAdmins = 2;

/** A request with the roles that its two persons hold at this moment. */
export interface JudgedRequest {
  readonly request: RequestRecord;
  readonly requesterRoles: readonly HeldRole[];
  readonly approverRoles: readonly HeldRole[];
}

/**
 * Whether the approval may be spent now, for every store to ask inside its transaction. Roles of the
 * revoked are none.
 */
export function faultOfSpending(
  judged: JudgedRequest | undefined,
  { atMs, requesters, approvers }: Spending,
): Exclude<SpendingFault, 'approval-spent'> | undefined {
  if (judged === undefined) return 'approval-unknown';
  const { request, requesterRoles, approverRoles } = judged;
  const { decision, takenMs, expiresMs } = request;
  // Where one person is enough the request stands for itself, until somebody decides against it.
  const allowed =
    approvers === undefined ? decision === undefined : decision?.decision === 'approved';
  if (!allowed) return 'approval-missing';
  if (atMs >= expiresMs) return 'approval-expired';
  if (!holds(requesterRoles, requesters, takenMs)) return 'approval-role-lost';
  if (approvers === undefined) return undefined;
  return holds(approverRoles, approvers, decision?.atMs ?? takenMs)
    ? undefined
    : 'approval-role-lost';
}

/** What stands against a change of roles. */
export function faultOfRole(
  operators: readonly OperatorRecord[],
  { name, role, change }: Pick<RoleChange, 'name' | 'role' | 'change'>,
): Exclude<RoleOutcome, 'changed'> | undefined {
  const operator = operators.find((one) => one.name === name && one.revokedMs === undefined);
  if (operator === undefined) return 'unknown-operator';
  const held = operator.roles.map((one) => one.role);
  if (change === 'grant') {
    return excludes([...held, role]) ? 'excluded' : undefined;
  }
  const losesAdmin = role === 'admin' && held.includes('admin');
  return losesAdmin && adminsOf(operators) <= leastAdmins ? 'too-few-admins' : undefined;
}

/** Whoever changes what the installation is does not also watch over it. */
export function excludes(roles: ReadonlyArray<HeldRole['role']>): boolean {
  return roles.includes('admin') && roles.includes('auditor');
}

function adminsOf(operators: readonly OperatorRecord[]): number {
  return operators.filter(
    ({ roles, revokedMs }) => revokedMs === undefined && roles.some(({ role }) => role === 'admin'),
  ).length;
}

function holds(
  held: readonly HeldRole[],
  wanted: readonly OperatorRole[],
  sinceMs: number,
): boolean {
  return held.some(({ role, grantedMs }) => wanted.includes(role) && grantedMs <= sinceMs);
}
