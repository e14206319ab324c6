/** All devices of an import in one transaction, or none: the first conflict undoes what came before it. */
import type {
  ImportedDevice,
  ImportOutcome,
  UniqueAttribute,
} from '../../../trust/ports/registryStore.ts';
import { equal } from '../../../wire/bytes/bytes.ts';
import type { Connection, SqliteDatabase } from './database.ts';
import { deviceOf } from './registryTables.ts';

export async function importAll(
  database: SqliteDatabase,
  devices: readonly ImportedDevice[],
  nowMs: number,
): Promise<ImportOutcome> {
  try {
    return await database.transact((connection) => {
      let unchanged = 0;
      for (const [index, device] of devices.entries()) {
        if (isKnown(connection, device)) {
          unchanged += 1;
          continue;
        }
        const attribute = conflictOf(connection, device);
        if (attribute !== undefined) throw new Conflict(index, attribute);
        insert(connection, device, nowMs);
      }
      return { imported: devices.length - unchanged, unchanged };
    });
  } catch (error) {
    if (error instanceof Conflict) {
      return { conflictAt: error.index, attribute: error.attribute };
    }
    throw error;
  }
}

/** Leaves the transaction, so that it is rolled back. */
class Conflict extends Error {
  readonly index: number;
  readonly attribute: UniqueAttribute;

  constructor(index: number, attribute: UniqueAttribute) {
    super('conflict');
    this.index = index;
    this.attribute = attribute;
  }
}

function isKnown(connection: Connection, { identity, certificates }: ImportedDevice): boolean {
  const sql = 'SELECT * FROM device WHERE device_id = ?';
  const row = connection.prepare(sql).get(identity.deviceId);
  if (row === undefined) return false;
  const known = deviceOf(row);
  const holderOf = connection.prepare('SELECT 1 FROM certificate WHERE sha256 = ? AND holder = ?');
  return (
    known.family === identity.family &&
    known.product === identity.product &&
    known.owner === identity.owner &&
    known.proofLevel === identity.proofLevel &&
    (['uid', 'eui64', 'signKeySpki', 'agreeKey', 'kid'] as const).every((name) =>
      same(known[name], identity[name]),
    ) &&
    certificates.every(({ sha256 }) => holderOf.get(sha256, identity.deviceId) !== undefined)
  );
}

function conflictOf(
  connection: Connection,
  { identity, certificates }: ImportedDevice,
): UniqueAttribute | undefined {
  const has = (sql: string, ...values: ReadonlyArray<string | Uint8Array | null>): boolean =>
    connection.prepare(sql).get(...values) !== undefined;
  // In SQL nothing equals NULL: what a device does not have conflicts with nobody.
  const { deviceId, family, uid, eui64 = null, signKeySpki, agreeKey = null } = identity;
  if (has('SELECT 1 FROM device WHERE device_id = ?', deviceId)) return 'deviceId';
  if (has('SELECT 1 FROM device WHERE family = ? AND uid = ?', family, uid)) return 'uid';
  if (has('SELECT 1 FROM device WHERE eui64 = ?', eui64)) return 'eui64';
  if (has('SELECT 1 FROM device WHERE sign_key = ?', signKeySpki)) return 'signKeySpki';
  if (has('SELECT 1 FROM device WHERE agree_key = ?', agreeKey)) return 'agreeKey';
  const taken = certificates.some(({ sha256 }) =>
    has('SELECT 1 FROM certificate WHERE sha256 = ?', sha256),
  );
  return taken ? 'certificate' : undefined;
}

function insert(
  connection: Connection,
  { identity, state, certificates }: ImportedDevice,
  nowMs: number,
): void {
  connection
    .prepare(
      `INSERT INTO device (device_id, family, uid, eui64, product, owner, sign_key, agree_key, kid,
         proof_level, role, state, imported_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
         coalesce((SELECT role FROM product WHERE name = ?), 'sensor'), ?, ?)`,
    )
    .run(
      identity.deviceId,
      identity.family,
      identity.uid,
      identity.eui64 ?? null,
      identity.product,
      identity.owner,
      identity.signKeySpki,
      identity.agreeKey ?? null,
      identity.kid ?? null,
      identity.proofLevel,
      identity.product,
      state,
      nowMs,
    );
  const insertCertificate = connection.prepare(
    `INSERT INTO certificate (sha256, kind, holder, not_after_ms, state, added_ms)
     VALUES (?, ?, ?, ?, 'active', ?)`,
  );
  for (const { sha256, kind, notAfterMs } of certificates) {
    insertCertificate.run(sha256, kind, identity.deviceId, notAfterMs ?? null, nowMs);
  }
}

function same(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return equal(left, right);
}
