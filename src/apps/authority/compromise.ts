/**
 * What it would mean that the key of an authority is in wrong hands: what of it is alive, who can get a new
 * certificate by themselves, and who cannot. Reads the issuing database and changes nothing; the authority
 * may be running.
 */
import { SnapshotCompromiseReader } from '../../drivers/store/compromiseReader.ts';
import { SnapshotIssuingReader } from '../../drivers/store/issuingReader.ts';
import type { Snapshot } from '../../drivers/store/snapshot.ts';
import type { CompromiseReader, DeviceCounts } from '../../trust/ports/compromiseReader.ts';
import { deviceProfiles } from '../../trust/issuance/profiles.ts';
import type { IssuingReader } from '../../trust/ports/issuingReader.ts';
import type { AuthorityPaths, AuthorityRole } from './authorityFolder.ts';
import { aboveOf } from './authorityNames.ts';
import { type AuthorityRecord, lineOf } from './book.ts';
import { announcedBeside, isReplaced } from './lostAuthority.ts';
import { presentLogName } from './lostLog.ts';
import { currentProfiles } from './profileDocument.ts';

export interface CompromiseReport {
  /** Of the key that is lost. */
  readonly name: string;
  /** Certificates that are revoked with it, by profile: signed, not past their end, no births and no links. */
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
    ...since
  }: {
    readonly lost: string;
    readonly successor: string;
    readonly sinceMs: number;
  },
): Promise<Followed> {
  try {
    const reader: CompromiseReader = new SnapshotCompromiseReader(snapshot);
    const holders = { issuers: [lost], profiles: await deviceProfilesIn(snapshot) };
    const { devices, behind, firstBehind } = await reader.fallen(holders, since, maximumListed);
    return { fallen: devices, followed: devices - behind, missing: firstBehind };
  } finally {
    await snapshot.close();
  }
}

/** Of the key of `lost` and no other one of its line. `snapshot` is closed at the end. */
export async function assessCompromise(
  snapshot: Snapshot,
  book: readonly AuthorityRecord[],
  lost: AuthorityRecord,
  nowMs: number,
): Promise<CompromiseReport> {
  try {
    const { name, role } = lost;
    const names = [name, ...belowOf(book, role)];
    const reader: CompromiseReader = new SnapshotCompromiseReader(snapshot);
    const live = liveProfiles(await reader.countLeaves(names, nowMs));
    const { devices, behind, firstBehind } = await holders(snapshot, role, names, nowMs);
    const counted = { canFollow: devices - behind, cannotFollow: behind, listed: firstBehind };
    const steps = stepsFor(book, lost);
    return { name, live, ...counted, steps };
  } finally {
    await snapshot.close();
  }
}

export interface LostKeyReport {
  /** Of what falls with it. */
  readonly count: number;
  readonly steps: readonly string[];
}

/** Of the responders, whose keys are in the memory of the process. `snapshot` is closed at the end. */
export async function assessResponders(snapshot: Snapshot, nowMs: number): Promise<LostKeyReport> {
  try {
    const reader: CompromiseReader = new SnapshotCompromiseReader(snapshot);
    let count = 0;
    for await (const _ of reader.liveResponders(nowMs)) count += 1;
    return {
      count,
      steps: [
        'stop the server: the keys end with it',
        'birthmark ca compromise ocsp --reason ...: their certificates are revoked',
        'start the server: it makes new keys; what is out there ends within seven days',
      ],
    };
  } finally {
    await snapshot.close();
  }
}

/** Of the log that is there now: its name and leaves. `snapshot` is closed at the end. */
export async function assessLog(
  snapshot: Snapshot,
  paths: AuthorityPaths,
): Promise<LostKeyReport & { readonly name: string }> {
  try {
    const reader: IssuingReader = new SnapshotIssuingReader(snapshot);
    return {
      name: await presentLogName(paths),
      count: await reader.countLeaves(),
      steps: [
        'stop the server',
        'birthmark ca compromise log --reason ...: a leaf says where the log ended, its key and files are set aside',
        'start the server: the same leaves stand in a log of a new key and name',
        'tell witnesses, and whoever follows the log, the key of the new one',
      ],
    };
  } finally {
    await snapshot.close();
  }
}

