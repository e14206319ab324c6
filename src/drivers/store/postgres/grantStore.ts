/** One-time secrets, approvals and policies on PostgreSQL. */
import type {
  ApprovalDecision,
  ApprovalRecord,
  ApprovalRequest,
  GrantStore,
  ProfilePolicy,
  SecretPermit,
  SecretRecord,
} from '../../../trust/ports/grantStore.ts';
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import { SoleChanges, soleSecretsSetting } from '../../../trust/ports/soleChanges.ts';
import { spend } from './approvalRows.ts';
import {
  approvalOf,
  policyOf,
  secretOf,
  selectApproval,
  selectSecret,
} from '../sqlite/grantStore.ts';
import { blob, integer } from '../sqlite/rows.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection, Parameter } from './connection.ts';
import type { PostgresDatabase } from './database.ts';

export class PostgresGrantStore implements GrantStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  addSecret(
    secret: Omit<SecretRecord, 'id' | 'keyIdentifier' | 'spentOn' | 'voidedMs'>,
    secretSha256: Uint8Array,
    entry: Uint8Array,
    permit?: SecretPermit,
  ): Promise<number | 'too-many' | SpendingFault> {
    const { deviceId, product, profile, createdMs, expiresMs } = secret;
    const sql = `
      INSERT INTO enrolment_secrets
        (secret_sha256, device_id, product, profile, created_ms, expires_ms)
      VALUES ($1, $2, $3, $4, $5, $6) RETURNING id`;
    const values = [secretSha256, deviceId, product, profile, createdMs, expiresMs];
    return this.#database.transact(async (connection) => {
      const fault = permit === undefined ? undefined : await usePermit(connection, permit);
      if (fault !== undefined) return fault;
      const row = await connection.first(sql, ...values);
      await appendLeaves(connection, [entry]);
      return integer(row ?? {}, 'id');
    });
  }

  secret(secretSha256: Uint8Array): Promise<SecretRecord | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(`${selectSecret} WHERE secret_sha256 = $1`, secretSha256);
      return row === undefined ? undefined : secretOf(row);
    });
  }

  secrets(
    limit: number,
    before: number = Number.MAX_SAFE_INTEGER,
  ): Promise<readonly SecretRecord[]> {
    const sql = `${selectSecret} WHERE enrolment_secrets.id < $1
      ORDER BY enrolment_secrets.id DESC LIMIT $2`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, before, limit)).map(secretOf),
    );
  }

  bindSecret(id: number, keyIdentifier: Uint8Array): Promise<Uint8Array> {
    const sql =
      'UPDATE enrolment_secrets SET key_id = coalesce(key_id, $1) WHERE id = $2 RETURNING key_id';
    return this.#database.transact(async (connection) =>
      blob((await connection.first(sql, keyIdentifier, id)) ?? {}, 'key_id'),
    );
  }

  voidSecret(id: number, atMs: number, entry: Uint8Array): Promise<boolean> {
    return this.#logged(
      entry,
      `UPDATE enrolment_secrets SET voided_ms = $1
       WHERE id = $2 AND issuance IS NULL AND voided_ms IS NULL`,
      atMs,
      id,
    );
  }

  approval(request: ApprovalRequest): Promise<ApprovalRecord | undefined> {
    const { deviceId, keyIdentifier, profile } = request;
    const sql = `${selectApproval} WHERE device_id = $1 AND enrolment_approvals.key_id = $2
      AND enrolment_approvals.profile = $3 ORDER BY enrolment_approvals.id DESC LIMIT 1`;
    return this.#database.read(async (connection) => {
      const row = await connection.first(sql, deviceId, keyIdentifier, profile);
      return row === undefined ? undefined : approvalOf(row);
    });
  }

  askApproval(request: ApprovalRequest, most: number): Promise<boolean> {
    const { deviceId, keyIdentifier, profile, cause, requestedMs } = request;
    const sql = `
      INSERT INTO enrolment_approvals (device_id, key_id, profile, cause, requested_ms)
      SELECT $1, $2, $3, $4, $5
      WHERE (SELECT count(*) FROM enrolment_approvals WHERE device_id = $1 AND decision IS NULL) < $6`;
    const values = [deviceId, keyIdentifier, profile, cause, requestedMs, most];
    return this.#database.transact(
      async (connection) => (await connection.run(sql, ...values)) === 1,
    );
  }

  approvals(limit: number, after: number = 0): Promise<readonly ApprovalRecord[]> {
    const sql = `${selectApproval} WHERE decision IS NULL AND enrolment_approvals.id > $1
      ORDER BY enrolment_approvals.id LIMIT $2`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, after, limit)).map(approvalOf),
    );
  }

  decide(
    id: number,
    decision: ApprovalDecision,
    decidedBy: string,
    atMs: number,
    entry: Uint8Array,
  ): Promise<boolean> {
    return this.#logged(
      entry,
      `UPDATE enrolment_approvals SET decision = $1, decided_by = $2, decided_ms = $3
       WHERE id = $4 AND decision IS NULL`,
      decision,
      decidedBy,
      atMs,
      id,
    );
  }

  policies(): Promise<readonly ProfilePolicy[]> {
    return this.#database.read(async (connection) =>
      (await connection.all('SELECT * FROM enrolment_policies ORDER BY profile')).map(policyOf),
    );
  }

  savePolicy(
    { profile, approval, afterExpiry }: ProfilePolicy,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'saved' | SpendingFault> {
    const days = afterExpiry.kind === 'within' ? afterExpiry.days : null;
    return this.#database.transact(async (connection) => {
      const fault = await spend(connection, spending);
      if (fault !== undefined) return fault;
      await connection.run(upsertPolicy, profile, approval, afterExpiry.kind, days);
      await appendLeaves(connection, [entry]);
      return 'saved';
    });
  }

  /** With its audit leaf, which is not written when nothing changed. */
  #logged(entry: Uint8Array, sql: string, ...values: readonly Parameter[]): Promise<boolean> {
    return this.#database.transact(async (connection) => {
      if ((await connection.run(sql, ...values)) === 0) return false;
      await appendLeaves(connection, [entry]);
      return true;
    });
  }
}

const upsertPolicy = `
  INSERT INTO enrolment_policies VALUES ($1, $2, $3, $4)
  ON CONFLICT (profile) DO UPDATE SET approval = excluded.approval,
    after_expiry = excluded.after_expiry, expiry_days = excluded.expiry_days`;

async function usePermit(
  connection: Connection,
  permit: SecretPermit,
): Promise<'too-many' | SpendingFault | undefined> {
  if ('spending' in permit) return spend(connection, permit.spending);
  const { most, atMs } = permit;
  const select = 'SELECT value FROM settings WHERE name = $1';
  const row = await connection.first(select, soleSecretsSetting);
  const before = new SoleChanges(row && blob(row, 'value'));
  if (before.left(most, atMs) < 1) return 'too-many';
  const save = `INSERT INTO settings VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value`;
  await connection.run(save, soleSecretsSetting, before.with(1, atMs));
  return undefined;
}
