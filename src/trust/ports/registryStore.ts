/**
 * What the provisioner knows of devices and certificates, as a store. Writes are atomic and durable
 * when their promise resolves; a write that cannot be done whole changes nothing and says why. Nothing
 * is ever deleted: a revoked device keeps its row, so that its certificates stay refused.
 */

import type { RevocationReason } from '../../wire/crl/reason.ts';
import type { ProofLevel } from '../../wire/line/ticket.ts';

/**
 * `expected`: announced, may not enrol yet. `released`: finished and handed over. `enrolled`: has an
 * LDevID or a session of its present owner. `revoked`: final.
 */
export type DeviceState = 'expected' | 'released' | 'enrolled' | 'revoked';

export const deviceStates: readonly DeviceState[] = ['expected', 'released', 'enrolled', 'revoked'];

/** A gateway may carry frames of others; nothing else follows from it. */
export type DeviceRole = 'sensor' | 'gateway';

export const certificateKinds = [
  'idevid',
  'ldevid',
  'station',
  'application',
  'operator',
  'server',
] as const;

export type CertificateKind = (typeof certificateKinds)[number];

/** `superseded` was replaced by its renewal; `held` may become active again; `revoked` is final. */
export type CertificateState = 'active' | 'held' | 'superseded' | 'revoked';

export const certificateStates: readonly CertificateState[] = [
  'active',
  'held',
  'superseded',
  'revoked',
];

export interface DeviceIdentity {
  /** 16 characters of lower-case Crockford base32, permanent. */
  readonly deviceId: string;
  readonly family: string;
  /** Unique within the family. */
  readonly uid: Uint8Array;
  /** Link address, 8 bytes; a routing hint, never proof. */
  readonly eui64: Uint8Array | undefined;
  readonly product: string;
  readonly owner: string;
  /** DER of SubjectPublicKeyInfo; unique over all devices. */
  readonly signKeySpki: Uint8Array;
  /** Static Diffie-Hellman key, uncompressed P-256 point of 65 bytes; unique over all devices. */
  readonly agreeKey: Uint8Array | undefined;
  /** By which EDHOC names the agree key; short, so that several devices may share one. */
  readonly kid: Uint8Array | undefined;
  /** What was proven about the keys at birth. */
  readonly proofLevel: ProofLevel;
}

export interface DeviceRecord extends DeviceIdentity {
  readonly role: DeviceRole;
  readonly state: DeviceState;
  readonly importedMs: number;
  readonly enrolledMs: number | undefined;
  readonly revokedMs: number | undefined;
  readonly revocationReason: string | undefined;
  /** On hold since: refused like a revoked one, until it is reinstated. */
  readonly heldMs: number | undefined;
}

export interface CertificateEntry {
  /** Over the whole DER certificate. */
  readonly sha256: Uint8Array;
  readonly kind: CertificateKind;
  /** A deviceId for device certificates, else the name that its kind makes unique. */
  readonly holder: string;
  /** `undefined` for 99991231235959Z: no well-defined expiration (RFC 5280 §4.1.2.5). */
  readonly notAfterMs: number | undefined;
}

export interface CertificateRecord extends CertificateEntry {
  readonly state: CertificateState;
  readonly addedMs: number;
  readonly revokedMs: number | undefined;
  readonly revocationReason: string | undefined;
}

/** One device of a manifest, with the certificates that it was born with. */
export interface ImportedDevice {
  readonly identity: DeviceIdentity;
  readonly state: 'expected' | 'released';
  readonly certificates: ReadonlyArray<Omit<CertificateEntry, 'holder'>>;
}

/** Attributes that no two devices share. */
export type UniqueAttribute =
  | 'deviceId'
  | 'uid'
  | 'eui64'
  | 'signKeySpki'
  | 'agreeKey'
  | 'certificate';

export type ImportOutcome =
  | { readonly imported: number; readonly unchanged: number }
  /** Entry `index` shares `attribute` with an earlier entry or with a device known already. */
  | { readonly conflictAt: number; readonly attribute: UniqueAttribute };

export type EnrolmentOutcome =
  | 'enrolled'
  | 'unknown-device'
  | 'not-released'
  | 'held'
  | 'revoked'
  | 'taken';

export interface RevokedDevice {
  readonly deviceId: string;
  /** False when it had been so before; its certificates are listed all the same. */
  readonly changed: boolean;
  readonly certificates: readonly Uint8Array[];
}

export type CertificateChange = 'changed' | 'unchanged' | 'unknown' | 'forbidden';

/** Nothing leaves `revoked`, and `superseded` only becomes `revoked`. */
export function certificateChange(
  from: CertificateState,
  to: 'active' | 'held' | 'revoked',
): Exclude<CertificateChange, 'unknown'> {
  if (from === to) return 'unchanged';
  if (from === 'revoked' || (from === 'superseded' && to !== 'revoked')) return 'forbidden';
  return 'changed';
}

