/**
 * What it would mean that the key of an authority is in wrong hands: what of it is alive, who can get a new
 * certificate by themselves, and who cannot. Reads the issuing database and changes nothing; the authority
 * may be running.
 */
import { DatabaseSync } from 'node:sqlite';
import { unitStates } from '../../trust/ports/orderStore.ts';
import type { AuthorityName } from './authorityFolder.ts';

export interface CompromiseReport {
  readonly role: AuthorityName;
  /** Certificates that are signed, not revoked and not past their end, by profile. */
  readonly live: ReadonlyArray<{ readonly profile: string; readonly count: number }>;
  /** Devices that can enrol anew with their identity from birth. */
  readonly canFollow: number;
  readonly cannotFollow: number;
  /** The first of those, at most `maximumListed`. */
  readonly listed: readonly string[];
  /** What a person does, in order. */
  readonly steps: readonly string[];
}

export const maximumListed = 1_000;

export function assessCompromise(
  databasePath: string,
  role: AuthorityName,
  nowMs: number,
): CompromiseReport {
  const database = new DatabaseSync(databasePath, { readOnly: true });
  try {
    const issuers = role === 'root' ? ['self', 'root', 'factory', 'operational', 'server'] : [role];
    const marks = issuers.map(() => '?').join(', ');
    const live = database
      .prepare(
        `SELECT substr(profile, 1, instr(profile, '@') - 1) AS name, count(*) AS n
         FROM issuances JOIN signatures USING (id) LEFT JOIN revocations USING (id)
         WHERE issuer IN (${marks}) AND revocations.id IS NULL AND not_after_ms > ?
         GROUP BY name ORDER BY name`,
      )
      .all(...issuers, nowMs)
      .map((row) => ({ profile: String(row['name']), count: Number(row['n']) }));
    return { role, live, ...followers(database, role, nowMs), steps: stepsOf[role] };
  } finally {
    database.close();
  }
}

type Followers = Pick<CompromiseReport, 'canFollow' | 'cannotFollow' | 'listed'>;

/** By role: whose certificates fall, and which of the holders have another identity to come back with. */
function followers(database: DatabaseSync, role: AuthorityName, nowMs: number): Followers {
  const locked = unitStates.indexOf('locked');
  switch (role) {
    case 'server':
      return { canFollow: 0, cannotFollow: 0, listed: [] };
    case 'operational':
      return split(database, enrolledDevices, [nowMs], [locked]);
    case 'factory':
    case 'root':
      // The identity from birth is what everything else is got with, and nobody gives an element another.
      return split(database, bornDevices, [], undefined);
  }
}

function split(
  database: DatabaseSync,
  devices: string,
  values: readonly number[],
  born: readonly number[] | undefined,
): Followers {
  const all = `SELECT DISTINCT device_id FROM (${devices})`;
  const left = born === undefined ? all : `${all} WHERE device_id NOT IN (${bornElsewhere})`;
  const total = Number(
    database.prepare(`SELECT count(*) AS n FROM (${all})`).get(...values)?.['n'],
  );
  const parameters = [...values, ...(born ?? [])];
  const lost = Number(
    database.prepare(`SELECT count(*) AS n FROM (${left})`).get(...parameters)?.['n'],
  );
  const listed = database
    .prepare(`${left} ORDER BY device_id LIMIT ${maximumListed}`)
    .all(...parameters)
    .map((row) => String(row['device_id']));
  return { canFollow: total - lost, cannotFollow: lost, listed };
}

const enrolledDevices = `
  SELECT holder AS device_id FROM issuances
  JOIN signatures USING (id) LEFT JOIN revocations USING (id)
  WHERE issuer = 'operational' AND revocations.id IS NULL AND not_after_ms > ? AND holder IS NOT NULL`;

const bornDevices = `
  SELECT device_id FROM units JOIN signatures USING (id) LEFT JOIN revocations USING (id)
  WHERE revocations.id IS NULL`;

const bornElsewhere = `
  SELECT device_id FROM units LEFT JOIN revocations USING (id)
  WHERE state = ? AND revocations.id IS NULL
  UNION SELECT device_id FROM foreign_devices WHERE revoked_ms IS NULL`;

const stepsOf: Readonly<Record<AuthorityName, readonly string[]>> = {
  root: [
    'stop the server: nothing below this root is worth anything',
    'make a new installation with birthmark ca init, and pin its authorities by hand where old ones were',
  ],
  factory: [
    'stop the server; close every open ticket',
    'birthmark ca rollover announce factory, then switch factory, then remove factory',
    'devices that are enrolled go on with their LDevIDs; none of them can enrol anew by itself',
  ],
  operational: [
    'stop the server',
    'birthmark ca rollover announce operational, then switch operational, then remove operational',
    'start the server: devices enrol anew with their identity from birth, as they come',
    'give those that cannot follow a secret each: birthmark enrolment secret create --device ID',
  ],
  server: [
    'stop the server',
    'birthmark ca rollover announce server, then switch server; remove server when devices were told',
    'enrol stations, applications and operators anew',
    'until then whoever has the key can stand in for this server before devices that were not told',
  ],
};
