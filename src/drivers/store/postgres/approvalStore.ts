/** Operators, roles and approvals on PostgreSQL. */
import { faultOfRole } from '../../../trust/ports/approvalRules.ts';
import type {
  ApprovalStore,
  DecisionRecord,
  NewOperator,
  NewRequest,
  OperatorRecord,
  RequestRecord,
  RoleChange,
  RoleOutcome,
  Spending,
  SpendingFault,
  TwoPersonMode,
} from '../../../trust/ports/approvalStore.ts';
import { SoleChanges, soleChangesSetting } from '../../../trust/ports/soleChanges.ts';
import {
  modeOf,
  operatorsOf,
  requestOf,
  selectAllRoles,
  selectOperators,
  selectRequest,
} from '../sqlite/approvalRows.ts';
import { blob, integer } from '../sqlite/rows.ts';
import { beginSpending, spend } from './approvalRows.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection } from './connection.ts';
import type { PostgresDatabase } from './database.ts';

export class PostgresApprovalStore implements ApprovalStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  mode(): Promise<TwoPersonMode | undefined> {
    return this.#database.read(modeIn);
  }

  switchOn(
    { installation, sinceMs, massLimit }: TwoPersonMode,
    operators: readonly NewOperator[],
    entries: readonly Uint8Array[],
  ): Promise<boolean> {
    return this.#database.transact(async (connection) => {
      if ((await modeIn(connection)) !== undefined) return false;
      const sql = 'INSERT INTO two_person VALUES (1, $1, $2, $3)';
      await connection.run(sql, installation, sinceMs, massLimit);
      for (const operator of operators) await insertOperator(connection, operator);
      await appendLeaves(connection, entries);
      return true;
    });
  }

  saveMassLimit(
    massLimit: number,
    entry: Uint8Array,
    spending: Spending,
  ): Promise<'saved' | SpendingFault> {
    return this.#database.transact(async (connection) => {
      const fault = await spend(connection, spending);
      if (fault !== undefined) return fault;
      await connection.run('UPDATE two_person SET mass_limit = $1', massLimit);
      await appendLeaves(connection, [entry]);
      return 'saved';
    });
  }

  soleChangesLeft(atMs: number): Promise<number | undefined> {
    return this.#database.snapshot(async (connection) => {
      const mode = await modeIn(connection);
      return mode && (await soleChangesIn(connection)).left(mode.massLimit, atMs);
    });
  }

  takeSoleChanges(devices: number, atMs: number, entries: readonly Uint8Array[]): Promise<boolean> {
    const save = `INSERT INTO settings VALUES ($1, $2)
      ON CONFLICT (name) DO UPDATE SET value = excluded.value`;
    return this.#database.transact(async (connection) => {
      const mode = await modeIn(connection);
      const before = await soleChangesIn(connection);
      if (mode === undefined || before.left(mode.massLimit, atMs) < devices) return false;
      await connection.run(save, soleChangesSetting, before.with(devices, atMs));
      await appendLeaves(connection, entries);
      return true;
    });
  }

  operators(): Promise<readonly OperatorRecord[]> {
    return this.#database.snapshot(operatorsIn);
  }

  addOperator(
    operator: NewOperator,
    entry: Uint8Array,
    spending: Spending | undefined,
  ): Promise<'added' | 'taken' | SpendingFault> {
    const { name, keyIdentifier } = operator;
    const select = 'SELECT 1 FROM operators WHERE name = $1 OR key_id = $2';
    return this.#database.transact(async (connection) => {
      if ((await connection.first(select, name, keyIdentifier)) !== undefined) return 'taken';
      const fault = await spend(connection, spending);
      if (fault !== undefined) return fault;
      await insertOperator(connection, operator);
      await appendLeaves(connection, [entry]);
      return 'added';
    });
  }

  renewOperator(name: string, certificate: Uint8Array, entry: Uint8Array): Promise<boolean> {
    const sql = 'UPDATE operators SET certificate = $1 WHERE name = $2 AND revoked_ms IS NULL';
    return this.#database.transact(async (connection) => {
      if ((await connection.run(sql, certificate, name)) === 0) return false;
      await appendLeaves(connection, [entry]);
      return true;
    });
  }

  changeRole(
    change: RoleChange,
    spending: Spending | undefined,
  ): Promise<RoleOutcome | SpendingFault> {
    return this.#database.transact(async (connection) => {
      const fault =
        faultOfRole(await operatorsIn(connection), change) ?? (await spend(connection, spending));
      if (fault !== undefined) return fault;
      const { name, role, atMs, entry } = change;
      const sql = change.change === 'grant' ? grantRole : withdrawRole;
      await connection.run(sql, role, atMs, name);
      await appendLeaves(connection, [entry]);
      return 'changed';
    });
  }

  revokeOperator(
    { name, atMs, entry }: Pick<RoleChange, 'name' | 'atMs' | 'entry'>,
    spending: Spending | undefined,
  ): Promise<RoleOutcome | SpendingFault> {
    const lost = { name, role: 'admin', change: 'withdraw' } as const;
    return this.#database.transact(async (connection) => {
      const fault =
        faultOfRole(await operatorsIn(connection), lost) ?? (await spend(connection, spending));
      if (fault !== undefined) return fault;
      await connection.run('UPDATE operators SET revoked_ms = $1 WHERE name = $2', atMs, name);
      await appendLeaves(connection, [entry]);
      return 'changed';
    });
  }

  request(id: Uint8Array): Promise<RequestRecord | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(`${selectRequest} WHERE sha256 = $1`, id);
      return row === undefined ? undefined : requestOf(row);
    });
  }

  requests(limit: number, before?: Uint8Array): Promise<readonly RequestRecord[]> {
    const ids = before === undefined ? [] : [before];
    const older =
      ids.length === 0 ? '' : 'WHERE approvals.id < (SELECT id FROM approvals WHERE sha256 = $2)';
    const sql = `${selectRequest} ${older} ORDER BY approvals.id DESC LIMIT $1`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, limit, ...ids)).map(requestOf),
    );
  }

  addRequest(
    request: NewRequest,
    most: number,
    entry: Uint8Array,
  ): Promise<'added' | 'known' | 'too-many'> {
    const { id, act, requester, signed, takenMs, expiresMs } = request;
    const known = 'SELECT 1 FROM approvals WHERE sha256 = $1';
    return this.#database.transact(async (connection) => {
      if ((await connection.first(known, id)) !== undefined) return 'known';
      const row = await connection.first(countWaiting, requester, takenMs);
      if (integer(row ?? {}, 'waiting') >= most) return 'too-many';
      await connection.run(insertRequest, id, act, requester, signed, takenMs, expiresMs);
      await appendLeaves(connection, [entry]);
      return 'added';
    });
  }

  decide(
    id: Uint8Array,
    { decision, by, signed, atMs }: DecisionRecord,
    entry: Uint8Array,
  ): Promise<boolean> {
    return this.#database.transact(async (connection) => {
      const changes = await connection.run(decideRequest, decision, by, signed, atMs, id);
      if (changes === 0) return false;
      await appendLeaves(connection, [entry]);
      return true;
    });
  }

  begin(spending: Spending): Promise<'begun' | 'resumed' | SpendingFault> {
    return this.#database.transact((connection) => beginSpending(connection, spending));
  }

  async finish(id: Uint8Array, atMs: number): Promise<void> {
    const sql =
      'UPDATE approvals SET done_ms = $1 WHERE sha256 = $2 AND spent_ms IS NOT NULL AND done_ms IS NULL';
    await this.#database.transact((connection) => connection.run(sql, atMs, id));
  }
}