/** What the authority has yet to be told, written together with the act itself. */
export interface AuthorityNotice {
  readonly sequence: number;
  /** All certificates of a device, or one of anybody; the code says whether they are revoked, held or reinstated. */
  readonly act: 'revoke-device' | 'revoke-certificate';
  /** A deviceId, or the SHA-256 of a certificate in hexadecimal. */
  readonly subject: string;
  /** Whose certificate it is; `undefined` in notices of before it was recorded. */
  readonly holder: string | undefined;
  /** `certificateHold` for a hold, `removeFromCRL` for its end. */
  readonly code: RevocationReason;
  readonly reason: string;
  readonly atMs: number;
}

/** An authority of another maker, whose birth certificates open the door for enrolment. */
export interface ForeignAuthority {
  /** An intermediate is known because a resumed connection shows the device's own certificate alone. */
  readonly role: 'anchor' | 'intermediate';
  readonly certificate: Uint8Array;
}

export interface DevicePage {
  readonly limit: number;
  /** Devices whose id sorts after this one. */
  readonly after?: string | undefined;
  readonly state?: DeviceState | undefined;
}

/** Of the notice that an LDevID was superseded: nobody ordered it. */
export const renewed = { code: 'superseded', reason: 'renewed' } as const;

export interface RegistryStore {
  device(deviceId: string): Promise<DeviceRecord | undefined>;
  deviceByUid(family: string, uid: Uint8Array): Promise<DeviceRecord | undefined>;
  deviceByLinkAddress(eui64: Uint8Array): Promise<DeviceRecord | undefined>;
  deviceBySignKey(spki: Uint8Array): Promise<DeviceRecord | undefined>;
  /** By the uncompressed point. */
  deviceByAgreeKey(agreeKey: Uint8Array): Promise<DeviceRecord | undefined>;
  /** Released or enrolled and not on hold, in order of deviceId: others take no place below the limit. */
  devicesByKid(kid: Uint8Array, limit: number): Promise<readonly DeviceRecord[]>;
  /** In order of deviceId. */
  devices(page: DevicePage): Promise<readonly DeviceRecord[]>;
  /** In order of deviceId, behind `after`. */
  deviceIdsOf(
    by: 'product' | 'family',
    name: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly string[]>;
  countDevices(): Promise<Readonly<Record<DeviceState, number>>>;

  certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined>;
  /** In the order they were added. */
  certificatesOf(holder: string): Promise<readonly CertificateRecord[]>;

  /** An entry equal to a known device in every attribute is `unchanged`. */
  importDevices(devices: readonly ImportedDevice[], nowMs: number): Promise<ImportOutcome>;
  /** `expected` becomes `released`. Returns how many changed. */
  releaseDevices(deviceIds: readonly string[]): Promise<number>;
  /** Of all devices of a product, present and future. Returns how many present ones changed. */
  setProductRole(product: string, role: DeviceRole): Promise<number>;

  /** For holders that are no devices. `taken`: the certificate belongs to another holder or kind. */
  addCertificate(entry: CertificateEntry, nowMs: number): Promise<'added' | 'unchanged' | 'taken'>;
  /**
   * Adds an LDevID, and the device is `enrolled`; refused for a device that may not enrol. Its other LDevIDs
   * that are active or held become `superseded`, but for those with the SHA-256 that `beside` names; without
   * it they stay as they are.
   */
  enrolDevice(
    entry: CertificateEntry,
    nowMs: number,
    beside?: readonly Uint8Array[],
  ): Promise<EnrolmentOutcome>;
  /** A device without certificate operations is `enrolled` by its first session. */
  markEnrolled(deviceId: string, nowMs: number): Promise<EnrolmentOutcome>;
  /**
   * LDevIDs of the holder that are active or held and were added before this one become `superseded`, with a
   * notice for each. Returns how many.
   */
  supersedeOlder(holder: string, sha256: Uint8Array, nowMs: number): Promise<number>;
  /** As `certificateChange` says. */
  setCertificateState(
    sha256: Uint8Array,
    state: 'active' | 'held' | 'revoked',
    reason: string,
    nowMs: number,
    /** Of a revocation, `unspecified` when absent. */
    code?: RevocationReason,
  ): Promise<CertificateChange>;
  /** The devices and every certificate of theirs, in one transaction; unknown ids are left out. */
  revokeDevices(
    deviceIds: readonly string[],
    reason: string,
    nowMs: number,
    code?: RevocationReason,
  ): Promise<readonly RevokedDevice[]>;
  /**
   * The devices that are not revoked, and every active certificate of theirs; or back again, with every
   * certificate of theirs that is held. Unknown ids are left out.
   */
  setHold(
    deviceIds: readonly string[],
    held: boolean,
    reason: string,
    nowMs: number,
  ): Promise<readonly RevokedDevice[]>;

  /** In the order they were added. */
  foreignAuthorities(): Promise<readonly ForeignAuthority[]>;
  /** What is there already stays as it is. Returns how many are new. */
  addForeignAuthorities(authorities: readonly ForeignAuthority[], nowMs: number): Promise<number>;

  /** Sequence of the last manifest of the authority that was imported; 0 before the first. */
  lastManifest(): Promise<number>;
  noteManifest(sequence: number): Promise<void>;

  /** Oldest first, behind the one with that sequence. */
  pendingNotices(limit: number, after?: number): Promise<readonly AuthorityNotice[]>;
  settleNotices(sequences: readonly number[]): Promise<void>;
}
