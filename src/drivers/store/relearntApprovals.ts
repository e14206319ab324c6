/**
 * Operators and approvals of after the backup: nobody gets a role back that was taken away, no approval is
 * used a second time, and two persons stay two. What is open is over: who still wants it asks again.
 */
import type { ApprovalLesson, Lesson } from '../../trust/ports/recoveryStore.ts';
import {
  SoleChanges,
  soleChangesSetting,
  soleSecretsSetting,
} from '../../trust/ports/soleChanges.ts';
import { blob } from './sqlite/rows.ts';
import { first, putSetting, type Steps, tell } from './statements.ts';

const kinds: ReadonlySet<string> = new Set<ApprovalLesson['kind']>([
  'two-persons',
  'mass-limit',
  'sole-changes',
  'sole-secret',
  'operator',
  'operator-certificate',
  'role-granted',
  'role-withdrawn',
  'operator-revoked',
  'request',
  'request-decided',
  'request-used',
]);

export function isApprovalLesson(lesson: Lesson): lesson is ApprovalLesson {
  return kinds.has(lesson.kind);
}

export function* approvalLesson(lesson: ApprovalLesson): Steps<void> {
  switch (lesson.kind) {
    case 'two-persons':
      yield* tell(insertMode, lesson.installation, lesson.atMs, lesson.massLimit);
      return;
    case 'mass-limit':
      yield* tell('UPDATE two_person SET mass_limit = $1', lesson.devices);
      return;
    case 'sole-changes':
      return yield* countSole(soleChangesSetting, lesson.devices, lesson.atMs);
    case 'sole-secret':
      return yield* countSole(soleSecretsSetting, 1, lesson.atMs);
    case 'operator': {
      const { name, certificate, keyIdentifier, role, atMs } = lesson;
      const revokedMs = certificate.length === 0 ? atMs : null;
      yield* tell(add, name, certificate, keyIdentifier, atMs, revokedMs);
      yield* tell(grant, role, atMs, name);
      return;
    }
    case 'operator-certificate':
      yield* tell(renew, lesson.certificate, lesson.name);
      return;
    case 'role-granted':
      yield* tell(grant, lesson.role, lesson.atMs, lesson.name);
      return;
    case 'role-withdrawn':
      yield* tell(withdraw, lesson.atMs, lesson.role, lesson.name);
      return;
    case 'operator-revoked':
      yield* tell(revoke, lesson.atMs, lesson.name);
      return;
    case 'request': {
      const { id, act, requester, signed, atMs, expiresMs } = lesson;
      yield* tell(insertRequest, id, act, requester, signed, atMs, expiresMs);
      return;
    }
    case 'request-decided': {
      const { decision, by, signed, atMs, id } = lesson;
      yield* tell(decideRequest, decision, by, signed, atMs, id);
      return;
    }
    case 'request-used':
      yield* tell(useRequest, lesson.atMs, lesson.id);
      return;
  }
}

export const endRequests =
  'UPDATE approvals SET expires_ms = $1 WHERE done_ms IS NULL AND expires_ms > $1';

export const countAdmins = `
  SELECT (SELECT count(*) FROM two_person) AS modes,
    (SELECT count(*) FROM operators JOIN operator_roles ON operator = operators.id
     WHERE role = 'admin' AND withdrawn_ms IS NULL AND revoked_ms IS NULL) AS admins`;

/** What one person did before the restore counts behind it. */
function* countSole(setting: string, number: number, atMs: number): Steps<void> {
  const row = yield* first('SELECT value FROM settings WHERE name = $1', setting);
  const changes = new SoleChanges(row && blob(row, 'value'));
  yield* putSetting(setting, changes.with(number, atMs));
}

const insertMode = 'INSERT INTO two_person VALUES (1, $1, $2, $3) ON CONFLICT DO NOTHING';

const add = `
  INSERT INTO operators (name, certificate, key_id, added_ms, revoked_ms)
  VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`;

const renew = 'UPDATE operators SET certificate = $1 WHERE name = $2 AND revoked_ms IS NULL';

const revoke = 'UPDATE operators SET revoked_ms = coalesce(revoked_ms, $1) WHERE name = $2';

const idOf = (parameter: string): string => `(SELECT id FROM operators WHERE name = ${parameter})`;

const grant = `
  INSERT INTO operator_roles (operator, role, granted_ms) VALUES (${idOf('$3')}, $1, $2)
  ON CONFLICT DO NOTHING`;

const withdraw = `
  UPDATE operator_roles SET withdrawn_ms = $1
  WHERE role = $2 AND withdrawn_ms IS NULL AND operator = ${idOf('$3')}`;

const insertRequest = `
  INSERT INTO approvals (sha256, act, requester, signed, taken_ms, expires_ms)
  VALUES ($1, $2, ${idOf('$3')}, $4, $5, $6) ON CONFLICT DO NOTHING`;

const decideRequest = `
  UPDATE approvals SET decision = $1, decided_by = ${idOf('$2')}, decision_signed = $3,
    decided_ms = $4
  WHERE sha256 = $5 AND decision IS NULL`;

const useRequest = `
  UPDATE approvals SET spent_ms = coalesce(spent_ms, $1), done_ms = coalesce(done_ms, $1)
  WHERE sha256 = $2`;
