/** Devices revoked, held and reinstated, thousands at a time, with their certificates and what to tell about it. */
import type { AuthorityNotice, RevokedDevice } from '../../../trust/ports/registryStore.ts';
import type { RevocationReason } from '../../../wire/crl/reason.ts';
import { blob, text } from '../sqlite/rows.ts';
import type { Connection, Parameter } from './connection.ts';

export interface DeviceChange {
  readonly to: 'revoked' | 'held' | 'active';
  readonly code: RevocationReason;
  readonly reason: string;
  readonly nowMs: number;
}

/** Unknown ids are left out; the others come in their order, once for every time they are named. */
export async function changeDevices(
  connection: Connection,
  deviceIds: readonly string[],
  change: DeviceChange,
): Promise<readonly RevokedDevice[]> {
  const { to, code, reason, nowMs } = change;
  const { devices, certificates } = steps[to];
  const rows = await connection.all(devices.sql, deviceIds, ...devices.values(change));
  const changed = new Set(rows.map((row) => text(row, 'device_id')));
  // Those of revoked devices every time: no certificate of theirs may be left, however it came.
  const holders = to === 'revoked' ? deviceIds : [...changed];
  await connection.run(certificates.sql, holders, ...certificates.values(change));
  const inOrder = [...new Set(deviceIds)].filter((deviceId) => changed.has(deviceId));
  const about = inOrder.map((deviceId) => ({ subject: deviceId, holder: deviceId }));
  await insertNotices(connection, about, { act: 'revoke-device', code, reason, atMs: nowMs });
  const hashes = await certificatesOf(connection, deviceIds);
  return deviceIds.flatMap((deviceId) => {
    const own = hashes.get(deviceId);
    return own === undefined
      ? []
      : { deviceId, changed: changed.delete(deviceId), certificates: own };
  });
}

export async function insertNotices(
  connection: Connection,
  about: ReadonlyArray<Pick<AuthorityNotice, 'subject' | 'holder'>>,
  { act, code, reason, atMs }: Pick<AuthorityNotice, 'act' | 'code' | 'reason' | 'atMs'>,
): Promise<void> {
  if (about.length === 0) return;
  await connection.run(
    `INSERT INTO notice (act, subject, holder, code, reason, at_ms)
     SELECT $3, subject, holder, $4, $5, $6
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS new (subject, holder, number)
     ORDER BY number`,
    about.map(({ subject }) => subject),
    about.map(({ holder }) => holder ?? null),
    act,
    code,
    reason,
    atMs,
  );
}

/** In the order they were added, by device; a device without any has an empty list. */
async function certificatesOf(
  connection: Connection,
  deviceIds: readonly string[],
): Promise<ReadonlyMap<string, readonly Uint8Array[]>> {
  const certificates = new Map<string, Uint8Array[]>();
  for (const row of await connection.all(selectCertificates, deviceIds)) {
    const deviceId = text(row, 'device_id');
    const own = certificates.get(deviceId) ?? [];
    if (row['sha256'] !== null) own.push(blob(row, 'sha256'));
    certificates.set(deviceId, own);
  }
  return certificates;
}

const selectCertificates = `
  SELECT device_id, sha256 FROM device LEFT JOIN certificate ON holder = device_id
  WHERE device_id = ANY ($1::text[]) ORDER BY sequence`;

interface Step {
  /** Its first parameter are ids. */
  readonly sql: string;
  /** The others. */
  readonly values: (change: DeviceChange) => readonly Parameter[];
}

const steps: Readonly<
  Record<DeviceChange['to'], { readonly devices: Step; readonly certificates: Step }>
> = {
  revoked: {
    devices: {
      sql: `UPDATE device
        SET state = 'revoked', revoked_ms = $2, revocation_reason = $3, held_ms = NULL
        WHERE device_id = ANY ($1::text[]) AND state <> 'revoked' RETURNING device_id`,
      values: ({ nowMs, reason }) => [nowMs, reason],
    },
    certificates: {
      sql: `UPDATE certificate SET state = 'revoked', revoked_ms = $2, revocation_reason = $3
        WHERE holder = ANY ($1::text[]) AND state <> 'revoked'`,
      values: ({ nowMs, reason }) => [nowMs, reason],
    },
  },
  held: {
    devices: {
      sql: `UPDATE device SET held_ms = $2
        WHERE device_id = ANY ($1::text[]) AND state <> 'revoked' AND held_ms IS NULL
        RETURNING device_id`,
      values: ({ nowMs }) => [nowMs],
    },
    certificates: {
      sql: `UPDATE certificate SET state = 'held', revocation_reason = $2
        WHERE holder = ANY ($1::text[]) AND state = 'active'`,
      values: ({ reason }) => [reason],
    },
  },
  active: {
    devices: {
      sql: `UPDATE device SET held_ms = NULL
        WHERE device_id = ANY ($1::text[]) AND held_ms IS NOT NULL RETURNING device_id`,
      values: () => [],
    },
    certificates: {
      sql: `UPDATE certificate SET state = 'active', revocation_reason = NULL
        WHERE holder = ANY ($1::text[]) AND state = 'held'`,
      values: () => [],
    },
  },
};
