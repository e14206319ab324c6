/** One-time secrets, approvals and policies on SQLite. */
import {
  approvalCauses,
  type ApprovalDecision,
  type ApprovalRecord,
  type ApprovalRequest,
  type GrantStore,
  type ProfilePolicy,
  type SecretPermit,
  type SecretRecord,
} from '../../../trust/ports/grantStore.ts';
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import { SoleChanges, soleSecretsSetting } from '../../../trust/ports/soleChanges.ts';
import { spend } from './approvalRows.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import {
  blob,
  integer,
  optionalBlob,
  optionalInteger,
  optionalText,
  type Row,
  text,
  word,
} from './rows.ts';

export class SqliteGrantStore implements GrantStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  addSecret(
    secret: Omit<SecretRecord, 'id' | 'keyIdentifier' | 'spentOn' | 'voidedMs'>,
    secretSha256: Uint8Array,
    entry: Uint8Array,
    permit?: SecretPermit,
  ): Promise<number | 'too-many' | SpendingFault> {
    const { deviceId, product, profile, createdMs, expiresMs } = secret;
    return this.#database.transact((connection) => {
      const fault = permit === undefined ? undefined : usePermit(connection, permit);
      if (fault !== undefined) return fault;
      const { lastInsertRowid } = connection
        .prepare(
          `INSERT INTO enrolment_secrets
             (secret_sha256, device_id, product, profile, created_ms, expires_ms)
           VALUES (?, ?, ?, ?, ?, ?)`,
        )
        .run(secretSha256, deviceId, product, profile, createdMs, expiresMs);
      connection.prepare(appendLeaf).run(entry);
      return Number(lastInsertRowid);
    });
  }

  secret(secretSha256: Uint8Array): Promise<SecretRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare(`${selectSecret} WHERE secret_sha256 = ?`).get(secretSha256);
      return row === undefined ? undefined : secretOf(row);
    });
  }

  secrets(
    limit: number,
    before: number = Number.MAX_SAFE_INTEGER,
  ): Promise<readonly SecretRecord[]> {
    const sql = `${selectSecret} WHERE enrolment_secrets.id < ?
      ORDER BY enrolment_secrets.id DESC LIMIT ?`;
    return this.#database.read((connection) =>
      connection.prepare(sql).all(before, limit).map(secretOf),
    );
  }

  bindSecret(id: number, keyIdentifier: Uint8Array): Promise<Uint8Array> {
    return this.#database.transact((connection) => {
      connection
        .prepare('UPDATE enrolment_secrets SET key_id = ? WHERE id = ? AND key_id IS NULL')
        .run(keyIdentifier, id);
      const row = connection.prepare('SELECT key_id FROM enrolment_secrets WHERE id = ?').get(id);
      return blob(row ?? {}, 'key_id');
    });
  }

  voidSecret(id: number, atMs: number, entry: Uint8Array): Promise<boolean> {
    return this.#change(
      `UPDATE enrolment_secrets SET voided_ms = ?
       WHERE id = ? AND issuance IS NULL AND voided_ms IS NULL`,
      [atMs, id],
      entry,
    );
  }

  approval(request: ApprovalRequest): Promise<ApprovalRecord | undefined> {
    const { deviceId, keyIdentifier, profile } = request;
    const sql = `${selectApproval} WHERE device_id = ? AND enrolment_approvals.key_id = ?
      AND enrolment_approvals.profile = ? ORDER BY enrolment_approvals.id DESC LIMIT 1`;
    return this.#database.read((connection) => {
      const row = connection.prepare(sql).get(deviceId, keyIdentifier, profile);
      return row === undefined ? undefined : approvalOf(row);
    });
  }

  askApproval(request: ApprovalRequest, most: number): Promise<boolean> {
    const { deviceId, keyIdentifier, profile, cause, requestedMs } = request;
    return this.#database.transact((connection) => {
      const row = connection
        .prepare(
          `SELECT count(*) AS open FROM enrolment_approvals
           WHERE device_id = ? AND decision IS NULL`,
        )
        .get(deviceId);
      if (integer(row ?? {}, 'open') >= most) return false;
      connection
        .prepare(
          `INSERT INTO enrolment_approvals (device_id, key_id, profile, cause, requested_ms)
           VALUES (?, ?, ?, ?, ?)`,
        )
        .run(deviceId, keyIdentifier, profile, cause, requestedMs);
      return true;
    });
  }

  approvals(limit: number, after: number = 0): Promise<readonly ApprovalRecord[]> {
    const sql = `${selectApproval} WHERE decision IS NULL AND enrolment_approvals.id > ?
      ORDER BY enrolment_approvals.id LIMIT ?`;
    return this.#database.read((connection) =>
      connection.prepare(sql).all(after, limit).map(approvalOf),
    );
  }

  decide(
    id: number,
    decision: ApprovalDecision,
    decidedBy: string,
    atMs: number,
    entry: Uint8Array,
  ): Promise<boolean> {
    return this.#change(
      `UPDATE enrolment_approvals SET decision = ?, decided_by = ?, decided_ms = ?
       WHERE id = ? AND decision IS NULL`,
      [decision, decidedBy, atMs, id],
      entry,
    );
  }

  policies(): Promise<readonly ProfilePolicy[]> {
    const sql = 'SELECT * FROM enrolment_policies ORDER BY profile';
    return this.#database.read((connection) => connection.prepare(sql).all().map(policyOf));
  }

  savePolicy(
    { profile, approval, afterExpiry }: ProfilePolicy,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'saved' | SpendingFault> {
    const days = afterExpiry.kind === 'within' ? afterExpiry.days : null;
    return this.#database.transact((connection) => {
      const fault = spend(connection, spending);
      if (fault !== undefined) return fault;
      connection
        .prepare('INSERT OR REPLACE INTO enrolment_policies VALUES (?, ?, ?, ?)')
        .run(profile, approval, afterExpiry.kind, days);
      connection.prepare(appendLeaf).run(entry);
      return 'saved';
    });
  }

  /** With its audit leaf, which is not written when nothing changed. */
  #change(sql: string, values: ReadonlyArray<string | number>, entry: Uint8Array) {
    return this.#database.transact((connection) => {
      if (connection.prepare(sql).run(...values).changes === 0) return false;
      connection.prepare(appendLeaf).run(entry);
      return true;
    });
  }
}

