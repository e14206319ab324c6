/**
 * The registry: which devices exist, which certificates are whose, and what may still be done with
 * them. It disables and never deletes. Doors ask it at every connection, sessions at every handshake.
 */
import { equal } from '../../wire/bytes/bytes.ts';
import { type ProofLevel, proofLevels } from '../../wire/line/ticket.ts';
import type { Clock } from '../ports/clock.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type {
  CertificateEntry,
  CertificateKind,
  CertificateRecord,
  DevicePage,
  DeviceRecord,
  DeviceRole,
  DeviceState,
  EnrolmentOutcome,
  ForeignAuthority,
  ImportedDevice,
  RegistryStore,
} from '../ports/registryStore.ts';
import { faultOfImport, isDeviceId, isName, maximumImport } from './importRules.ts';

export type ImportRefusal = 'too-many' | 'malformed' | 'duplicate';
export type EnrolmentRefusal = Exclude<EnrolmentOutcome, 'enrolled'>;
export type CertificateRefusal = 'unknown-certificate' | 'forbidden' | 'taken' | 'bad-name';

/** Devices that one link address or kid may stand for; beyond it a handshake is not worth its price. */
export const maximumCandidates = 16;
/** Authorities of other makers whose devices may enrol here. */
export const maximumForeignAuthorities = 256;
/** Longest page of a listing. */
export const maximumPage = 1000;

export interface ImportSummary {
  readonly imported: number;
  readonly unchanged: number;
}

export interface EnrolmentRules {
  /** Least proof level that may enrol, by default possession of the key. */
  readonly leastProof: ProofLevel;
}

export class Registry {
  readonly #store: RegistryStore;
  readonly #clock: Clock;
  readonly #rules: EnrolmentRules;

  constructor(store: RegistryStore, clock: Clock, rules?: EnrolmentRules) {
    this.#store = store;
    this.#clock = clock;
    this.#rules = rules ?? { leastProof: 'possession' };
  }

  device(deviceId: string): Promise<DeviceRecord | undefined> {
    return this.#store.device(deviceId);
  }

  deviceByUid(family: string, uid: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#store.deviceByUid(family, uid);
  }

  /** The device that was born with this key. */
  deviceBySignKey(spki: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#store.deviceBySignKey(spki);
  }

  /** At most `maximumPage` devices, in order of deviceId. */
  devices(page: DevicePage): Promise<readonly DeviceRecord[]> {
    return this.#store.devices({ ...page, limit: Math.min(page.limit, maximumPage) });
  }

  countDevices(): Promise<Readonly<Record<DeviceState, number>>> {
    return this.#store.countDevices();
  }

  certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined> {
    return this.#store.certificate(sha256);
  }

  certificatesOf(holder: string): Promise<readonly CertificateRecord[]> {
    return this.#store.certificatesOf(holder);
  }

  /**
   * Devices that a handshake naming `kid` may come from, the one at `linkAddress` first. The address
   * only orders: a device that moved or lies about it is still found by its kid, and nobody is
   * authenticated here.
   */
  async candidates(
    kid: Uint8Array,
    linkAddress: Uint8Array | undefined,
  ): Promise<readonly DeviceRecord[]> {
    const hinted =
      linkAddress === undefined ? undefined : await this.#store.deviceByLinkAddress(linkAddress);
    const named = hinted?.kid !== undefined && equal(hinted.kid, kid) ? [hinted] : [];
    const others = await this.#store.devicesByKid(kid, maximumCandidates);
    const known = named.concat(others.filter(({ deviceId }) => deviceId !== hinted?.deviceId));
    return known.filter(mayHaveSessions).slice(0, maximumCandidates);
  }

  /** The device with this agree key, if it may have sessions: a key that is shown whole names one. */
  async candidateByKey(agreeKey: Uint8Array): Promise<DeviceRecord | undefined> {
    const device = await this.#store.deviceByAgreeKey(agreeKey);
    return device !== undefined && mayHaveSessions(device) ? device : undefined;
  }

  /**
   * All or nothing: one bad entry refuses the import and is named by its position and deviceId. An
   * entry that is known already, equal in everything, counts as unchanged.
   */
  async importDevices(
    devices: readonly ImportedDevice[],
  ): Promise<ImportSummary | Refusal<ImportRefusal>> {
    if (devices.length > maximumImport) {
      return refuse('too-many', `an import takes at most ${maximumImport} devices`);
    }
    for (const [index, device] of devices.entries()) {
      const fault = faultOfImport(device);
      if (fault !== undefined) return refuse('malformed', `${entryName(devices, index)}: ${fault}`);
    }
    const outcome = await this.#store.importDevices(devices, this.#clock.nowMs());
    if ('imported' in outcome) return outcome;
    const name = entryName(devices, outcome.conflictAt);
    return refuse('duplicate', `${name}: its ${outcome.attribute} belongs to another device`);
  }

  foreignAuthorities(): Promise<readonly ForeignAuthority[]> {
    return this.#store.foreignAuthorities();
  }

  /** Whether as many may be added: every one is looked at for every birth certificate that comes. */
  async roomForForeign(count: number): Promise<undefined | Refusal<'too-many'>> {
    const known = await this.#store.foreignAuthorities();
    return known.length + count > maximumForeignAuthorities
      ? refuse('too-many', `at most ${maximumForeignAuthorities} authorities of other makers`)
      : undefined;
  }

  /** Their devices may come to the door of devices, and enrol when they are released. */
  trustForeign(authorities: readonly ForeignAuthority[]): Promise<number> {
    return this.#store.addForeignAuthorities(authorities, this.#clock.nowMs());
  }

