/** Elements of other makers on PostgreSQL: each decision and each binding commits with its audit leaf. */
import { equal } from '../../../wire/bytes/bytes.ts';
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import type {
  AnchorRetirement,
  BindingOutcome,
  ForeignAnchor,
  ForeignDevice,
  ForeignStore,
} from '../../../trust/ports/foreignStore.ts';
import { anchorOf, deviceOf } from '../sqlite/foreignStore.ts';
import { integer, text } from '../sqlite/rows.ts';
import { spend } from './approvalRows.ts';
import { appendLeaves } from './auditStore.ts';
import type { Connection, Parameter } from './connection.ts';
import type { PostgresDatabase } from './database.ts';

export class PostgresForeignStore implements ForeignStore {
  readonly #database: PostgresDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  pin(
    anchor: Omit<ForeignAnchor, 'taken' | 'retiredMs'>,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'pinned' | SpendingFault> {
    const { product, sha256, certificate, count, pinnedMs } = anchor;
    const sql = `
      INSERT INTO foreign_anchors (product, sha256, certificate, count, pinned_ms)
      VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (product, sha256) DO UPDATE SET
        certificate = excluded.certificate, count = excluded.count, retired_ms = NULL`;
    return this.#database.transact(async (connection) => {
      const fault = await spend(connection, spending);
      if (fault !== undefined) return fault;
      await connection.run(sql, product, sha256, certificate, count, pinnedMs);
      await appendLeaves(connection, [entry]);
      return 'pinned';
    });
  }

  retire(
    { product, sha256, atMs, entry }: AnchorRetirement,
    spending?: Spending,
  ): Promise<'retired' | 'unknown' | SpendingFault> {
    const open = 'product = $1 AND sha256 = $2 AND retired_ms IS NULL';
    return this.#database.transact(async (connection) => {
      const select = `SELECT 1 FROM foreign_anchors WHERE ${open}`;
      const row = await connection.first(select, product, sha256);
      const fault = row === undefined ? 'unknown' : await spend(connection, spending);
      if (fault !== undefined) return fault;
      const update = `UPDATE foreign_anchors SET retired_ms = $3 WHERE ${open}`;
      await connection.run(update, product, sha256, atMs);
      await appendLeaves(connection, [entry]);
      return 'retired';
    });
  }

  anchors(): Promise<readonly ForeignAnchor[]> {
    return this.#database.read(async (connection) =>
      (await connection.all('SELECT * FROM foreign_anchors ORDER BY id')).map(anchorOf),
    );
  }

  bind(
    device: Omit<ForeignDevice, 'revokedMs'>,
    anchorSha256: Uint8Array,
    entry: Uint8Array,
  ): Promise<BindingOutcome> {
    return this.#database.transact((connection) =>
      bindOne(connection, device, anchorSha256, entry),
    );
  }

  device(deviceId: string): Promise<ForeignDevice | undefined> {
    return this.#database.read((connection) => deviceById(connection, deviceId));
  }

  deviceOfKey(keyIdentifier: Uint8Array): Promise<string | undefined> {
    return this.#deviceBy('SELECT device_id FROM foreign_devices WHERE key_id = $1', keyIdentifier);
  }

  deviceOfCertificate(sha256: Uint8Array): Promise<string | undefined> {
    return this.#deviceBy(
      'SELECT device_id FROM foreign_devices WHERE certificate_sha256 = $1',
      sha256,
    );
  }

  revoke(deviceId: string, atMs: number, entry: Uint8Array): Promise<boolean> {
    return this.#logged(
      entry,
      'UPDATE foreign_devices SET revoked_ms = $1 WHERE device_id = $2 AND revoked_ms IS NULL',
      atMs,
      deviceId,
    );
  }

  /** With its audit leaf, which is not written when nothing changed. */
  #logged(entry: Uint8Array, sql: string, ...values: readonly Parameter[]): Promise<boolean> {
    return this.#database.transact(async (connection) => {
      if ((await connection.run(sql, ...values)) === 0) return false;
      await appendLeaves(connection, [entry]);
      return true;
    });
  }

  #deviceBy(sql: string, value: Uint8Array): Promise<string | undefined> {
    return this.#database.read(async (connection) => {
      const row = await connection.first(sql, value);
      return row === undefined ? undefined : text(row, 'device_id');
    });
  }
}

async function bindOne(
  connection: Connection,
  device: Omit<ForeignDevice, 'revokedMs'>,
  anchorSha256: Uint8Array,
  entry: Uint8Array,
): Promise<BindingOutcome> {
  const { deviceId, product, certificateSha256, keyIdentifier, boundMs } = device;
  const known = await deviceById(connection, deviceId);
  if (known !== undefined) {
    return equal(known.certificateSha256, certificateSha256) ? 'known' : 'taken';
  }
  const anchor = await connection.first(
    `SELECT id, count, taken FROM foreign_anchors
     WHERE product = $1 AND sha256 = $2 AND retired_ms IS NULL`,
    product,
    anchorSha256,
  );
  if (anchor === undefined) return 'no-anchor';
  const taken = await connection.first(selectTaken, certificateSha256, keyIdentifier, deviceId);
  if (taken !== undefined) return 'taken';
  if (integer(anchor, 'taken') >= integer(anchor, 'count')) return 'quota-exhausted';
  const id = integer(anchor, 'id');
  await connection.run('UPDATE foreign_anchors SET taken = taken + 1 WHERE id = $1', id);
  await connection.run(
    'INSERT INTO foreign_devices VALUES ($1, $2, $3, $4, $5, NULL)',
    deviceId,
    id,
    certificateSha256,
    keyIdentifier,
    boundMs,
  );
  await appendLeaves(connection, [entry]);
  return 'bound';
}

/** By another foreign device, by a unit that was born here, or by whoever has a certificate for the key. */
const selectTaken = `
  SELECT 1 FROM foreign_devices WHERE certificate_sha256 = $1 OR key_id = $2
  UNION ALL SELECT 1 FROM units WHERE device_id = $3
  UNION ALL SELECT 1 FROM unit_keys WHERE key_id = $2
  UNION ALL SELECT 1 FROM issuances WHERE key_id = $2 AND holder IS NOT NULL AND holder <> $3
  LIMIT 1`;

async function deviceById(
  connection: Connection,
  deviceId: string,
): Promise<ForeignDevice | undefined> {
  const row = await connection.first(
    `SELECT foreign_devices.*, product
     FROM foreign_devices JOIN foreign_anchors ON foreign_anchors.id = anchor
     WHERE device_id = $1`,
    deviceId,
  );
  return row === undefined ? undefined : deviceOf(row);
}
