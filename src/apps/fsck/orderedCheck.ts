/** Changes of status under an approval, against what the two persons signed: this act, and these devices. */
import { type Plain, readParameters } from '../../trust/approvals/acts.ts';
import { parseSpki } from '../../wire/x509/spki.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import type { ApprovalTrail } from './approvalTrail.ts';
import type { OrderedChange } from './changeTrail.ts';
import type { Inspection, Row } from './fsck.ts';
import { keyIdentifierOf } from './issuerKeys.ts';
import { bytes, hex, string } from './values.ts';

const kinds: ReadonlyMap<unknown, string> = new Map([
  ['revoke', 'revoked'],
  ['hold', 'held'],
  ['reinstate', 'reinstated'],
]);

export async function checkOrdered(
  inspection: Inspection,
  { approvals }: Pick<ApprovalTrail, 'approvals'>,
  ordered: readonly OrderedChange[],
  /** SHA-256 of each certificate, as `CheckedCertificates`. */
  bySerial: ReadonlyMap<string, string>,
): Promise<void> {
  for (const { approval, kind, holders } of ordered) {
    const request = approvals.get(approval)?.request.document;
    // Said already by who has followed the log.
    if (request?.act !== 'status.mass') continue;
    const { act, scope } = readParameters(request.parameters);
    const about = isMembers(scope) ? scope : {};
    for (const holder of holders) {
      const isMeant =
        kinds.get(act) === kind &&
        (about['by'] === 'certificate'
          ? await isHolderOf(inspection, bySerial, about['sha256'], holder)
          : await isDeviceIn(inspection, about, holder));
      if (!isMeant) inspection.fault(`approval ${approval}: ${holder} was ${kind} under it`);
    }
  }
}

type Members = { readonly [name: string]: Plain };

function isMembers(value: Plain | undefined): value is Members {
  return typeof value === 'object' && !Array.isArray(value) && !(value instanceof Uint8Array);
}

async function isDeviceIn(
  inspection: Inspection,
  scope: Members,
  holder: string,
): Promise<boolean> {
  const { by, name } = scope;
  if (by === 'device')
    return Array.isArray(scope['deviceIds']) && scope['deviceIds'].includes(holder);
  if (by === 'station' && holder === name) return true;
  for await (const row of inspection.snapshot.rows(selectUnit, holder)) {
    return isUnitOf(inspection, row, scope);
  }
  for await (const row of inspection.snapshot.rows(selectForeign, holder)) {
    // The family of an element of another maker is nowhere in this database.
    return by === 'family' || (by === 'product' && string(row, 'product') === name);
  }
  return false;
}

async function isUnitOf(inspection: Inspection, row: Row, scope: Members): Promise<boolean> {
  const { by, name, firmware } = scope;
  if (by === 'batch' || by === 'product') return string(row, by) === name;
  if (by === 'family') {
    return (
      string(row, by) === name && (firmware === undefined || string(row, 'firmware') === firmware)
    );
  }
  if (by !== 'station' || scope['withDevices'] !== true || typeof name !== 'string') return false;
  const key = keyIdentifierOf(parseSpki(bytes(row, 'station_spki')).key);
  for await (const station of inspection.snapshot.rows(selectStation, name)) {
    if (hex(station, 'key_id') === key) return true;
  }
  return false;
}

async function isHolderOf(
  { snapshot }: Inspection,
  bySerial: ReadonlyMap<string, string>,
  sha256: Plain | undefined,
  holder: string,
): Promise<boolean> {
  const wanted = sha256 instanceof Uint8Array ? toHex(sha256) : '';
  for await (const row of snapshot.rows(selectSerials, holder)) {
    if (bySerial.get(hex(row, 'serial')) === wanted) return true;
  }
  return false;
}

const selectUnit = `
  SELECT batches.name AS batch, orders.product, orders.family, firmware, station_spki FROM units
  JOIN tickets ON tickets.id = ticket JOIN batches ON batches.id = batch_id
  JOIN orders ON orders.id = order_id WHERE device_id = $1`;

const selectForeign = `
  SELECT product FROM foreign_devices JOIN foreign_anchors ON foreign_anchors.id = anchor
  WHERE device_id = $1`;

const selectStation = `SELECT key_id FROM issuances WHERE holder = $1 AND profile LIKE 'station@%'`;

const selectSerials = `
  SELECT serial FROM issuances LEFT JOIN units ON units.id = issuances.id
  WHERE holder = $1 OR device_id = $1`;