  lastManifest(): Promise<number> {
    return this.#store.lastManifest();
  }

  noteManifest(sequence: number): Promise<void> {
    return this.#store.noteManifest(sequence);
  }

  releaseDevices(deviceIds: readonly string[]): Promise<number> {
    return this.#store.releaseDevices(deviceIds);
  }

  setProductRole(product: string, role: DeviceRole): Promise<number> {
    return this.#store.setProductRole(product, role);
  }

  /** The device, when it may be given an operational identity now. */
  async mayEnrol(deviceId: string): Promise<DeviceRecord | Refusal<EnrolmentRefusal>> {
    const device = await this.#store.device(deviceId);
    if (device === undefined) return refuseEnrolment('unknown-device', deviceId);
    if (device.state === 'revoked') return refuseEnrolment('revoked', deviceId);
    if (device.heldMs !== undefined) return refuseEnrolment('held', deviceId);
    const least = proofLevels.indexOf(this.#rules.leastProof);
    const proven = proofLevels.indexOf(device.proofLevel) >= least;
    return device.state === 'expected' || !proven
      ? refuseEnrolment('not-released', deviceId)
      : device;
  }

  /**
   * Records an LDevID that the authority has issued; from here on it opens doors. `beside`: SHA-256 of those
   * that the authority lets go on; the others open nothing any more.
   */
  async enrolDevice(
    entry: CertificateEntry & { readonly kind: 'ldevid' },
    beside: readonly Uint8Array[],
  ): Promise<undefined | Refusal<EnrolmentRefusal>> {
    const outcome = await this.#store.enrolDevice(entry, this.#clock.nowMs(), beside);
    return outcome === 'enrolled' ? undefined : refuseEnrolment(outcome, entry.holder);
  }

  /** A device without certificate operations enrols by its first authenticated session. */
  async markEnrolled(deviceId: string): Promise<undefined | Refusal<EnrolmentRefusal>> {
    const outcome = await this.#store.markEnrolled(deviceId, this.#clock.nowMs());
    return outcome === 'enrolled' ? undefined : refuseEnrolment(outcome, deviceId);
  }

  /**
   * A device that has shown its new LDevID no longer needs the ones before it: they are superseded, and the
   * authority is to be told. Returns how many those were.
   */
  async noteUse(peer: {
    readonly kind: CertificateKind;
    readonly holder: string;
    readonly sha256: Uint8Array;
  }): Promise<number> {
    if (peer.kind !== 'ldevid') return 0;
    // Asked first: nearly always there is one, and a write costs a flush of the disk.
    const certificates = await this.#store.certificatesOf(peer.holder);
    const living = certificates.filter(
      ({ kind, state }) => kind === 'ldevid' && (state === 'active' || state === 'held'),
    );
    return living.length < 2
      ? 0
      : this.#store.supersedeOlder(peer.holder, peer.sha256, this.#clock.nowMs());
  }

  /** For stations, applications, operators and servers. */
  async addCertificate(entry: CertificateEntry): Promise<undefined | Refusal<CertificateRefusal>> {
    if (entry.kind === 'idevid' || entry.kind === 'ldevid') {
      throw new TypeError('certificates of devices come by import or enrolment');
    }
    // Holders of all kinds are looked up, revoked and cut off by one name: none may look like a device.
    if (isDeviceId(entry.holder) || !isName(entry.holder)) {
      return refuse('bad-name', 'a name has 1 to 64 printable characters and is no device id');
    }
    const outcome = await this.#store.addCertificate(entry, this.#clock.nowMs());
    return outcome === 'taken'
      ? refuse('taken', `the certificate belongs to another holder than ${entry.holder}`)
      : undefined;
  }

  /** Refused until `reinstate`; connections that are open already are the caller's matter. */
  hold(sha256: Uint8Array, reason: string): Promise<undefined | Refusal<CertificateRefusal>> {
    return this.#setState(sha256, 'held', reason);
  }

  reinstate(sha256: Uint8Array, reason: string): Promise<undefined | Refusal<CertificateRefusal>> {
    return this.#setState(sha256, 'active', reason);
  }

  async #setState(
    sha256: Uint8Array,
    state: 'active' | 'held',
    reason: string,
  ): Promise<undefined | Refusal<CertificateRefusal>> {
    const now = this.#clock.nowMs();
    const change = await this.#store.setCertificateState(sha256, state, reason, now);
    if (change === 'unknown') return refuse('unknown-certificate', 'no such certificate');
    return change === 'forbidden' ? refuse('forbidden', finalState) : undefined;
  }
}

export const finalState = 'a revoked or superseded certificate stays what it is';

/** A device that was only announced, is on hold or revoked, is no party of any session. */
export function mayHaveSessions(device: DeviceRecord): boolean {
  return (
    (device.state === 'released' || device.state === 'enrolled') && device.heldMs === undefined
  );
}

const enrolmentReasons: Readonly<Record<EnrolmentRefusal, string>> = {
  'unknown-device': 'is not known here',
  'not-released': 'is not released for enrolment',
  held: 'is on hold',
  revoked: 'is revoked',
  taken: 'cannot use a certificate that belongs to another holder',
};

function refuseEnrolment(code: EnrolmentRefusal, deviceId: string): Refusal<EnrolmentRefusal> {
  return refuse(code, `device ${deviceId} ${enrolmentReasons[code]}`);
}

function entryName(devices: readonly ImportedDevice[], index: number): string {
  return `entry ${index} (device ${devices[index]?.identity.deviceId ?? '?'})`;
}
