/** The registry on SQLite. Every write is one member of a group commit: atomic by itself, durable together. */
import {
  type AuthorityNotice,
  type CertificateChange,
  certificateChange,
  type CertificateEntry,
  type CertificateRecord,
  type CertificateState,
  type DevicePage,
  type DeviceRecord,
  type DeviceRole,
  type DeviceState,
  deviceStates,
  type EnrolmentOutcome,
  type ForeignAuthority,
  type ImportedDevice,
  type ImportOutcome,
  type RegistryStore,
  renewed,
  type RevokedDevice,
} from '../../../trust/ports/registryStore.ts';
import { toHex } from '../../../wire/bytes/hex.ts';
import type { RevocationReason } from '../../../wire/crl/reason.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { importAll } from './registryImport.ts';
import { certificateOf, deviceOf, foreignAuthorityOf, noticeOf } from './registryTables.ts';
import { blob, integer, optionalInteger, text, word } from './rows.ts';

export class SqliteRegistryStore implements RegistryStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `provisionerMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  device(deviceId: string): Promise<DeviceRecord | undefined> {
    return this.#database.read((connection) => deviceById(connection, deviceId));
  }

  deviceByUid(family: string, uid: Uint8Array): Promise<DeviceRecord | undefined> {
    const sql = 'SELECT * FROM device WHERE family = ? AND uid = ?';
    return this.#database.read((connection) => {
      const row = connection.prepare(sql).get(family, uid);
      return row === undefined ? undefined : deviceOf(row);
    });
  }

  deviceByLinkAddress(eui64: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare('SELECT * FROM device WHERE eui64 = ?').get(eui64);
      return row === undefined ? undefined : deviceOf(row);
    });
  }

  deviceBySignKey(spki: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare('SELECT * FROM device WHERE sign_key = ?').get(spki);
      return row === undefined ? undefined : deviceOf(row);
    });
  }

  deviceByAgreeKey(agreeKey: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#database.read((connection) => {
      const row = connection.prepare('SELECT * FROM device WHERE agree_key = ?').get(agreeKey);
      return row === undefined ? undefined : deviceOf(row);
    });
  }

  devicesByKid(kid: Uint8Array, limit: number): Promise<readonly DeviceRecord[]> {
    const sql = `SELECT * FROM device WHERE kid = ? AND state IN ('released', 'enrolled')
      AND held_ms IS NULL ORDER BY device_id LIMIT ?`;
    return this.#database.read((connection) =>
      connection.prepare(sql).all(kid, limit).map(deviceOf),
    );
  }

  devices({ limit, after = '', state }: DevicePage): Promise<readonly DeviceRecord[]> {
    return this.#database.read((connection) => {
      const rows =
        state === undefined
          ? connection
              .prepare('SELECT * FROM device WHERE device_id > ? ORDER BY device_id LIMIT ?')
              .all(after, limit)
          : connection
              .prepare(
                `SELECT * FROM device WHERE state = ? AND device_id > ? ORDER BY device_id LIMIT ?`,
              )
              .all(state, after, limit);
      return rows.map(deviceOf);
    });
  }

  deviceIdsOf(
    by: 'product' | 'family',
    name: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly string[]> {
    return this.#database.read((connection) =>
      connection
        .prepare(selectIds[by])
        .all(name, after ?? '', limit)
        .map((row) => text(row, 'device_id')),
    );
  }

  countDevices(): Promise<Readonly<Record<DeviceState, number>>> {
    return this.#database.read((connection) => {
      const counts = { expected: 0, released: 0, enrolled: 0, revoked: 0 };
      const sql = 'SELECT state, count(*) AS devices FROM device GROUP BY state';
      for (const row of connection.prepare(sql).all()) {
        counts[word(row, 'state', deviceStates)] = integer(row, 'devices');
      }
      return counts;
    });
  }

  certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined> {
    return this.#database.read((connection) => certificateByHash(connection, sha256));
  }

  certificatesOf(holder: string): Promise<readonly CertificateRecord[]> {
    const sql = 'SELECT * FROM certificate WHERE holder = ? ORDER BY sequence';
    return this.#database.read((connection) =>
      connection.prepare(sql).all(holder).map(certificateOf),
    );
  }

  importDevices(devices: readonly ImportedDevice[], nowMs: number): Promise<ImportOutcome> {
    return importAll(this.#database, devices, nowMs);
  }

  releaseDevices(deviceIds: readonly string[]): Promise<number> {
    const sql = `UPDATE device SET state = 'released' WHERE device_id = ? AND state = 'expected'`;
    return this.#database.transact((connection) =>
      sum(deviceIds.map((deviceId) => connection.prepare(sql).run(deviceId).changes)),
    );
  }

  setProductRole(product: string, role: DeviceRole): Promise<number> {
    return this.#database.transact((connection) => {
      connection
        .prepare(
          'INSERT INTO product VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET role = excluded.role',
        )
        .run(product, role);
      const sql = 'UPDATE device SET role = ? WHERE product = ? AND role <> ?';
      return Number(connection.prepare(sql).run(role, product, role).changes);
    });
  }

  addCertificate(entry: CertificateEntry, nowMs: number): Promise<'added' | 'unchanged' | 'taken'> {
    return this.#database.transact((connection) => putCertificate(connection, entry, nowMs));
  }

  enrolDevice(
    entry: CertificateEntry,
    nowMs: number,
    beside?: readonly Uint8Array[],
  ): Promise<EnrolmentOutcome> {
    return this.#database.transact((connection) => {
      const known = certificateByHash(connection, entry.sha256);
      if (known !== undefined && !sameHolder(known, entry)) return 'taken';
      const outcome = enrol(connection, entry.holder, nowMs);
      if (outcome !== 'enrolled') return outcome;
      putCertificate(connection, entry, nowMs);
      if (beside !== undefined) supersedeAllBut(connection, entry, beside);
      return outcome;
    });
  }

  markEnrolled(deviceId: string, nowMs: number): Promise<EnrolmentOutcome> {
    return this.#database.transact((connection) => enrol(connection, deviceId, nowMs));
  }

  supersedeOlder(holder: string, sha256: Uint8Array, nowMs: number): Promise<number> {
    return this.#database.transact((connection) => {
      const older = connection.prepare(selectOlder).all(holder, sha256);
      for (const row of older) {
        const subject = blob(row, 'sha256');
        connection.prepare(supersede).run(subject);
        notify(connection, {
          act: 'revoke-certificate',
          subject: toHex(subject),
          holder,
          ...renewed,
          atMs: nowMs,
        });
      }
      return older.length;
    });
  }

  setCertificateState(
    sha256: Uint8Array,
    state: 'active' | 'held' | 'revoked',
    reason: string,
    nowMs: number,
    code: RevocationReason = 'unspecified',
  ): Promise<CertificateChange> {
    return this.#database.transact((connection) => {
      const known = certificateByHash(connection, sha256);
      if (known === undefined) return 'unknown';
      const change = certificateChange(known.state, state);
      if (change !== 'changed') return change;
      const revokedMs = state === 'revoked' ? nowMs : null;
      connection
        .prepare(
          'UPDATE certificate SET state = ?, revoked_ms = ?, revocation_reason = ? WHERE sha256 = ?',
        )
        .run(state, revokedMs, state === 'active' ? null : reason, sha256);
      notify(connection, {
        act: 'revoke-certificate',
        subject: toHex(sha256),
        holder: known.holder,
        code: codes[state] ?? code,
        reason,
        atMs: nowMs,
      });
      return 'changed';
    });
  }

  revokeDevices(
    deviceIds: readonly string[],
    reason: string,
    nowMs: number,
    code: RevocationReason = 'unspecified',
  ): Promise<readonly RevokedDevice[]> {
    return this.#database.transact((connection) =>
      deviceIds.flatMap((deviceId) => revoke(connection, deviceId, { code, reason, nowMs }) ?? []),
    );
  }

  setHold(
    deviceIds: readonly string[],
    held: boolean,
    reason: string,
    nowMs: number,
  ): Promise<readonly RevokedDevice[]> {
    const act = held ? hold : reinstate;
    return this.#database.transact((connection) =>
      deviceIds.flatMap((deviceId) => act(connection, deviceId, reason, nowMs) ?? []),
    );
  }

  foreignAuthorities(): Promise<readonly ForeignAuthority[]> {
    const sql = 'SELECT * FROM foreign_authority ORDER BY sequence';
    return this.#database.read((connection) =>
      connection.prepare(sql).all().map(foreignAuthorityOf),
    );
  }

  addForeignAuthorities(authorities: readonly ForeignAuthority[], nowMs: number): Promise<number> {
    const sql = `INSERT INTO foreign_authority (role, certificate, added_ms) VALUES (?, ?, ?)
      ON CONFLICT (certificate) DO NOTHING`;
    return this.#database.transact((connection) =>
      sum(
        authorities.map(
          ({ role, certificate }) => connection.prepare(sql).run(role, certificate, nowMs).changes,
        ),
      ),
    );
  }

  lastManifest(): Promise<number> {
    return this.#database.read((connection) => {
      const row = connection.prepare('SELECT sequence FROM manifest_import').get();
      return row === undefined ? 0 : integer(row, 'sequence');
    });
  }

  async noteManifest(sequence: number): Promise<void> {
    const sql = 'UPDATE manifest_import SET sequence = max(sequence, ?)';
    await this.#database.transact((connection) => connection.prepare(sql).run(sequence));
  }

  pendingNotices(limit: number, after = 0): Promise<readonly AuthorityNotice[]> {
    const sql = 'SELECT * FROM notice WHERE sequence > ? ORDER BY sequence LIMIT ?';
    return this.#database.read((connection) =>
      connection.prepare(sql).all(after, limit).map(noticeOf),
    );
  }

  settleNotices(sequences: readonly number[]): Promise<void> {
    return this.#database.transact((connection) => {
      const statement = connection.prepare('DELETE FROM notice WHERE sequence = ?');
      for (const sequence of sequences) statement.run(sequence);
    });
  }
}

// The unary plus keeps the walk on the primary key: one pass over all pages, sorted as it is.
const selectIds = {
  product: `SELECT device_id FROM device
    WHERE +product = ? AND device_id > ? ORDER BY device_id LIMIT ?`,
  family: `SELECT device_id FROM device
    WHERE +family = ? AND device_id > ? ORDER BY device_id LIMIT ?`,
} as const;

function deviceById(connection: Connection, deviceId: string): DeviceRecord | undefined {
  const row = connection.prepare('SELECT * FROM device WHERE device_id = ?').get(deviceId);
  return row === undefined ? undefined : deviceOf(row);
}

function certificateByHash(
  connection: Connection,
  sha256: Uint8Array,
): CertificateRecord | undefined {
  const row = connection.prepare('SELECT * FROM certificate WHERE sha256 = ?').get(sha256);
  return row === undefined ? undefined : certificateOf(row);
}

function putCertificate(
  connection: Connection,
  entry: CertificateEntry,
  nowMs: number,
): 'added' | 'unchanged' | 'taken' {
  const known = certificateByHash(connection, entry.sha256);
  if (known !== undefined) return sameHolder(known, entry) ? 'unchanged' : 'taken';
  connection
    .prepare(
      `INSERT INTO certificate (sha256, kind, holder, not_after_ms, state, added_ms)
       VALUES (?, ?, ?, ?, 'active', ?)`,
    )
    .run(entry.sha256, entry.kind, entry.holder, entry.notAfterMs ?? null, nowMs);
  return 'added';
}

function supersedeAllBut(
  connection: Connection,
  { holder, sha256 }: CertificateEntry,
  beside: readonly Uint8Array[],
): void {
  const kept = new Set([sha256, ...beside].map(toHex));
  for (const row of connection.prepare(selectLiving).all(holder)) {
    const other = blob(row, 'sha256');
    if (!kept.has(toHex(other))) connection.prepare(supersede).run(other);
  }
}

const selectLiving = `SELECT sha256 FROM certificate
  WHERE holder = ? AND kind = 'ldevid' AND state IN ('active', 'held')`;

const selectOlder = `${selectLiving}
  AND sequence < (SELECT sequence FROM certificate WHERE sha256 = ?) ORDER BY sequence`;

const supersede = `UPDATE certificate SET state = 'superseded' WHERE sha256 = ?`;

function enrol(connection: Connection, deviceId: string, nowMs: number): EnrolmentOutcome {
  const row = connection
    .prepare('SELECT state, held_ms FROM device WHERE device_id = ?')
    .get(deviceId);
  if (row === undefined) return 'unknown-device';
  const state = word(row, 'state', deviceStates);
  if (state === 'revoked') return 'revoked';
  if (state === 'expected') return 'not-released';
  if (optionalInteger(row, 'held_ms') !== undefined) return 'held';
  if (state === 'released') {
    connection
      .prepare(`UPDATE device SET state = 'enrolled', enrolled_ms = ? WHERE device_id = ?`)
      .run(nowMs, deviceId);
  }
  return 'enrolled';
}

function revoke(
  connection: Connection,
  deviceId: string,
  { code, reason, nowMs }: { code: RevocationReason; reason: string; nowMs: number },
): RevokedDevice | undefined {
  const device = deviceById(connection, deviceId);
  if (device === undefined) return undefined;
  const changed = device.state !== 'revoked';
  if (changed) {
    connection
      .prepare(
        `UPDATE device SET state = 'revoked', revoked_ms = ?, revocation_reason = ?, held_ms = NULL
         WHERE device_id = ?`,
      )
      .run(nowMs, reason, deviceId);
    notifyOfDevice(connection, deviceId, code, reason, nowMs);
  }
  connection
    .prepare(
      `UPDATE certificate SET state = 'revoked', revoked_ms = ?, revocation_reason = ?
       WHERE holder = ? AND state <> 'revoked'`,
    )
    .run(nowMs, reason, deviceId);
  return { deviceId, changed, certificates: hashesOf(connection, deviceId) };
}

function hold(
  connection: Connection,
  deviceId: string,
  reason: string,
  nowMs: number,
): RevokedDevice | undefined {
  const device = deviceById(connection, deviceId);
  if (device === undefined) return undefined;
  const changed = device.state !== 'revoked' && device.heldMs === undefined;
  if (changed) {
    connection.prepare('UPDATE device SET held_ms = ? WHERE device_id = ?').run(nowMs, deviceId);
    connection
      .prepare(
        `UPDATE certificate SET state = 'held', revocation_reason = ?
         WHERE holder = ? AND state = 'active'`,
      )
      .run(reason, deviceId);
    notifyOfDevice(connection, deviceId, 'certificateHold', reason, nowMs);
  }
  return { deviceId, changed, certificates: hashesOf(connection, deviceId) };
}

function reinstate(
  connection: Connection,
  deviceId: string,
  reason: string,
  nowMs: number,
): RevokedDevice | undefined {
  const device = deviceById(connection, deviceId);
  if (device === undefined) return undefined;
  const changed = device.heldMs !== undefined;
  if (changed) {
    connection.prepare('UPDATE device SET held_ms = NULL WHERE device_id = ?').run(deviceId);
    connection
      .prepare(
        `UPDATE certificate SET state = 'active', revocation_reason = NULL
         WHERE holder = ? AND state = 'held'`,
      )
      .run(deviceId);
    notifyOfDevice(connection, deviceId, 'removeFromCRL', reason, nowMs);
  }
  return { deviceId, changed, certificates: hashesOf(connection, deviceId) };
}

function hashesOf(connection: Connection, holder: string): readonly Uint8Array[] {
  return connection
    .prepare('SELECT sha256 FROM certificate WHERE holder = ? ORDER BY sequence')
    .all(holder)
    .map((row) => blob(row, 'sha256'));
}

function notifyOfDevice(
  connection: Connection,
  deviceId: string,
  code: RevocationReason,
  reason: string,
  atMs: number,
): void {
  const notice = { subject: deviceId, holder: deviceId, code, reason, atMs };
  notify(connection, { act: 'revoke-device', ...notice });
}

/** What the authority's lists call a state; the reason of a revocation is given with it. */
const codes: Readonly<Partial<Record<CertificateState, RevocationReason>>> = {
  active: 'removeFromCRL',
  held: 'certificateHold',
};

function notify(connection: Connection, notice: Omit<AuthorityNotice, 'sequence'>): void {
  connection
    .prepare(
      'INSERT INTO notice (act, subject, holder, code, reason, at_ms) VALUES (?, ?, ?, ?, ?, ?)',
    )
    .run(
      notice.act,
      notice.subject,
      notice.holder ?? null,
      notice.code,
      notice.reason,
      notice.atMs,
    );
}

export function sameHolder(left: CertificateEntry, right: CertificateEntry): boolean {
  return left.holder === right.holder && left.kind === right.kind;
}

function sum(changes: ReadonlyArray<number | bigint>): number {
  return changes.reduce<number>((total, change) => total + Number(change), 0);
}
