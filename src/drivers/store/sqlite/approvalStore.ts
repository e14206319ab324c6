/** Operators, roles and approvals on SQLite. */
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
  beginSpending,
  modeOf,
  operatorsOf,
  requestOf,
  selectAllRoles,
  selectOperators,
  selectRequest,
  spend,
} from './approvalRows.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { blob, integer } from './rows.ts';

export class SqliteApprovalStore implements ApprovalStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
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
    return this.#database.transact((connection) => {
      if (modeIn(connection) !== undefined) return false;
      connection
        .prepare('INSERT INTO two_person VALUES (1, ?, ?, ?)')
        .run(installation, sinceMs, massLimit);
      for (const operator of operators) insertOperator(connection, operator);
      for (const entry of entries) connection.prepare(appendLeaf).run(entry);
      return true;
    });
  }

  saveMassLimit(
    massLimit: number,
    entry: Uint8Array,
    spending: Spending,
  ): Promise<'saved' | SpendingFault> {
    return this.#database.transact((connection) => {
      const fault = spend(connection, spending);
      if (fault !== undefined) return fault;
      connection.prepare('UPDATE two_person SET mass_limit = ?').run(massLimit);
      connection.prepare(appendLeaf).run(entry);
      return 'saved';
    });
  }

  soleChangesLeft(atMs: number): Promise<number | undefined> {
    return this.#database.read((connection) => {
      const mode = modeIn(connection);
      return mode && soleChangesIn(connection).left(mode.massLimit, atMs);
    });
  }

  takeSoleChanges(devices: number, atMs: number, entries: readonly Uint8Array[]): Promise<boolean> {
    const save = 'INSERT OR REPLACE INTO settings VALUES (?, ?)';
    return this.#database.transact((connection) => {
      const mode = modeIn(connection);
      const before = soleChangesIn(connection);
      if (mode === undefined || before.left(mode.massLimit, atMs) < devices) return false;
      connection.prepare(save).run(soleChangesSetting, before.with(devices, atMs));
      for (const entry of entries) connection.prepare(appendLeaf).run(entry);
      return true;
    });
  }

  operators(): Promise<readonly OperatorRecord[]> {
    return this.#database.read(operatorsIn);
  }

  addOperator(
    operator: NewOperator,
    entry: Uint8Array,
    spending: Spending | undefined,
  ): Promise<'added' | 'taken' | SpendingFault> {
    const { name, keyIdentifier } = operator;
    const select = 'SELECT 1 FROM operators WHERE name = ? OR key_id = ?';
    return this.#database.transact((connection) => {
      if (connection.prepare(select).get(name, keyIdentifier) !== undefined) return 'taken';
      const fault = spend(connection, spending);
      if (fault !== undefined) return fault;
      insertOperator(connection, operator);
      connection.prepare(appendLeaf).run(entry);
      return 'added';
    });
  }

  renewOperator(name: string, certificate: Uint8Array, entry: Uint8Array): Promise<boolean> {
    const sql = 'UPDATE operators SET certificate = ? WHERE name = ? AND revoked_ms IS NULL';
    return this.#database.transact((connection) => {
      if (connection.prepare(sql).run(certificate, name).changes === 0) return false;
      connection.prepare(appendLeaf).run(entry);
      return true;
    });
  }

  changeRole(
    change: RoleChange,
    spending: Spending | undefined,
  ): Promise<RoleOutcome | SpendingFault> {
    return this.#database.transact((connection) => {
      const fault = faultOfRole(operatorsIn(connection), change) ?? spend(connection, spending);
      if (fault !== undefined) return fault;
      const { name, role, atMs, entry } = change;
      connection
        .prepare(change.change === 'grant' ? grantRole : withdrawRole)
        .run(...(change.change === 'grant' ? [role, atMs, name] : [atMs, role, name]));
      connection.prepare(appendLeaf).run(entry);
      return 'changed';
    });
  }

  revokeOperator(
    { name, atMs, entry }: Pick<RoleChange, 'name' | 'atMs' | 'entry'>,
    spending: Spending | undefined,
  ): Promise<RoleOutcome | SpendingFault> {
    const lost = { name, role: 'admin', change: 'withdraw' } as const;
    return this.#database.transact((connection) => {
      const fault = faultOfRole(operatorsIn(connection), lost) ?? spend(connection, spending);
      if (fault !== undefined) return fault;
      connection.prepare('UPDATE operators SET revoked_ms = ? WHERE name = ?').run(atMs, name);
      connection.prepare(appendLeaf).run(entry);
      return 'changed';
    });
  }

  request(id: Uint8Array): Promise<RequestRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare(`${selectRequest} WHERE sha256 = ?`).get(id);
      return row === undefined ? undefined : requestOf(row);
    });
  }

  requests(limit: number, before?: Uint8Array): Promise<readonly RequestRecord[]> {
    const ids = before === undefined ? [] : [before];
    const older =
      ids.length === 0 ? '' : 'WHERE approvals.id < (SELECT id FROM approvals WHERE sha256 = ?)';
    const sql = `${selectRequest} ${older} ORDER BY approvals.id DESC LIMIT ?`;
    return this.#database.read((connection) =>
      connection
        .prepare(sql)
        .all(...ids, limit)
        .map(requestOf),
    );
  }

  addRequest(
    request: NewRequest,
    most: number,
    entry: Uint8Array,
  ): Promise<'added' | 'known' | 'too-many'> {
    const { id, act, requester, signed, takenMs, expiresMs } = request;
    return this.#database.transact((connection) => {
      if (connection.prepare('SELECT 1 FROM approvals WHERE sha256 = ?').get(id)) return 'known';
      const row = connection.prepare(countWaiting).get(requester, takenMs);
      if (integer(row ?? {}, 'waiting') >= most) return 'too-many';
      connection.prepare(insertRequest).run(id, act, requester, signed, takenMs, expiresMs);
      connection.prepare(appendLeaf).run(entry);
      return 'added';
    });
  }

  decide(
    id: Uint8Array,
    { decision, by, signed, atMs }: DecisionRecord,
    entry: Uint8Array,
  ): Promise<boolean> {
    return this.#database.transact((connection) => {
      const { changes } = connection.prepare(decideRequest).run(decision, by, signed, atMs, id);
      if (changes === 0) return false;
      connection.prepare(appendLeaf).run(entry);
      return true;
    });
  }

  begin(spending: Spending): Promise<'begun' | 'resumed' | SpendingFault> {
    return this.#database.transact((connection) => beginSpending(connection, spending));
  }

  async finish(id: Uint8Array, atMs: number): Promise<void> {
    const sql =
      'UPDATE approvals SET done_ms = ? WHERE sha256 = ? AND spent_ms IS NOT NULL AND done_ms IS NULL';
    await this.#database.transact((connection) => connection.prepare(sql).run(atMs, id));
  }
}

