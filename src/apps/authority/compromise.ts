/**
 * What it would mean that the key of an authority is in wrong hands: what of it is alive, who can get a new
 * certificate by themselves, and who cannot. Reads the issuing database and changes nothing; the authority
 * may be running.
 */
import { firstRow, type Snapshot } from '../../drivers/store/snapshot.ts';
import { integer, text } from '../../drivers/store/sqlite/rows.ts';
import { unitStates } from '../../trust/ports/orderStore.ts';
import type { AuthorityRole } from './authorityFolder.ts';
import { aboveOf, isSelfSigned } from './authorityNames.ts';
import { active, type AuthorityRecord, lineOf } from './book.ts';

export interface CompromiseReport {
  /** As a rollover has it: a role, or the first name of one of several in it. */
  readonly line: string;
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

/** Of the authority that issues in this line, `line` as a rollover has it. `snapshot` is closed at the end. */
export async function assessCompromise(
  snapshot: Snapshot,
  book: readonly AuthorityRecord[],
  line: string,
  nowMs: number,
): Promise<CompromiseReport> {
  try {
    const { role } = active(book, line);
    const names = issuersOf(book, line, role);
    const live = await liveProfiles(snapshot, names, nowMs);
    const counted = await followers(snapshot, role, names, nowMs);
    return { line, live, ...counted, steps: stepsOf(role, line) };
  } finally {
    await snapshot.close();
  }
}

/** Every key whose certificates are worth nothing then. What a root certified is certified anew by the next one. */
function issuersOf(
  book: readonly AuthorityRecord[],
  line: string,
  role: AuthorityRole,
): readonly string[] {
  const ofLine = book.filter((record) => lineOf(record) === line);
  const below = role === 'matter-paa' ? book.filter((one) => aboveOf(one.role) === role) : [];
  const names = [...ofLine, ...below].map(({ name }) => name);
  return isSelfSigned({ role }) ? ['self', ...names] : names;
}

/** Without their versions. */
async function liveProfiles(
  snapshot: Snapshot,
  names: readonly string[],
  nowMs: number,
): Promise<CompromiseReport['live']> {
  const counts = new Map<string, number>();
  const select = `
    SELECT profile, count(*) AS n
    FROM issuances JOIN signatures USING (id) LEFT JOIN revocations USING (id)
    WHERE not_after_ms > $1 AND issuer IN (${places(names, 2)}) AND revocations.id IS NULL
    GROUP BY profile`;
  for await (const row of snapshot.rows(select, nowMs, ...names)) {
    const [name = ''] = text(row, 'profile').split('@');
    counts.set(name, (counts.get(name) ?? 0) + integer(row, 'n'));
  }
  return [...counts]
    .map(([profile, count]) => ({ profile, count }))
    .toSorted((left, right) => (left.profile < right.profile ? -1 : 1));
}

/** $2, $3, ... for as many values. */
function places(values: readonly unknown[], first: number): string {
  return values.map((_, index) => `$${first + index}`).join(', ');
}

type Followers = Pick<CompromiseReport, 'canFollow' | 'cannotFollow' | 'listed'>;

/** By role: whose certificates fall, and which of the holders have another identity to come back with. */
function followers(
  snapshot: Snapshot,
  role: AuthorityRole,
  names: readonly string[],
  nowMs: number,
): Promise<Followers> {
  switch (role) {
    case 'server':
    case 'root':
      // They go on: their birth is believed by the key of its authority, which is not lost.
      return Promise.resolve({ canFollow: 0, cannotFollow: 0, listed: [] });
    case 'operational': {
      const enrolled = `
        SELECT holder AS device_id FROM issuances
        JOIN signatures USING (id) LEFT JOIN revocations USING (id)
        WHERE not_after_ms > $1 AND issuer IN (${places(names, 2)}) AND revocations.id IS NULL
          AND holder IS NOT NULL`;
      const where = notBorn(names.length + 2);
      const left = { where, value: unitStates.indexOf('locked') };
      return split(snapshot, enrolled, [nowMs, ...names], left);
    }
    case 'factory':
    case 'chip-signer':
    case 'matter-paa':
    case 'matter-pai': {
      // The identity from birth is what everything else is got with, and nobody gives an element another.
      const born = `
        SELECT device_id FROM units JOIN issuances USING (id) JOIN signatures USING (id)
        LEFT JOIN revocations USING (id)
        WHERE issuer IN (${places(names, 1)}) AND revocations.id IS NULL`;
      return split(snapshot, born, names);
    }
  }
}

/** `left`: which of the devices cannot follow; all of them unless told. */
async function split(
  snapshot: Snapshot,
  devices: string,
  values: ReadonlyArray<string | number>,
  left?: { readonly where: string; readonly value: number },
): Promise<Followers> {
  const all = `SELECT DISTINCT device_id FROM (${devices}) AS devices`;
  const lost = left === undefined ? all : `${all} WHERE ${left.where}`;
  const lostValues = left === undefined ? values : [...values, left.value];
  const count = async (sql: string, some: ReadonlyArray<string | number>): Promise<number> => {
    const counted = `SELECT count(*) AS n FROM (${sql}) AS counted`;
    return integer(await firstRow(snapshot, counted, ...some), 'n');
  };
  const total = await count(all, values);
  const cannotFollow = await count(lost, lostValues);
  const listed: string[] = [];
  const select = `${lost} ORDER BY device_id LIMIT ${maximumListed}`;
  for await (const row of snapshot.rows(select, ...lostValues)) listed.push(text(row, 'device_id'));
  return { canFollow: total - cannotFollow, cannotFollow, listed };
}

/** No identity from birth to come back with. `place`: of the state of a finished unit among the values. */
function notBorn(place: number): string {
  return `device_id NOT IN (
    SELECT device_id FROM units LEFT JOIN revocations USING (id)
    WHERE state = $${place} AND revocations.id IS NULL
    UNION SELECT device_id FROM foreign_devices WHERE revoked_ms IS NULL)`;
}

function stepsOf(role: AuthorityRole, line: string): readonly string[] {
  switch (role) {
    case 'root':
      return [
        'stop the server',
        'birthmark ca compromise root --reason ...: another root certifies the same authorities anew',
        'start the server: devices pin the authority of servers and not the root, and go on as they are',
        'tell whoever pins the root the next one, where the lost one has not named its key (RFC 8649)',
        'of a root on another machine: birthmark ca rollover announce root --new-name, ca root next there, ca import, switch and remove root at once',
      ];
    case 'matter-paa':
      return [
        'have it withdrawn from the Distributed Compliance Ledger: commissioners believe it until then',
        'elements that were born below it keep their certificates, and no commissioner takes them in',
      ];
    case 'factory':
    case 'chip-signer':
    case 'matter-pai':
      return [
        'stop the server',
        `birthmark ca compromise ${line} --reason ...`,
        'start the server: enrolled devices go on with their LDevIDs; none of them can enrol anew by itself',
      ];
    case 'operational':
      return [
        'stop the server',
        `birthmark ca compromise ${line} --reason ...`,
        'start the server: devices enrol anew with their identity from birth, as fast as they are let in',
        'give those that cannot follow a secret each: birthmark enrolment secret create --device ID',
        'birthmark ca compromise status, and close when they are back',
      ];
    case 'server':
      return [
        'stop the server',
        `birthmark ca compromise ${line} --reason ..., then start the server`,
        `birthmark ca rollover remove ${line} when devices were told; enrol stations, applications and operators anew`,
        'until then whoever has the key can stand in for this server before devices that were not told',
      ];
  }
}
