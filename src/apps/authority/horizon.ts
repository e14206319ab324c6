/**
 * What ends when: authorities, the certificates they gave, lists, keys. And what follows: until when each
 * authority can issue in full, and when the next generation of it is due, for as many years as anybody plans.
 * Reads certificates and the issuing database; the authority may be running.
 */
import { SnapshotIssuingReader } from '../../drivers/store/issuingReader.ts';
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import { endOf } from '../../trust/issuance/prepare.ts';
import type { Profile } from '../../trust/issuance/profile.ts';
import type { Horizon, HorizonEvent, HorizonRow } from '../../trust/ports/inspection.ts';
import type { CertificateEnds, IssuingReader, ListEnds } from '../../trust/ports/issuingReader.ts';
import { noExpirationMs } from '../../wire/der/time.ts';
import { parseCertificate } from '../../wire/x509/certificate.ts';
import { printName } from '../../wire/x509/names.ts';
import { type AuthorityPaths, otherKeys, readCertificateFile } from './authorityFolder.ts';
import { type Profiles, profileOf } from './authorityNames.ts';
import { type AuthorityRecord, readCertifiedBook } from './book.ts';
import { currentProfiles } from './profileDocument.ts';

export interface HorizonOptions {
  readonly paths: AuthorityPaths;
  /** Closed at the end. */
  readonly snapshot: Snapshot;
  readonly nowMs: number;
  readonly untilMs: number;
}

/** So long before somebody has to act it is told. */
const noticeMs = 365 * 86_400_000;

export async function horizonOf(options: HorizonOptions): Promise<Horizon> {
  const { paths, snapshot, nowMs, untilMs } = options;
  try {
    const reader: IssuingReader = new SnapshotIssuingReader(snapshot);
    const profiles = currentProfiles(await reader.profiles());
    const authorities = await readAuthorities(paths, profiles);
    const manifest = parseCertificate(await readCertificateFile(paths, otherKeys.manifest));
    const signer = rowOf('authority', otherKeys.manifest, printName(manifest.subject), {
      endsMs: manifest.notAfterMs,
    });
    const rows = [
      ...authorities.map(({ row }) => row),
      { ...signer, kind: 'certificates' as const },
      ...(await reader.certificateEnds(nowMs)).flatMap((ends) => certificateRows(ends, profiles)),
      ...(await reader.listEnds()).map(listRow),
      ...keyRows(),
    ].toSorted((left, right) => (left.endsMs ?? Infinity) - (right.endsMs ?? Infinity));
    const events = [
      ...authorities.flatMap((one) => generations(one, profiles, untilMs)),
      ...endsOf(signer),
    ]
      .filter(({ atMs }) => atMs >= nowMs && atMs <= untilMs)
      .toSorted((left, right) => left.atMs - right.atMs);
    return { rows, events, warnings: warningsOf(authorities, rows, profiles, nowMs) };
  } finally {
    await snapshot.close();
  }
}

/**
 * The leaf that lives longest of those that an authority of the role goes on issuing. The signer of manifests
 * is made with its authority, ends with it and comes anew with the next one.
 */
export function longestLeaf(
  role: AuthorityRecord['role'],
  profiles: Profiles,
): { name: string; lifeMs: number } {
  let longest = { name: '', lifeMs: 0 };
  for (const { name, issuedBy, authority, lifetime } of profiles.values()) {
    if (authority !== undefined || name === 'documents' || !issuedBy.includes(role)) continue;
    const lifeMs = lifeOf(lifetime);
    if (lifeMs !== undefined && lifeMs > longest.lifeMs) longest = { name, lifeMs };
  }
  return longest;
}

interface Standing {
  readonly record: AuthorityRecord;
  readonly row: HorizonRow;
}

async function readAuthorities(
  paths: AuthorityPaths,
  profiles: Profiles,
): Promise<readonly Standing[]> {
  const book = await readCertifiedBook(paths);
  return Promise.all(
    book
      .filter(({ state }) => state !== 'removed')
      .map(async (record) => {
        const { name, role } = record;
        const { subject, notAfterMs } = parseCertificate(await readCertificateFile(paths, name));
        const issuesUntilMs = notAfterMs - longestLeaf(role, profiles).lifeMs;
        const dates = { endsMs: notAfterMs, issuesUntilMs };
        return { record, row: rowOf('authority', name, printName(subject), dates) };
      }),
  );
}