function modeIn(connection: Connection): TwoPersonMode | undefined {
  const row = connection.prepare('SELECT * FROM two_person').get();
  return row === undefined ? undefined : modeOf(row);
}

function soleChangesIn(connection: Connection): SoleChanges {
  const row = connection
    .prepare('SELECT value FROM settings WHERE name = ?')
    .get(soleChangesSetting);
  return new SoleChanges(row && blob(row, 'value'));
}

function operatorsIn(connection: Connection): readonly OperatorRecord[] {
  const roles = connection.prepare(selectAllRoles).all();
  return operatorsOf(connection.prepare(selectOperators).all(), roles);
}

function insertOperator(connection: Connection, operator: NewOperator): void {
  const { name, certificate, keyIdentifier, addedMs, roles } = operator;
  connection
    .prepare('INSERT INTO operators (name, certificate, key_id, added_ms) VALUES (?, ?, ?, ?)')
    .run(name, certificate, keyIdentifier, addedMs);
  for (const role of roles) connection.prepare(grantRole).run(role, addedMs, name);
}

/** A role that is held already stays held since then. */
const grantRole = `
  INSERT OR IGNORE INTO operator_roles (operator, role, granted_ms)
  SELECT id, ?, ? FROM operators WHERE name = ?`;

const withdrawRole = `
  UPDATE operator_roles SET withdrawn_ms = ?
  WHERE role = ? AND withdrawn_ms IS NULL AND operator = (SELECT id FROM operators WHERE name = ?)`;

const countWaiting = `
  SELECT count(*) AS waiting FROM approvals
  WHERE requester = (SELECT id FROM operators WHERE name = ?)
    AND decision IS NULL AND spent_ms IS NULL AND expires_ms > ?`;

const insertRequest = `
  INSERT INTO approvals (sha256, act, requester, signed, taken_ms, expires_ms)
  VALUES (?, ?, (SELECT id FROM operators WHERE name = ?), ?, ?, ?)`;

const decideRequest = `
  UPDATE approvals SET decision = ?, decided_by = (SELECT id FROM operators WHERE name = ?),
    decision_signed = ?, decided_ms = ?
  WHERE sha256 = ? AND decision IS NULL AND spent_ms IS NULL`;
