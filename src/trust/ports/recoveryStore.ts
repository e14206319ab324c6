/**
 * What a database that was put back to an earlier state learns again, and how far it has come. While its
 * record is there nothing is issued, whatever files say.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { fromUtf8, utf8 } from '../../wire/bytes/utf8.ts';
import type { CaseRecord } from './caseStore.ts';
import type { Revocation } from './issuanceStore.ts';
import type { BatchRecord, OrderRecord } from './orderStore.ts';
import type { ProfileRecord } from './profileStore.ts';

/**
 * `demanded`: it wants what is kept elsewhere. `learnt`: it knows everything again, and its log has to begin
 * anew. `ready`: it waits for two persons.
 */
export const recoveryPhases = ['demanded', 'learnt', 'ready'] as const;

export type RecoveryPhase = (typeof recoveryPhases)[number];

/** Counts and words, for whoever releases it. */
export type RecoveryReport = Readonly<Record<string, number | string>>;

export interface RecoveryRecord {
  readonly phase: RecoveryPhase;
  readonly report: RecoveryReport;
}

/** In the order of the log. */
export type Lesson =
  /** The next leaf of the log. */
  | { readonly kind: 'leaf'; readonly entry: Uint8Array }
  | LostCertificate
  /** Of the log, which has its leaf. */
  | { readonly kind: 'status'; readonly change: Revocation }
  /** Of a published list: its own leaf is appended where it changes something. */
  | { readonly kind: 'listed'; readonly change: Revocation }
  | {
      readonly kind: 'list-number';
      readonly authority: string;
      /** Absent: of all its lists. */
      readonly shard?: number;
      readonly number: number;
    }
  | ImportedList
  | {
      readonly kind: 'order';
      readonly order: OrderRecord;
      readonly batches: ReadonlyArray<Pick<BatchRecord, 'batch' | 'quantity'>>;
    }
  | { readonly kind: 'case'; readonly record: CaseRecord }
  | { readonly kind: 'profile'; readonly record: ProfileRecord }
  | { readonly kind: 'setting'; readonly name: string; readonly value: Uint8Array }
  | ForeignLesson
  | ApprovalLesson;

/** One of which the log alone knows; nothing where the database has it, signature included. */
export interface LostCertificate {
  readonly kind: 'certificate';
  readonly serialNumber: Uint8Array;
  readonly issuer: string;
  /** As the log has it; the store keeps it behind `lostPrefix`. */
  readonly profile: string;
  readonly holder: string;
  /** 20 bytes that are those of no key. */
  readonly keyIdentifier: Uint8Array;
  readonly atMs: number;
  /** Stands in place of what was signed. */
  readonly entry: Uint8Array;
}

/** The list of a root on another machine, in its place among those that are published. */
export interface ImportedList {
  readonly kind: 'imported-list';
  readonly authority: string;
  readonly number: number;
  readonly thisUpdateMs: number;
  readonly nextUpdateMs: number;
  readonly count: number;
  readonly der: Uint8Array;
  /** `undefined` where the log has its leaf. */
  readonly entry: Uint8Array | undefined;
}

export type ForeignLesson =
  | {
      readonly kind: 'foreign-anchor';
      readonly product: string;
      readonly sha256: Uint8Array;
      /** 0 retires it. */
      readonly count: number;
      /** Empty where nobody has brought it: then it stays retired until a person pins it again. */
      readonly certificate: Uint8Array;
      readonly atMs: number;
    }
  | {
      readonly kind: 'foreign-device';
      readonly deviceId: string;
      readonly certificateSha256: Uint8Array;
      readonly anchorSha256: Uint8Array;
      readonly atMs: number;
    }
  | { readonly kind: 'foreign-revoked'; readonly deviceId: string; readonly atMs: number };

