/** Elements of other makers on SQLite: each decision and each binding commits with its audit leaf. */
import { equal } from '../../../wire/bytes/bytes.ts';
import type { Spending, SpendingFault } from '../../../trust/ports/approvalStore.ts';
import type {
  AnchorRetirement,
  BindingOutcome,
  ForeignAnchor,
  ForeignDevice,
  ForeignStore,
} from '../../../trust/ports/foreignStore.ts';
import { spend } from './approvalRows.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { appendLeaf } from './issuanceStore.ts';
import { blob, integer, optionalInteger, type Row, text } from './rows.ts';

export class SqliteForeignStore implements ForeignStore {
  readonly #database: SqliteDatabase;

  /** The database has to hold the tables of `issuingMigrations`. */
  constructor(database: SqliteDatabase) {
    this.#database = database;
  }

  pin(
    anchor: Omit<ForeignAnchor, 'taken' | 'retiredMs'>,
    entry: Uint8Array,
    spending?: Spending,
  ): Promise<'pinned' | SpendingFault> {
    const { product, sha256, certificate, count, pinnedMs } = anchor;
    return this.#database.transact((connection) => {
      const fault = spend(connection, spending);
      if (fault !== undefined) return fault;
      connection
        .prepare(
          `INSERT INTO foreign_anchors (product, sha256, certificate, count, pinned_ms)
           VALUES (?, ?, ?, ?, ?)
           ON CONFLICT DO UPDATE SET
             certificate = excluded.certificate, count = excluded.count, retired_ms = NULL`,
        )
        .run(product, sha256, certificate, count, pinnedMs);
      connection.prepare(appendLeaf).run(entry);
      return 'pinned';
    });
  }

  retire(
    { product, sha256, atMs, entry }: AnchorRetirement,
    spending?: Spending,
  ): Promise<'retired' | 'unknown' | SpendingFault> {
    const open = 'product = ? AND sha256 = ? AND retired_ms IS NULL';
    return this.#database.transact((connection) => {
      const row = connection
        .prepare(`SELECT 1 FROM foreign_anchors WHERE ${open}`)
        .get(product, sha256);
      const fault = row === undefined ? 'unknown' : spend(connection, spending);
      if (fault !== undefined) return fault;
      connection
        .prepare(`UPDATE foreign_anchors SET retired_ms = ? WHERE ${open}`)
        .run(atMs, product, sha256);
      connection.prepare(appendLeaf).run(entry);
      return 'retired';
    });
  }

  anchors(): Promise<readonly ForeignAnchor[]> {
    return this.#database.read((connection) =>
      connection.prepare('SELECT * FROM foreign_anchors ORDER BY id').all().map(anchorOf),
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
    return this.#deviceBy('key_id', keyIdentifier);
  }

  deviceOfCertificate(sha256: Uint8Array): Promise<string | undefined> {
    return this.#deviceBy('certificate_sha256', sha256);
  }

  revoke(deviceId: string, atMs: number, entry: Uint8Array): Promise<boolean> {
    return this.#database.transact((connection) => {
      const { changes } = connection
        .prepare(
          'UPDATE foreign_devices SET revoked_ms = ? WHERE device_id = ? AND revoked_ms IS NULL',
        )
        .run(atMs, deviceId);
      if (changes === 0) return false;
      connection.prepare(appendLeaf).run(entry);
      return true;
    });
  }

  #deviceBy(column: 'key_id' | 'certificate_sha256', value: Uint8Array) {
    return this.#database.read((connection) => {
      const row = connection
        .prepare(`SELECT device_id FROM foreign_devices WHERE ${column} = ?`)
        .get(value);
      return row === undefined ? undefined : text(row, 'device_id');
    });
  }
}

function bindOne(
  connection: Connection,
  device: Omit<ForeignDevice, 'revokedMs'>,
  anchorSha256: Uint8Array,
  entry: Uint8Array,
): BindingOutcome {
  const { deviceId, product, certificateSha256, keyIdentifier, boundMs } = device;
  const known = deviceById(connection, deviceId);
  if (known !== undefined) {
    return equal(known.certificateSha256, certificateSha256) ? 'known' : 'taken';
  }
  const anchor = connection
    .prepare(
      `SELECT id, count, taken FROM foreign_anchors
       WHERE product = ? AND sha256 = ? AND retired_ms IS NULL`,
    )
    .get(product, anchorSha256);
  if (anchor === undefined) return 'no-anchor';
  if (isTaken(connection, device)) return 'taken';
  if (integer(anchor, 'taken') >= integer(anchor, 'count')) return 'quota-exhausted';
  const id = integer(anchor, 'id');
  connection.prepare('UPDATE foreign_anchors SET taken = taken + 1 WHERE id = ?').run(id);
  connection
    .prepare('INSERT INTO foreign_devices VALUES (?, ?, ?, ?, ?, NULL)')
    .run(deviceId, id, certificateSha256, keyIdentifier, boundMs);
  connection.prepare(appendLeaf).run(entry);
  return 'bound';
}

/** By another foreign device, by a unit that was born here, or by whoever has a certificate for the key. */
function isTaken(
  connection: Connection,
  { deviceId, certificateSha256, keyIdentifier }: Omit<ForeignDevice, 'revokedMs'>,
): boolean {
  const row = connection
    .prepare(
      `SELECT 1 FROM foreign_devices WHERE certificate_sha256 = ? OR key_id = ?
       UNION ALL SELECT 1 FROM units WHERE device_id = ?
       UNION ALL SELECT 1 FROM unit_keys WHERE key_id = ?
       UNION ALL SELECT 1 FROM issuances WHERE key_id = ? AND holder IS NOT NULL AND holder <> ?
       LIMIT 1`,
    )
    .get(certificateSha256, keyIdentifier, deviceId, keyIdentifier, keyIdentifier, deviceId);
  return row !== undefined;
}

function deviceById(connection: Connection, deviceId: string): ForeignDevice | undefined {
  const row = connection
    .prepare(
      `SELECT foreign_devices.*, product
       FROM foreign_devices JOIN foreign_anchors ON foreign_anchors.id = anchor
       WHERE device_id = ?`,
    )
    .get(deviceId);
  return row === undefined ? undefined : deviceOf(row);
}

export function anchorOf(row: Row): ForeignAnchor {
  return {
    product: text(row, 'product'),
    certificate: blob(row, 'certificate'),
    sha256: blob(row, 'sha256'),
    count: integer(row, 'count'),
    taken: integer(row, 'taken'),
    pinnedMs: integer(row, 'pinned_ms'),
    retiredMs: optionalInteger(row, 'retired_ms'),
  };
}

export function deviceOf(row: Row): ForeignDevice {
  return {
    deviceId: text(row, 'device_id'),
    product: text(row, 'product'),
    certificateSha256: blob(row, 'certificate_sha256'),
    keyIdentifier: blob(row, 'key_id'),
    boundMs: integer(row, 'bound_ms'),
    revokedMs: optionalInteger(row, 'revoked_ms'),
  };
}