/** As the first of them ends. Authorities have rows of their own, and links between generations need none. */
function certificateRows(
  { profile, count, firstMs, lastMs }: CertificateEnds,
  profiles: Profiles,
): HorizonRow[] {
  const [name = ''] = profile.split('@');
  if (profiles.get(name)?.authority !== undefined || name.startsWith('link-')) return [];
  const detail = `${count} ${count === 1 ? 'certificate' : 'certificates'}, the last one ends ${day(lastMs)}`;
  return [rowOf('certificates', name, detail, { endsMs: firstMs })];
}

function listRow({ authority, count, firstMs }: ListEnds): HorizonRow {
  const detail = `${count} revocation ${count === 1 ? 'list' : 'lists'}`;
  return rowOf('list', authority, detail, { endsMs: firstMs });
}

/** Keys without a certificate have no end but the one that a person makes. */
function keyRows(): HorizonRow[] {
  const details = {
    [otherKeys.log]: 'signs checkpoints of the audit log',
    [otherKeys.order]: 'signs tickets',
    [otherKeys.sealing]: 'seals what the database keeps',
    [otherKeys.status]: 'signs the status of session servers',
  };
  return Object.entries(details).map(([name, detail]) =>
    rowOf('key', name, detail, { endsMs: noExpirationMs }),
  );
}

/** The end of what stands, and of what has to come after it, as long as each is made just in time. */
function generations(
  { record, row }: Standing,
  profiles: Profiles,
  untilMs: number,
): HorizonEvent[] {
  const { state, name } = record;
  const { endsMs, issuesUntilMs } = row;
  if (endsMs === undefined || issuesUntilMs === undefined) return [];
  const events: HorizonEvent[] = [{ atMs: endsMs, name, event: 'ends' }];
  if (state !== 'active') return events;
  const lifeMs = lifeOf(profileOf(record, profiles).lifetime);
  const leafMs = endsMs - issuesUntilMs;
  const stepMs = (lifeMs ?? 0) - leafMs;
  for (let atMs = issuesUntilMs, first = true; atMs <= untilMs; atMs += stepMs, first = false) {
    const event = first ? 'issues in full no more' : 'the one after that issues in full no more';
    events.push({ atMs, name, event: `${event}: birthmark ca rollover before` });
    // A profile whose life is no longer than its leaf's has no next generation to plan.
    if (stepMs <= 0) break;
  }
  return events;
}

function endsOf({ name, endsMs }: HorizonRow): HorizonEvent[] {
  return endsMs === undefined ? [] : [{ atMs: endsMs, name, event: 'ends' }];
}

function warningsOf(
  authorities: readonly Standing[],
  rows: readonly HorizonRow[],
  profiles: Profiles,
  nowMs: number,
): string[] {
  const warnings = authorities.flatMap(({ record: { name, role, state }, row }) => {
    const { endsMs, issuesUntilMs } = row;
    if (state !== 'active' || endsMs === undefined || issuesUntilMs === undefined) return [];
    const leaf = longestLeaf(role, profiles).name;
    if (issuesUntilMs <= nowMs) {
      return `${name} ends on ${day(endsMs)}, before a certificate of profile ${leaf} would: it issues none`;
    }
    return issuesUntilMs - nowMs <= noticeMs
      ? `${name} issues ${leaf} until ${day(issuesUntilMs)}: announce the next one`
      : [];
  });
  const lists = rows.filter(({ kind, endsMs = Infinity }) => kind === 'list' && endsMs <= nowMs);
  return [
    ...warnings,
    ...lists.map(({ name, endsMs = 0 }) => `a list of ${name} ended on ${day(endsMs)}`),
  ];
}

function rowOf(
  kind: HorizonRow['kind'],
  name: string,
  detail: string,
  { endsMs, issuesUntilMs }: { readonly endsMs: number; readonly issuesUntilMs?: number },
): HorizonRow {
  if (endsMs === noExpirationMs) return { kind, name, detail, endsMs: undefined };
  return {
    kind,
    name,
    detail,
    endsMs,
    ...(issuesUntilMs === undefined ? {} : { issuesUntilMs }),
  };
}

/** Counted from the beginning of 2000; years differ by a day. `undefined` for no end. */
function lifeOf(lifetime: Profile['lifetime']): number | undefined {
  if (lifetime.kind === 'unlimited') return undefined;
  const fromMs = Date.UTC(2000, 0, 1);
  return endOf(lifetime, fromMs, fromMs) - fromMs;
}

function day(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10);
}