async function modeIn(connection: Connection): Promise<TwoPersonMode | undefined> {
  const row = await connection.first('SELECT * FROM two_person');
  return row === undefined ? undefined : modeOf(row);
}

async function soleChangesIn(connection: Connection): Promise<SoleChanges> {
  const sql = 'SELECT value FROM settings WHERE name = $1';
  const row = await connection.first(sql, soleChangesSetting);
  return new SoleChanges(row && blob(row, 'value'));
}

async function operatorsIn(connection: Connection): Promise<readonly OperatorRecord[]> {
  const roles = await connection.all(selectAllRoles);
  return operatorsOf(await connection.all(selectOperators), roles);
}

async function insertOperator(connection: Connection, operator: NewOperator): Promise<void> {
  const { name, certificate, keyIdentifier, addedMs, roles } = operator;
  const sql = 'INSERT INTO operators (name, certificate, key_id, added_ms) VALUES ($1, $2, $3, $4)';
  await connection.run(sql, name, certificate, keyIdentifier, addedMs);
  for (const role of roles) await connection.run(grantRole, role, addedMs, name);
}

/** A role that is held already stays held since then. */
const grantRole = `
  INSERT INTO operator_roles (operator, role, granted_ms)
  SELECT id, $1, $2 FROM operators WHERE name = $3 ON CONFLICT DO NOTHING`;

const withdrawRole = `
  UPDATE operator_roles SET withdrawn_ms = $2
  WHERE role = $1 AND withdrawn_ms IS NULL AND operator = (SELECT id FROM operators WHERE name = $3)`;

const countWaiting = `
  SELECT count(*) AS waiting FROM approvals
  WHERE requester = (SELECT id FROM operators WHERE name = $1)
    AND decision IS NULL AND spent_ms IS NULL AND expires_ms > $2`;

const insertRequest = `
  INSERT INTO approvals (sha256, act, requester, signed, taken_ms, expires_ms)
  VALUES ($1, $2, (SELECT id FROM operators WHERE name = $3), $4, $5, $6)`;

const decideRequest = `
  UPDATE approvals SET decision = $1, decided_by = (SELECT id FROM operators WHERE name = $2),
    decision_signed = $3, decided_ms = $4
  WHERE sha256 = $5 AND decision IS NULL AND spent_ms IS NULL`;
