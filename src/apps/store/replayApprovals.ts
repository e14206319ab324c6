/**
 * Operators and approvals of after the backup, from the log: nobody gets a role back that was taken away, no
 * approval is used a second time, and two persons stay two. What is open is over: who still wants it asks again.
 */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { Connection } from '../../drivers/store/sqlite/database.ts';
import { blob, integer } from '../../drivers/store/sqlite/rows.ts';
import { readDecision, readRequest, readSigned } from '../../trust/approvals/documents.ts';
import { twoPersonAct } from '../../trust/approvals/twoPersons.ts';
import type { AuditEntry } from '../../trust/audit/entry.ts';
import { identifierOfKey } from '../../trust/issuance/issuer.ts';
import { leastAdmins } from '../../trust/ports/approvalRules.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { SoleChanges, soleChangesSetting } from '../../trust/ports/soleChanges.ts';
import { reportedAct } from '../../trust/status/notices.ts';
import { parseHex } from '../../wire/bytes/hex.ts';
import { utf8 } from '../../wire/bytes/utf8.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';

type DecisionEntry = Extract<AuditEntry, { readonly kind: 'decision' }>;

export class ApprovalReplay {
  readonly #connection: Connection;
  readonly #certificates: ReadonlyMap<string, Uint8Array>;

  /** `certificates` of operators by their SHA-256, as people have kept them: the log has no more than that. */
  constructor(connection: Connection, certificates: ReadonlyMap<string, Uint8Array>) {
    this.#connection = connection;
    this.#certificates = certificates;
  }

  /** Each entry of after the backup, in order. */
  apply(entry: AuditEntry): void {
    if (entry.kind === 'decision') {
      this.#decide(entry);
    } else if (entry.kind === 'approval-requested') {
      const { document } = readSigned(nodeCrypto, entry.signed, readRequest);
      const { act, requester, expiresMs } = document;
      this.#run(insertRequest, entry.request, act, requester, entry.signed, entry.atMs, expiresMs);
    } else if (entry.kind === 'approval-decided') {
      const { decision, by } = readSigned(nodeCrypto, entry.signed, readDecision).document;
      this.#run(decideRequest, decision, by, entry.signed, entry.atMs, entry.request);
    } else if (entry.kind === 'approval-used') {
      this.#run(useRequest, entry.atMs, entry.atMs, entry.request);
    }
  }

  /** Number of approvals that are void. Throws an `EnvironmentError` when nobody could decide any more. */
  finish(nowMs: number): number {
    const row = this.#connection.prepare(countAdmins).get() ?? {};
    if (integer(row, 'modes') > 0 && integer(row, 'admins') < leastAdmins) {
      throw new EnvironmentError(
        'the admins of after the backup are not known: give their certificates with --operator',
        { retryable: false },
      );
    }
    return Number(this.#connection.prepare(endRequests).run(nowMs, nowMs).changes);
  }

  #decide({ act, subject, detail, atMs }: DecisionEntry): void {
    switch (act) {
      case twoPersonAct: {
        const [, limit = '0'] = /^mass limit (\d+)$/.exec(detail) ?? [];
        this.#run(insertMode, parseHex(subject) ?? new Uint8Array(16), atMs, Number(limit));
        return;
      }
      case 'mass-limit':
        this.#run('UPDATE two_person SET mass_limit = ?', Number(subject));
        return;
      case reportedAct:
        this.#count(detail.split(' ').length, atMs);
        return;
      case 'operator-added':
        this.#add(subject, detail, atMs);
        return;
      case 'operator-renewed': {
        const certificate = this.#certificates.get(detail);
        if (certificate !== undefined) this.#run(renew, certificate, subject);
        return;
      }
      case 'operator-grant':
        this.#run(grant, detail, atMs, subject);
        return;
      case 'operator-withdraw':
        this.#run(withdraw, atMs, detail, subject);
        return;
      case 'operator-revoked':
        this.#run(revoke, atMs, subject);
        return;
    }
  }

  /** What one person changed before the restore counts behind it. */
  #count(devices: number, atMs: number): void {
    const select = 'SELECT value FROM settings WHERE name = ?';
    const row = this.#connection.prepare(select).get(soleChangesSetting);
    const changes = new SoleChanges(row && blob(row, 'value'));
    const save = 'INSERT OR REPLACE INTO settings VALUES (?, ?)';
    this.#run(save, soleChangesSetting, changes.with(devices, atMs));
  }

  /** Without the certificate nobody can be believed to be that operator: a name alone, and revoked. */
  #add(name: string, detail: string, atMs: number): void {
    const [, role = '', sha256 = ''] = /^([a-z-]+), ([0-9a-f]{64})$/.exec(detail) ?? [];
    const certificate = this.#certificates.get(sha256);
    const keyIdentifier =
      certificate === undefined
        ? nodeCrypto.hash('SHA-256', utf8(`${name} ${detail}`)).slice(0, 20)
        : identifierOfKey(nodeCrypto, parseCertificate(certificate).publicKey.spki);
    const revokedMs = certificate === undefined ? atMs : null;
    this.#run(add, name, certificate ?? new Uint8Array(0), keyIdentifier, atMs, revokedMs);
    this.#run(grant, role, atMs, name);
  }

  #run(sql: string, ...values: ReadonlyArray<string | number | Uint8Array | null>): void {
    this.#connection.prepare(sql).run(...values);
  }
}

const insertMode = 'INSERT OR IGNORE INTO two_person VALUES (1, ?, ?, ?)';

const add = `
  INSERT OR IGNORE INTO operators (name, certificate, key_id, added_ms, revoked_ms)
  VALUES (?, ?, ?, ?, ?)`;

const renew = 'UPDATE operators SET certificate = ? WHERE name = ? AND revoked_ms IS NULL';

const revoke = 'UPDATE operators SET revoked_ms = coalesce(revoked_ms, ?) WHERE name = ?';

const grant = `
  INSERT OR IGNORE INTO operator_roles (operator, role, granted_ms)
  SELECT id, ?, ? FROM operators WHERE name = ?`;

const withdraw = `
  UPDATE operator_roles SET withdrawn_ms = ?
  WHERE role = ? AND withdrawn_ms IS NULL AND operator = (SELECT id FROM operators WHERE name = ?)`;

const insertRequest = `
  INSERT OR IGNORE INTO approvals (sha256, act, requester, signed, taken_ms, expires_ms)
  VALUES (?, ?, (SELECT id FROM operators WHERE name = ?), ?, ?, ?)`;

const decideRequest = `
  UPDATE approvals SET decision = ?, decided_by = (SELECT id FROM operators WHERE name = ?),
    decision_signed = ?, decided_ms = ? WHERE sha256 = ? AND decision IS NULL`;

const useRequest = `
  UPDATE approvals SET spent_ms = coalesce(spent_ms, ?), done_ms = coalesce(done_ms, ?)
  WHERE sha256 = ?`;

const endRequests = 'UPDATE approvals SET expires_ms = ? WHERE done_ms IS NULL AND expires_ms > ?';

const countAdmins = `
  SELECT (SELECT count(*) FROM two_person) AS modes,
    (SELECT count(*) FROM operators JOIN operator_roles ON operator = operators.id
     WHERE role = 'admin' AND withdrawn_ms IS NULL AND revoked_ms IS NULL) AS admins`;
