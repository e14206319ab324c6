/** Which devices there are, and how many were told of an authority, counted beside whoever writes them. */
import { toHex } from '../../wire/bytes/hex.ts';
import { firstRow, type Snapshot } from './snapshot.ts';
import { integer } from './sqlite/rows.ts';

/** Of a registry: devices that are finished or enrolled, and not revoked. */
export async function countDevices(registry: Snapshot): Promise<number> {
  return integer(await firstRow(registry, selectDevices), 'n');
}

/** Of a database with the tables of `anchorMigrations`. `key`: SHA-256 over SubjectPublicKeyInfo. */
export async function countTold(anchors: Snapshot, key: Uint8Array): Promise<number> {
  return integer(await firstRow(anchors, selectTold, toHex(key)), 'n');
}

const selectDevices = `SELECT count(*) AS n FROM device WHERE state IN ('released', 'enrolled')`;
const selectTold = 'SELECT count(*) AS n FROM told WHERE lower(hex(spki_sha256)) = $1';
