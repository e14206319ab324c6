/** What the log says of operators and approvals, as lessons for a database that was put back. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import { readDecision, readRequest, readSigned } from '../../trust/approvals/documents.ts';
import { twoPersonAct } from '../../trust/approvals/twoPersons.ts';
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { secretAct } from '../../trust/issuance/grants.ts';
import { identifierOfKey } from '../../trust/issuance/issuer.ts';
import type { ApprovalLesson } from '../../trust/ports/recoveryStore.ts';
import { reportedAct } from '../../trust/status/notices.ts';
import { parseHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';

type DecisionEntry = Extract<AuditEntry, { readonly kind: 'decision' }>;

/** `certificates` of operators by their SHA-256, as people have kept them: the log has no more than that. */
export function approvalLessons(
  entry: AuditEntry,
  certificates: ReadonlyMap<string, Uint8Array>,
): readonly ApprovalLesson[] {
  const { atMs } = entry;
  if (entry.kind === 'decision') return decisionLessons(entry, certificates);
  if (entry.kind === 'approval-requested') {
    const { document } = readSigned(nodeCrypto, entry.signed, readRequest);
    const { act, requester, expiresMs } = document;
    const { request: id, signed } = entry;
    return [{ kind: 'request', id, act, requester, signed, atMs, expiresMs }];
  }
  if (entry.kind === 'approval-decided') {
    const { decision, by } = readSigned(nodeCrypto, entry.signed, readDecision).document;
    const { request: id, signed } = entry;
    return [{ kind: 'request-decided', id, decision, by, signed, atMs }];
  }
  if (entry.kind === 'approval-used') return [{ kind: 'request-used', id: entry.request, atMs }];
  return [];
}

function decisionLessons(
  { act, subject: name, detail, atMs }: DecisionEntry,
  certificates: ReadonlyMap<string, Uint8Array>,
): readonly ApprovalLesson[] {
  switch (act) {
    case twoPersonAct: {
      const [, limit = '0'] = /^mass limit (\d+)$/.exec(detail) ?? [];
      const installation = parseHex(name) ?? new Uint8Array(16);
      return [{ kind: 'two-persons', installation, massLimit: Number(limit), atMs }];
    }
    case 'mass-limit':
      return [{ kind: 'mass-limit', devices: Number(name) }];
    case reportedAct:
      return [{ kind: 'sole-changes', devices: detail.split(' ').length, atMs }];
    case secretAct:
      return [{ kind: 'sole-secret', atMs }];
    case 'operator-added':
      return [operatorLesson(name, detail, atMs, certificates)];
    case 'operator-renewed': {
      const certificate = certificates.get(detail);
      return certificate === undefined ? [] : [{ kind: 'operator-certificate', name, certificate }];
    }
    case 'operator-grant':
      return [{ kind: 'role-granted', name, role: detail, atMs }];
    case 'operator-withdraw':
      return [{ kind: 'role-withdrawn', name, role: detail, atMs }];
    case 'operator-revoked':
      return [{ kind: 'operator-revoked', name, atMs }];
    default:
      return [];
  }
}

/** Without the certificate nobody can be believed to be that operator: a name alone, and revoked. */
function operatorLesson(
  name: string,
  detail: string,
  atMs: number,
  certificates: ReadonlyMap<string, Uint8Array>,
): ApprovalLesson {
  const [, role = '', sha256 = ''] = /^([a-z-]+), ([0-9a-f]{64})$/.exec(detail) ?? [];
  const certificate = certificates.get(sha256) ?? new Uint8Array(0);
  const keyIdentifier =
    certificate.length === 0
      ? nodeCrypto.hash('SHA-256', utf8(`${name} ${detail}`)).slice(0, 20)
      : identifierOfKey(nodeCrypto, parseCertificate(certificate).publicKey.spki);
  return { kind: 'operator', name, certificate, keyIdentifier, role, atMs };
}
