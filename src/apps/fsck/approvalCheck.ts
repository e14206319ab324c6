/** Requests and approvals against the log, the persons that signed them, and their use. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { actRules } from '../../trust/approvals/acts.ts';
import { policyOf } from '../../drivers/store/sqlite/grantStore.ts';
import { policyDetail } from '../../trust/issuance/grants.ts';
import { isSigned } from '../../trust/approvals/documents.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import type { ApprovalTrail, LoggedApproval } from './approvalTrail.ts';
import type { Inspection, Row } from './fsck.ts';
import { bytes, hex, isNull, number, string } from './values.ts';

/** Number of requests. */
export async function checkApprovals(
  inspection: Inspection,
  trail: ApprovalTrail,
): Promise<number> {
  const { snapshot, fault } = inspection;
  let modes = 0;
  for await (const row of snapshot.rows('SELECT mass_limit FROM two_person')) {
    modes += 1;
    if (String(number(row, 'mass_limit')) !== trail.operators.massLimit) {
      fault('two persons: one may change the status of more or fewer devices than the log says');
    }
  }
  if (trail.twoPersons !== (modes === 1)) {
    fault(
      modes === 0
        ? 'two persons: needed by the log, and switched off behind its back'
        : 'two persons: switched on without a word in the log',
    );
  }
  await checkPolicies(inspection, trail);
  const keys = await keysOfOperators(inspection);
  await checkOperators(inspection, trail);
  const recorded = new Set<string>();
  for await (const row of snapshot.rows(selectApprovals)) {
    const id = hex(row, 'sha256');
    recorded.add(id);
    const logged = trail.approvals.get(id);
    if (logged === undefined) fault(`approval ${id}: not in the log`);
    else checkOne(row, id, logged, keys, fault);
  }
  for (const id of trail.approvals.keys()) {
    if (!recorded.has(id)) fault(`approval ${id}: logged and not recorded`);
  }
  return recorded.size;
}

const selectApprovals = `
  SELECT approvals.*, asked.name AS asked_by, decided.name AS said_by FROM approvals
  LEFT JOIN operators asked ON asked.id = requester
  LEFT JOIN operators decided ON decided.id = decided_by ORDER BY approvals.id`;

/** How profiles are given out is what somebody decided once. */
async function checkPolicies({ snapshot, fault }: Inspection, trail: ApprovalTrail): Promise<void> {
  for await (const row of snapshot.rows('SELECT * FROM enrolment_policies')) {
    const { profile, ...policy } = policyOf(row);
    if (!trail.wasPolicy(profile, policyDetail(policy))) {
      fault(`policy of ${profile}: nobody has decided it`);
    }
  }
}

/** Rows of operators against the log: nobody is one, or has a role, because a row says so. */
async function checkOperators(
  { snapshot, fault }: Inspection,
  { operators: { operators } }: ApprovalTrail,
): Promise<void> {
  const roles = new Map<string, string[]>();
  for await (const row of snapshot.rows(selectRoles)) {
    const name = string(row, 'name');
    roles.set(name, [...(roles.get(name) ?? []), string(row, 'role')]);
  }
  const recorded = new Set<string>();
  for await (const row of snapshot.rows('SELECT name, certificate, revoked_ms FROM operators')) {
    const name = string(row, 'name');
    recorded.add(name);
    const logged = operators.get(name);
    if (logged === undefined) {
      fault(`operator ${name}: not in the log`);
      continue;
    }
    const certificate = bytes(row, 'certificate');
    const isRevoked = !isNull(row, 'revoked_ms');
    // Of after a backup that was put back: a name, and nobody is that operator any more.
    const isName = certificate.length === 0 && isRevoked;
    if (!isName && !logged.certificates.has(toHex(nodeCrypto.hash('SHA-256', certificate)))) {
      fault(`operator ${name}: another certificate than the log's`);
    }
    if (!isName && isRevoked !== logged.revoked) fault(`operator ${name}: revoked otherwise`);
    const held = roles.get(name) ?? [];
    if (held.length !== logged.roles.size || !held.every((role) => logged.roles.has(role))) {
      fault(`operator ${name}: other roles than the log's`);
    }
  }
  for (const name of operators.keys()) {
    if (!recorded.has(name)) fault(`operator ${name}: logged and not recorded`);
  }
}

const selectRoles = `
  SELECT name, role FROM operator_roles JOIN operators ON operators.id = operator
  WHERE withdrawn_ms IS NULL`;

/** DER of SubjectPublicKeyInfo by name, of the revoked too: what they signed before stays signed. */
async function keysOfOperators({
  snapshot,
  fault,
}: Inspection): Promise<ReadonlyMap<string, Uint8Array>> {
  const keys = new Map<string, Uint8Array>();
  const select = 'SELECT id, name, certificate, revoked_ms FROM operators ORDER BY id';
  for await (const row of snapshot.rows(select)) {
    const name = string(row, 'name');
    // Of after a backup that was put back: the log knows the name, and nobody is that operator any more.
    if (bytes(row, 'certificate').length === 0 && !isNull(row, 'revoked_ms')) {
      keys.set(name, bytes(row, 'certificate'));
      continue;
    }
    try {
      keys.set(name, parseCertificate(bytes(row, 'certificate')).publicKey.spki);
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      fault(`operator ${name}: ${error.message}`);
    }
  }
  return keys;
}

function checkOne(
  row: Row,
  id: string,
  { request, decision, uses }: LoggedApproval,
  keys: ReadonlyMap<string, Uint8Array>,
  fault: (text: string) => void,
): void {
  const { document } = request;
  const { requester, act, expiresMs } = document;
  const when = (broken: boolean, text: string): void => {
    if (broken) fault(`approval ${id}: ${text}`);
  };
  const isBy = (name: string, { message }: Pick<LoggedApproval['request'], 'message'>): boolean => {
    const spki = keys.get(name);
    return spki !== undefined && (spki.length === 0 || isSigned(nodeCrypto, spki, message));
  };
  when(toHex(request.id) !== id, 'the request is another one');
  when(!isBy(requester, request), `not signed by ${requester}`);
  when(string(row, 'asked_by') !== requester || string(row, 'act') !== act, 'recorded otherwise');
  const said = decision?.document;
  if (decision !== undefined && said !== undefined) {
    when(toHex(said.request) !== id, 'the decision is about another request');
    when(!isBy(said.by, decision), `not signed by ${said.by}`);
    when(said.decision === 'approved' && said.by === requester, 'approved by who asked for it');
  }
  when(
    string(row, 'decision') !== (said?.decision ?? '') ||
      string(row, 'said_by') !== (said?.by ?? ''),
    'decided otherwise than logged',
  );
  const spent = !isNull(row, 'spent_ms');
  when(spent !== (uses === 1), spent ? 'spent and not logged so' : 'logged as spent, and open');
  if (!spent) return;
  const allowed =
    actRules[act].approvers === undefined ? said === undefined : said?.decision === 'approved';
  when(!allowed, 'spent without a second person');
  when(number(row, 'spent_ms') >= expiresMs, 'spent past its end');
}