/** Names of those that enrolment gives to devices, the added ones among them. */
async function deviceProfilesIn(snapshot: Snapshot): Promise<readonly string[]> {
  const reader: IssuingReader = new SnapshotIssuingReader(snapshot);
  return [...deviceProfiles(currentProfiles(await reader.profiles()))];
}

/** Issuing authorities that nobody certifies anew: a PAA's. */
function belowOf(book: readonly AuthorityRecord[], role: AuthorityRole): readonly string[] {
  const below = role === 'matter-paa' ? book.filter((one) => aboveOf(one.role) === role) : [];
  return below.map(({ name }) => name);
}

/** Without their versions. */
function liveProfiles(versions: ReadonlyMap<string, number>): CompromiseReport['live'] {
  const counts = new Map<string, number>();
  for (const [version, count] of versions) {
    const [name = ''] = version.split('@');
    counts.set(name, (counts.get(name) ?? 0) + count);
  }
  return [...counts]
    .map(([profile, count]) => ({ profile, count }))
    .toSorted((left, right) => (left.profile < right.profile ? -1 : 1));
}

/** By role: whose certificates fall, and which of the holders have no other identity to come back with. */
async function holders(
  snapshot: Snapshot,
  role: AuthorityRole,
  issuers: readonly string[],
  nowMs: number,
): Promise<DeviceCounts> {
  const reader: CompromiseReader = new SnapshotCompromiseReader(snapshot);
  switch (role) {
    case 'server':
    case 'root':
      // They go on: their birth is believed by the key of its authority, which is not lost.
      return { devices: 0, behind: 0, firstBehind: [] };
    case 'operational':
      return reader.enrolled(
        { issuers, profiles: await deviceProfilesIn(snapshot) },
        nowMs,
        maximumListed,
      );
    case 'factory':
    case 'chip-signer':
    case 'matter-paa':
    case 'matter-pai':
      // The identity from birth is what everything else is got with, and nobody gives an element another.
      return reader.born(issuers, maximumListed);
  }
}

function stepsFor(book: readonly AuthorityRecord[], lost: AuthorityRecord): readonly string[] {
  const replaced = isReplaced(book, lost);
  const obstacle = replaced ? announcedBeside(book, lost) : undefined;
  const steps = replaced || lost.role !== 'root' ? stepsOf(lost) : stepsOfEndedRoot(lost.name);
  return obstacle === undefined ? steps : [`${obstacle}, with the server stopped`, ...steps];
}

/** One that stands beside the first root, or that another one has followed. */
function stepsOfEndedRoot(name: string): readonly string[] {
  return [
    'stop the server',
    `birthmark ca compromise ${name} --reason ...: it is believed no more, and the other roots go on`,
    'start the server',
    'tell whoever pins it: nothing else leads away from it',
  ];
}

function stepsOf(lost: AuthorityRecord): readonly string[] {
  const { name, role } = lost;
  switch (role) {
    case 'root':
      return [
        'stop the server',
        `birthmark ca compromise ${name} --reason ...: another root certifies the same authorities anew`,
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
        `birthmark ca compromise ${name} --reason ...`,
        'start the server: enrolled devices go on with their LDevIDs; none of them can enrol anew by itself',
      ];
    case 'operational':
      return [
        'stop the server',
        `birthmark ca compromise ${name} --reason ...`,
        'start the server: devices enrol anew with their identity from birth, as fast as they are let in',
        'give those that cannot follow a secret each: birthmark enrolment secret create --device ID',
        'birthmark ca compromise status, and close when they are back',
      ];
    case 'server':
      return [
        'stop the server',
        `birthmark ca compromise ${name} --reason ..., then start the server`,
        `birthmark ca rollover remove ${lineOf(lost)} when devices were told; enrol stations, applications and operators anew`,
        'until then whoever has the key can stand in for this server before devices that were not told',
      ];
  }
}