function usePermit(
  connection: Connection,
  permit: SecretPermit,
): 'too-many' | SpendingFault | undefined {
  if ('spending' in permit) return spend(connection, permit.spending);
  const { most, atMs } = permit;
  const row = connection
    .prepare('SELECT value FROM settings WHERE name = ?')
    .get(soleSecretsSetting);
  const before = new SoleChanges(row && blob(row, 'value'));
  if (before.left(most, atMs) < 1) return 'too-many';
  connection
    .prepare('INSERT OR REPLACE INTO settings VALUES (?, ?)')
    .run(soleSecretsSetting, before.with(1, atMs));
  return undefined;
}

export const selectSecret = `
  SELECT enrolment_secrets.*, serial FROM enrolment_secrets
  LEFT JOIN issuances ON issuances.id = issuance`;

export const selectApproval = `
  SELECT enrolment_approvals.*, serial FROM enrolment_approvals
  LEFT JOIN issuances ON issuances.id = issuance`;

export function secretOf(row: Row): SecretRecord {
  return {
    id: integer(row, 'id'),
    deviceId: text(row, 'device_id'),
    product: text(row, 'product'),
    profile: text(row, 'profile'),
    createdMs: integer(row, 'created_ms'),
    expiresMs: integer(row, 'expires_ms'),
    keyIdentifier: optionalBlob(row, 'key_id'),
    spentOn: optionalBlob(row, 'serial'),
    voidedMs: optionalInteger(row, 'voided_ms'),
  };
}

export function approvalOf(row: Row): ApprovalRecord {
  return {
    id: integer(row, 'id'),
    deviceId: text(row, 'device_id'),
    keyIdentifier: blob(row, 'key_id'),
    profile: text(row, 'profile'),
    cause: word(row, 'cause', approvalCauses),
    requestedMs: integer(row, 'requested_ms'),
    decision:
      row['decision'] === null ? undefined : word(row, 'decision', ['approved', 'denied'] as const),
    decidedBy: optionalText(row, 'decided_by'),
    decidedMs: optionalInteger(row, 'decided_ms'),
    spentOn: optionalBlob(row, 'serial'),
  };
}

export function policyOf(row: Row): ProfilePolicy {
  const kind = word(row, 'after_expiry', ['never', 'within', 'approval'] as const);
  return {
    profile: text(row, 'profile'),
    approval: word(row, 'approval', ['none', 'first', 'every'] as const),
    afterExpiry: kind === 'within' ? { kind, days: integer(row, 'expiry_days') } : { kind },
  };
}
