/** The registry on PostgreSQL. Every write is one member of a group commit: atomic by itself, durable together. */
import {
  type AuthorityNotice,
  type CertificateChange,
  certificateChange,
  type CertificateEntry,
  type CertificateRecord,
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
import { sameHolder } from '../sqlite/registryStore.ts';
import { certificateOf, deviceOf, foreignAuthorityOf, noticeOf } from '../sqlite/registryTables.ts';
import { blob, integer, text, word } from '../sqlite/rows.ts';
import type { Connection, Parameter } from './connection.ts';
import type { PostgresDatabase } from './database.ts';
import { changeDevices, insertNotices } from './deviceStates.ts';
import { importAll } from './registryImport.ts';

export class PostgresRegistryStore implements RegistryStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `provisionerMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  device(deviceId: string): Promise<DeviceRecord | undefined> {
    return this.#device(selectDevice, deviceId);
  }

  deviceByUid(family: string, uid: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#device('SELECT * FROM device WHERE family = $1 AND uid = $2', family, uid);
  }

  deviceByLinkAddress(eui64: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#device('SELECT * FROM device WHERE eui64 = $1', eui64);
  }

  deviceBySignKey(spki: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#device('SELECT * FROM device WHERE sign_key = $1', spki);
  }

  deviceByAgreeKey(agreeKey: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#device('SELECT * FROM device WHERE agree_key = $1', agreeKey);
  }

  devicesByKid(kid: Uint8Array, limit: number): Promise<readonly DeviceRecord[]> {
    const sql = `SELECT * FROM device WHERE kid = $1 AND state IN ('released', 'enrolled')
      AND held_ms IS NULL ORDER BY device_id LIMIT $2`;
    return this.#database.read(async (connection) =>
      (await connection.all(sql, kid, limit)).map(deviceOf),
    );
  }

  devices({ limit, after = '', state }: DevicePage): Promise<readonly DeviceRecord[]> {
    return this.#database.read(async (connection) => {
      const rows =
        state === undefined
          ? await connection.all(selectPage, after, limit)
          : await connection.all(selectPageOfState, state, after, limit);
      return rows.map(deviceOf);
    });
  }

  deviceIdsOf(
    by: 'product' | 'family',
    name: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly string[]> {
    return this.#database.read(async (connection) =>
      (await connection.all(selectIds[by], name, after ?? '', limit)).map((row) =>
        text(row, 'device_id'),
      ),
    );
  }

  countDevices(): Promise<Readonly<Record<DeviceState, number>>> {
    const sql = 'SELECT state, count(*) AS devices FROM device GROUP BY state';
    return this.#database.read(async (connection) => {
      const counts = { expected: 0, released: 0, enrolled: 0, revoked: 0 };
      for (const row of await connection.all(sql)) {
        counts[word(row, 'state', deviceStates)] = integer(row, 'devices');
      }
      return counts;
    });
  }

  certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined> {
    return this.#database.read((connection) => certificateByHash(connection, sha256));
  }

  certificatesOf(holder: string): Promise<readonly CertificateRecord[]> {
    const sql = 'SELECT * FROM certificate WHERE holder = $1 ORDER BY sequence';
    return this.#database.read(async (connection) =>
      (await connection.all(sql, holder)).map(certificateOf),
    );
  }

  importDevices(devices: readonly ImportedDevice[], nowMs: number): Promise<ImportOutcome> {
    return this.#database.transact((connection) => importAll(connection, devices, nowMs));
  }

  releaseDevices(deviceIds: readonly string[]): Promise<number> {
    return this.#change(
      `UPDATE device SET state = 'released' WHERE device_id = ANY ($1::text[]) AND state = 'expected'`,
      deviceIds,
    );
  }

  setProductRole(product: string, role: DeviceRole): Promise<number> {
    return this.#database.transact(async (connection) => {
      await connection.run(
        `INSERT INTO product VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET role = excluded.role`,
        product,
        role,
      );
      const sql = 'UPDATE device SET role = $1 WHERE product = $2 AND role <> $1';
      return connection.run(sql, role, product);
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
    return this.#database.transact(async (connection) => {
      const known = await certificateByHash(connection, entry.sha256);
      if (known !== undefined && !sameHolder(known, entry)) return 'taken';
      const outcome = await enrol(connection, entry.holder, nowMs);
      if (outcome !== 'enrolled') return outcome;
      await putCertificate(connection, entry, nowMs);
      if (beside !== undefined) {
        await connection.run(supersedeOthers, entry.holder, [entry.sha256, ...beside]);
      }
      return outcome;
    });
  }

  markEnrolled(deviceId: string, nowMs: number): Promise<EnrolmentOutcome> {
    return this.#database.transact((connection) => enrol(connection, deviceId, nowMs));
  }

  supersedeOlder(holder: string, sha256: Uint8Array, nowMs: number): Promise<number> {
    return this.#database.transact(async (connection) => {
      const older = await connection.all(supersedeOlder, holder, sha256);
      const about = older.map((row) => ({ subject: toHex(blob(row, 'sha256')), holder }));
      await insertNotices(connection, about, {
        act: 'revoke-certificate',
        ...renewed,
        atMs: nowMs,
      });
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
    return this.#database.transact(async (connection) => {
      const known = await certificateByHash(connection, sha256);
      if (known === undefined) return 'unknown';
      const change = certificateChange(known.state, state);
      if (change !== 'changed') return change;
      await connection.run(
        `UPDATE certificate SET state = $1, revoked_ms = $2, revocation_reason = $3
         WHERE sha256 = $4`,
        state,
        state === 'revoked' ? nowMs : null,
        state === 'active' ? null : reason,
        sha256,
      );
      const told = { revoked: code, held: 'certificateHold', active: 'removeFromCRL' } as const;
      const { holder } = known;
      const about = [{ subject: toHex(sha256), holder }];
      const notice = { act: 'revoke-certificate', code: told[state], reason, atMs: nowMs } as const;
      await insertNotices(connection, about, notice);
      return 'changed';
    });
  }

  revokeDevices(
    deviceIds: readonly string[],
    reason: string,
    nowMs: number,
    code: RevocationReason = 'unspecified',
  ): Promise<readonly RevokedDevice[]> {
    const change = { to: 'revoked', code, reason, nowMs } as const;
    return this.#database.transact((connection) => changeDevices(connection, deviceIds, change));
  }

  setHold(
    deviceIds: readonly string[],
    held: boolean,
    reason: string,
    nowMs: number,
  ): Promise<readonly RevokedDevice[]> {
    const change = held
      ? ({ to: 'held', code: 'certificateHold', reason, nowMs } as const)
      : ({ to: 'active', code: 'removeFromCRL', reason, nowMs } as const);
    return this.#database.transact((connection) => changeDevices(connection, deviceIds, change));
  }

  foreignAuthorities(): Promise<readonly ForeignAuthority[]> {
    const sql = 'SELECT * FROM foreign_authority ORDER BY sequence';
    return this.#database.read(async (connection) =>
      (await connection.all(sql)).map(foreignAuthorityOf),
    );
  }

  addForeignAuthorities(authorities: readonly ForeignAuthority[], nowMs: number): Promise<number> {
    return this.#change(
      `INSERT INTO foreign_authority (role, certificate, added_ms)
       SELECT role, certificate, $3
       FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS new (role, certificate, number)
       ORDER BY number
       ON CONFLICT (sha256(certificate)) DO NOTHING`,
      authorities.map(({ role }) => role),
      authorities.map(({ certificate }) => certificate),
      nowMs,
    );
  }

  lastManifest(): Promise<number> {
    return this.#database.read(async (connection) => {
      const row = await connection.first('SELECT sequence FROM manifest_import');
      return row === undefined ? 0 : integer(row, 'sequence');
    });
  }

  async noteManifest(sequence: number): Promise<void> {
    await this.#change('UPDATE manifest_import SET sequence = greatest(sequence, $1)', sequence);
  }

  pendingNotices(limit: number, after = 0): Promise<readonly AuthorityNotice[]> {
    const sql = 'SELECT * FROM notice WHERE sequence > $1 ORDER BY sequence LIMIT $2';
    return this.#database.read(async (connection) =>
      (await connection.all(sql, after, limit)).map(noticeOf),
    );
  }

  async settleNotices(sequences: readonly number[]): Promise<void> {
    await this.#change('DELETE FROM notice WHERE sequence = ANY ($1::bigint[])', sequences);
  }

  #device(sql: string, ...values: readonly Parameter[]): Promise<DeviceRecord | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(sql, ...values);
      return row === undefined ? undefined : deviceOf(row);
    });
  }

  #change(sql: string, ...values: readonly Parameter[]): Promise<number> {
    return this.#database.transact((connection) => connection.run(sql, ...values));
  }
}

const selectDevice = 'SELECT * FROM device WHERE device_id = $1';

const supersedeOthers = `
  UPDATE certificate SET state = 'superseded'
  WHERE holder = $1 AND kind = 'ldevid' AND state IN ('active', 'held')
    AND sha256 <> ALL ($2::bytea[])`;

const supersedeOlder = `
  UPDATE certificate SET state = 'superseded'
  WHERE holder = $1 AND kind = 'ldevid' AND state IN ('active', 'held')
    AND sequence < (SELECT sequence FROM certificate WHERE sha256 = $2)
  RETURNING sha256`;

const selectPage = 'SELECT * FROM device WHERE device_id > $1 ORDER BY device_id LIMIT $2';

const selectPageOfState = `
  SELECT * FROM device WHERE state = $1 AND device_id > $2 ORDER BY device_id LIMIT $3`;

const selectIds = {
  product: `SELECT device_id FROM device
    WHERE product = $1 AND device_id > $2 ORDER BY device_id LIMIT $3`,
  family: `SELECT device_id FROM device
    WHERE family = $1 AND device_id > $2 ORDER BY device_id LIMIT $3`,
} as const;

async function certificateByHash(
  connection: Connection,
  sha256: Uint8Array,
): Promise<CertificateRecord | undefined> {
  const row = await connection.first('SELECT * FROM certificate WHERE sha256 = $1', sha256);
  return row === undefined ? undefined : certificateOf(row);
}

async function putCertificate(
  connection: Connection,
  entry: CertificateEntry,
  nowMs: number,
): Promise<'added' | 'unchanged' | 'taken'> {
  const known = await certificateByHash(connection, entry.sha256);
  if (known !== undefined) return sameHolder(known, entry) ? 'unchanged' : 'taken';
  await connection.run(
    `INSERT INTO certificate (sha256, kind, holder, not_after_ms, state, added_ms)
     VALUES ($1, $2, $3, $4, 'active', $5)`,
    entry.sha256,
    entry.kind,
    entry.holder,
    entry.notAfterMs ?? null,
    nowMs,
  );
  return 'added';
}

async function enrol(
  connection: Connection,
  deviceId: string,
  nowMs: number,
): Promise<EnrolmentOutcome> {
  const row = await connection.first(selectDevice, deviceId);
  if (row === undefined) return 'unknown-device';
  const { state, heldMs } = deviceOf(row);
  if (state === 'revoked') return 'revoked';
  if (state === 'expected') return 'not-released';
  if (heldMs !== undefined) return 'held';
  if (state === 'released') {
    await connection.run(
      `UPDATE device SET state = 'enrolled', enrolled_ms = $1 WHERE device_id = $2`,
      nowMs,
      deviceId,
    );
  }
  return 'enrolled';
}
