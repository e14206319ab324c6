/**
 * The issuing database, as a store: what is about to be signed (T1) and what was (T2). Both are durable
 * when their promise resolves, and several callers may share one commit.
 */
import type { RevocationReason } from '../../wire/crl/reason.ts';
import type { ProofLevel } from '../../wire/line/ticket.ts';
import type { GrantReference } from './grantStore.ts';

/** A certificate that passed every lint and is about to be signed. */
export interface Intent {
  /** Name of the issuing authority, which is of one key: operational, operational-2, ... */
  readonly issuer: string;
  /** `name@version`. */
  readonly profile: string;
  /** Magnitude, 16 bytes. Unique over everything the installation issues. */
  readonly serialNumber: Uint8Array;
  /** deviceId, or the name of a server, station, application or authority. */
  readonly holder: string;
  /** First 160 bits of SHA-256 over the key's bits. */
  readonly keyIdentifier: Uint8Array;
  readonly preparedMs: number;
  readonly notAfterMs: number;
  readonly tbs: Uint8Array;
  /** All of them spent with the intent, or nothing is taken. */
  readonly grants?: readonly GrantReference[];
  /** For operational certificates of devices. */
  readonly replaces?: Replacement | undefined;
  /** For birth certificates: what T1 takes and reserves besides. */
  readonly unit: UnitIntent | undefined;
}

/** What a new operational certificate of a device takes the place of. */
export interface Replacement {
  /** Id of the last intent that the holder had when this was decided; with a later one nothing is taken. */
  readonly latest: number;
  /** Revoked with the intent. */
  readonly superseded: readonly Revocation[];
}

/** What a holder was promised and what still counts of it; births are no promises. */
export interface Promises {
  /** Id of the last intent, 0 where there is none. */
  readonly latest: number;
  /** Serial numbers of those between T1 and T2. */
  readonly unsigned: readonly Uint8Array[];
  /** Not revoked, oldest first. */
  readonly certificates: readonly IssuedCertificate[];
}

export interface UnitIntent {
  readonly ticketId: Uint8Array;
  readonly family: string;
  readonly uid: Uint8Array;
  readonly model: string;
  readonly firmware: string;
  readonly proofLevel: ProofLevel;
  readonly agreeKey:
    | {
        /** Uncompressed point, 65 bytes. */
        readonly point: Uint8Array;
        /** Made like `keyIdentifier`: keys are unique whatever their slot. */
        readonly keyIdentifier: Uint8Array;
      }
    | undefined;
}

export type IntentOutcome =
  | { readonly taken: number; readonly eui64: Uint8Array | undefined }
  | {
      readonly refused:
        | 'ticket-closed'
        | 'quota-exhausted'
        | 'no-eui64-left'
        | 'grant-spent'
        /** The holder was promised another certificate meanwhile. */
        | 'overtaken';
    }
  /** Something that has to be unique is there already. */
  | { readonly conflict: IntentConflict };

export type IntentConflict = 'uid' | 'key' | 'device-id' | 'serial';

export interface Completion {
  /** What `begin` called `taken`. */
  readonly id: number;
  readonly signature: Uint8Array;
  /** Leaf of the audit log. */
  readonly entry: Uint8Array;
}

/** An intent of T1 whose T2 never happened. */
export interface UnfinishedIntent {
  readonly id: number;
  readonly issuer: string;
  readonly profile: string;
  readonly serialNumber: Uint8Array;
  readonly holder: string;
  readonly preparedMs: number;
  readonly tbs: Uint8Array;
  readonly ticketId: Uint8Array | undefined;
}

export interface IssuedCertificate {
  readonly issuer: string;
  readonly profile: string;
  readonly serialNumber: Uint8Array;
  readonly holder: string;
  readonly notAfterMs: number;
  readonly tbs: Uint8Array;
  readonly signature: Uint8Array;
  readonly revokedMs: number | undefined;
  /** On hold: it counts no more, perhaps for now. */
  readonly held: boolean;
}

/**
 * Issued before a restore and known from the log alone: `tbs` is the entry of the log, the signature is
 * empty. It has a status, and nothing else can be done with it.
 */
export function isLost({ profile }: Pick<IssuedCertificate, 'profile'>): boolean {
  return profile.startsWith(lostPrefix);
}

export const lostPrefix = 'lost/';

/** A change of status. */
export interface Revocation {
  readonly serialNumber: Uint8Array;
  /** Final, but for `certificateHold`, which `removeFromCRL` takes back. */
  readonly code: RevocationReason;
  /** What a person said. */
  readonly reason: string;
  readonly atMs: number;
  /** Leaf of the audit log. */
  readonly entry: Uint8Array;
}

export interface IssuanceStore {
  /**
   * T1: for each intent, quota and EUI-64 taken, everything unique reserved, and what it replaces revoked,
   * or nothing. Intents of
   * one call do not depend on each other; the outcomes come in their order.
   */
  begin(intents: readonly Intent[]): Promise<readonly IntentOutcome[]>;

  /**
   * T2: signatures and their audit leaves. A second completion of an id changes nothing; the signature that
   * was there before is given by the id, and stands. The other one must never leave.
   */
  complete(completions: readonly Completion[]): Promise<ReadonlyMap<number, Uint8Array>>;

  /** In order of id, behind `afterId`. */
  unfinished(afterId: number, limit: number): Promise<readonly UnfinishedIntent[]>;

  /** Signed certificates of one holder, oldest first. */
  certificatesOf(holder: string): Promise<readonly IssuedCertificate[]>;

  promisesTo(holder: string): Promise<Promises>;

  /** Those of `certificatesOf` that are revoked or on hold: few, where the others may be many. */
  stoppedOf(holder: string): Promise<readonly IssuedCertificate[]>;

  certificateBySerial(serialNumber: Uint8Array): Promise<IssuedCertificate | undefined>;

  /** Whom the key is certified for already; the first one when there are several. */
  holderOfKey(keyIdentifier: Uint8Array): Promise<string | undefined>;

  /**
   * Together with the lists that have to show it. What is revoked already is left as it is, so is what
   * cannot be held or reinstated. Returns how many changed. Throws for what was never issued.
   */
  revoke(revocations: readonly Revocation[]): Promise<number>;

  countCertificates(): Promise<{ readonly issued: number; readonly revoked: number }>;
}
