/**
 * What it would mean that the key of an authority is in wrong hands: what of it is alive, who can get a new
 * certificate by themselves, and who cannot. Reads the issuing database and changes nothing; the authority
 * may be running.
 */
import { firstRow, type Snapshot } from '../../drivers/store/snapshot.ts';
import { integer, text } from '../../drivers/store/sqlite/rows.ts';
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

export interface Followed {
  /** Devices whose certificate fell with the lost key. */
  readonly fallen: number;
  /** Of those, devices that have a certificate of the next one. */
  readonly followed: number;
  /** The first of the others, at most `maximumListed`. */
  readonly missing: readonly string[];
}

export const maximumListed = 1_000;

/** How many devices have come back since a case began. `snapshot` is closed at the end. */
export async function countFollowers(
  snapshot: Snapshot,
  {
    lost,
    successor,
    sinceMs,
  }: {
    readonly lost: string;
    readonly successor: string;
    readonly sinceMs: number;
  },
): Promise<Followed> {
  const fallen = `
    SELECT DISTINCT holder FROM issuances JOIN revocations USING (id)
    WHERE issuer = $1 AND at_ms >= $2 AND profile LIKE 'ldevid%'`;
  const missing = `${fallen} AND holder NOT IN
    (SELECT holder FROM issuances JOIN signatures USING (id)
     WHERE issuer = $3 AND holder IS NOT NULL)`;
  try {
    const counted = `SELECT count(*) AS n FROM (${fallen}) AS fallen`;
    const total = integer(await firstRow(snapshot, counted, lost, sinceMs), 'n');
    const left = `SELECT count(*) AS n FROM (${missing}) AS missing`;
    const behind = integer(await firstRow(snapshot, left, lost, sinceMs, successor), 'n');
    const listed: string[] = [];
    const select = `${missing} ORDER BY holder LIMIT ${maximumListed}`;
    for await (const row of snapshot.rows(select, lost, sinceMs, successor)) {
      listed.push(text(row, 'holder'));
    }
    return { fallen: total, followed: total - behind, missing: listed };
  } finally {
    await snapshot.close();
  }
}

/** `snapshot` is closed at the end. */
export async function assessCompromise(
  snapshot: Snapshot,
  role: AuthorityName,
  nowMs: number,
): Promise<CompromiseReport> {
  try {
    const live = await liveProfiles(snapshot, role, nowMs);
    return { role, live, ...(await followers(snapshot, role, nowMs)), steps: stepsOf[role] };
  } finally {
    await snapshot.close();
  }
}

/** Without their versions. */
async function liveProfiles(
  snapshot: Snapshot,
  role: AuthorityName,
  nowMs: number,
): Promise<CompromiseReport['live']> {
  const counts = new Map<string, number>();
  const select = `
    SELECT profile, count(*) AS n
    FROM issuances JOIN signatures USING (id) LEFT JOIN revocations USING (id)
    WHERE not_after_ms > $1 AND (issuer = $2 OR issuer LIKE $3) AND revocations.id IS NULL
    GROUP BY profile`;
  // Under a root is everything; of another role every key: operational, operational-2, ...
  const names = role === 'root' ? ['self', '%'] : [role, `${role}-%`];
  for await (const row of snapshot.rows(select, nowMs, ...names)) {
    const [name = ''] = text(row, 'profile').split('@');
    counts.set(name, (counts.get(name) ?? 0) + integer(row, 'n'));
  }
  return [...counts]
    .map(([profile, count]) => ({ profile, count }))
    .toSorted((left, right) => (left.profile < right.profile ? -1 : 1));
}

type Followers = Pick<CompromiseReport, 'canFollow' | 'cannotFollow' | 'listed'>;

/** By role: whose certificates fall, and which of the holders have another identity to come back with. */
function followers(snapshot: Snapshot, role: AuthorityName, nowMs: number): Promise<Followers> {
  const locked = unitStates.indexOf('locked');
  switch (role) {
    case 'server':
      return Promise.resolve({ canFollow: 0, cannotFollow: 0, listed: [] });
    case 'operational':
      return split(snapshot, enrolledDevices, [nowMs], [locked]);
    case 'factory':
    case 'root':
      // The identity from birth is what everything else is got with, and nobody gives an element another.
      return split(snapshot, bornDevices, [], undefined);
  }
}

async function split(
  snapshot: Snapshot,
  devices: string,
  values: readonly number[],
  born: readonly number[] | undefined,
): Promise<Followers> {
  const all = `SELECT DISTINCT device_id FROM (${devices}) AS devices`;
  const left = born === undefined ? all : `${all} WHERE device_id NOT IN (${bornElsewhere})`;
  const count = async (sql: string, parameters: readonly number[]): Promise<number> => {
    return integer(
      await firstRow(snapshot, `SELECT count(*) AS n FROM (${sql}) AS counted`, ...parameters),
      'n',
    );
  };
  const total = await count(all, values);
  const parameters = [...values, ...(born ?? [])];
  const lost = await count(left, parameters);
  const listed: string[] = [];
  const select = `${left} ORDER BY device_id LIMIT ${maximumListed}`;
  for await (const row of snapshot.rows(select, ...parameters)) listed.push(text(row, 'device_id'));
  return { canFollow: total - lost, cannotFollow: lost, listed };
}

const enrolledDevices = `
  SELECT holder AS device_id FROM issuances
  JOIN signatures USING (id) LEFT JOIN revocations USING (id)
  WHERE (issuer = 'operational' OR issuer LIKE 'operational-%') AND revocations.id IS NULL AND not_after_ms > $1 AND holder IS NOT NULL`;

const bornDevices = `
  SELECT device_id FROM units JOIN signatures USING (id) LEFT JOIN revocations USING (id)
  WHERE revocations.id IS NULL`;

const bornElsewhere = `
  SELECT device_id FROM units LEFT JOIN revocations USING (id)
  WHERE state = $2 AND revocations.id IS NULL
  UNION SELECT device_id FROM foreign_devices WHERE revoked_ms IS NULL`;

const stepsOf: Readonly<Record<AuthorityName, readonly string[]>> = {
  root: [
    'stop the server: nothing below this root is worth anything',
    'make a new installation with birthmark ca init, and pin its authorities by hand where old ones were',
  ],
  factory: [
    'stop the server',
    'birthmark ca compromise factory --reason ...',
    'start the server: enrolled devices go on with their LDevIDs; none of them can enrol anew by itself',
  ],
  operational: [
    'stop the server',
    'birthmark ca compromise operational --reason ...',
    'start the server: devices enrol anew with their identity from birth, as fast as they are let in',
    'give those that cannot follow a secret each: birthmark enrolment secret create --device ID',
    'birthmark ca compromise status, and close when they are back',
  ],
  server: [
    'stop the server',
    'birthmark ca compromise server --reason ..., then start the server',
    'birthmark ca rollover remove server when devices were told; enrol stations, applications and operators anew',
    'until then whoever has the key can stand in for this server before devices that were not told',
  ],
};