export type ApprovalLesson =
  | {
      readonly kind: 'two-persons';
      readonly installation: Uint8Array;
      readonly massLimit: number;
      readonly atMs: number;
    }
  | { readonly kind: 'mass-limit'; readonly devices: number }
  /** Changed by one person: it counts towards what one person may. */
  | { readonly kind: 'sole-changes'; readonly devices: number; readonly atMs: number }
  /** The same for a one-time secret. */
  | { readonly kind: 'sole-secret'; readonly atMs: number }
  | {
      readonly kind: 'operator';
      readonly name: string;
      /** Empty where nobody has brought it: then nobody is that operator any more. */
      readonly certificate: Uint8Array;
      readonly keyIdentifier: Uint8Array;
      readonly role: string;
      readonly atMs: number;
    }
  | {
      readonly kind: 'operator-certificate';
      readonly name: string;
      readonly certificate: Uint8Array;
    }
  | {
      readonly kind: 'role-granted' | 'role-withdrawn';
      readonly name: string;
      readonly role: string;
      readonly atMs: number;
    }
  | { readonly kind: 'operator-revoked'; readonly name: string; readonly atMs: number }
  | {
      readonly kind: 'request';
      readonly id: Uint8Array;
      readonly act: string;
      readonly requester: string;
      readonly signed: Uint8Array;
      readonly atMs: number;
      readonly expiresMs: number;
    }
  | {
      readonly kind: 'request-decided';
      readonly id: Uint8Array;
      readonly decision: string;
      readonly by: string;
      readonly signed: Uint8Array;
      readonly atMs: number;
    }
  | { readonly kind: 'request-used'; readonly id: Uint8Array; readonly atMs: number };

/** What comes behind all lessons: everything of before is over. */
export interface RecoveryEnding {
  readonly nowMs: number;
  /** Authorities whose key is elsewhere: a list of theirs stays where no newer one is known of. */
  readonly roots: ReadonlySet<string>;
  /** Of those, whose lists have their numbers from another machine. */
  readonly offline: ReadonlySet<string>;
  /** The leaf with which the log goes on; the last one. */
  readonly closing: Uint8Array;
}

export interface Learnt extends Readonly<Record<string, number>> {
  readonly leaves: number;
  /** Certificates of which the log alone knows. */
  readonly lostCertificates: number;
  readonly changesOfStatus: number;
  readonly lostOrders: number;
  readonly endedOrders: number;
  readonly voidTickets: number;
  readonly voidSecrets: number;
  readonly voidApprovals: number;
  /** On published lists, of certificates that nobody knows; they are on no list of ours. */
  readonly unknownOnLists: number;
  /** Anchors of other makers whose certificate nobody has brought. */
  readonly unpinnedAnchors: number;
  /** Versions of profiles whose text is lost; nothing is issued from them, and none takes their number. */
  readonly lostProfiles: number;
}

export interface RecoveryStore {
  /** `undefined` for a database that is in none. */
  recovery(): Promise<RecoveryRecord | undefined>;
  /** From here on nothing is issued; changes nothing where a recovery has begun. */
  demand(): Promise<void>;
  /**
   * All of it in one transaction, with the phase `learnt`. Rejects with an `EnvironmentError` when nobody
   * could decide anything afterwards; then nothing was changed. `lessons` may be asked for once more.
   */
  learn(lessons: () => Iterable<Lesson>, ending: RecoveryEnding): Promise<Learnt>;
  /** The phase is `ready`. */
  finish(): Promise<void>;
  /** Ends it, in one transaction with its leaf of the log. */
  release(entry: Uint8Array): Promise<void>;
}

export function encodeRecovery({ phase, report }: RecoveryRecord): Uint8Array {
  return utf8(JSON.stringify({ phase, report }));
}

/** Throws a `MalformedError`. */
export function readRecovery(value: Uint8Array): RecoveryRecord {
  const parsed: unknown = JSON.parse(fromUtf8(value) ?? 'null');
  const member = (name: string): unknown =>
    typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, name) : undefined;
  const phase = recoveryPhases.find((one) => one === member('phase'));
  if (phase === undefined) throw new MalformedError('recovery', 0, 'phase');
  const report = Object.fromEntries(
    Object.entries(member('report') ?? {}).flatMap(([name, said]) =>
      typeof said === 'number' || typeof said === 'string' ? [[name, said] as const] : [],
    ),
  );
  return { phase, report };
}

/** Of the settings of the issuing database. */
export const recoverySetting = 'recovery';
