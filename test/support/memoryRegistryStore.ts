/** The registry in maps: the reference that the contract suite holds the real stores against. */
import { compare, equal } from '../../src/wire/bytes/bytes.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { mayHaveSessions } from '../../src/trust/registry/registry.ts';
import type { RevocationReason } from '../../src/wire/crl/reason.ts';
import {
  type AuthorityNotice,
  type CertificateChange,
  type CertificateEntry,
  type CertificateRecord,
  type DevicePage,
  type DeviceRecord,
  type DeviceRole,
  type DeviceState,
  type EnrolmentOutcome,
  type ForeignAuthority,
  type ImportedDevice,
  type ImportOutcome,
  type RegistryStore,
  renewed,
  type RevokedDevice,
  type UniqueAttribute,
} from '../../src/trust/ports/registryStore.ts';

export class MemoryRegistryStore implements RegistryStore {
  readonly #devices = new Map<string, DeviceRecord>();
  readonly #certificates = new Map<string, CertificateRecord>();
  readonly #gatewayProducts = new Set<string>();
  #notices: AuthorityNotice[] = [];
  #sequence = 0;
  readonly #foreignAuthorities: ForeignAuthority[] = [];
  #lastManifest = 0;

  async device(deviceId: string): Promise<DeviceRecord | undefined> {
    return this.#devices.get(deviceId);
  }

  async deviceByUid(family: string, uid: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#sorted().find((device) => device.family === family && equal(device.uid, uid));
  }

  async deviceByLinkAddress(eui64: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#sorted().find((device) => same(device.eui64, eui64));
  }

  async deviceBySignKey(spki: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#sorted().find((device) => equal(device.signKeySpki, spki));
  }

  async deviceByAgreeKey(agreeKey: Uint8Array): Promise<DeviceRecord | undefined> {
    return this.#sorted().find((device) => same(device.agreeKey, agreeKey));
  }

  async devicesByKid(kid: Uint8Array, limit: number): Promise<readonly DeviceRecord[]> {
    return this.#sorted()
      .filter((device) => same(device.kid, kid) && mayHaveSessions(device))
      .slice(0, limit);
  }

  async devices({ limit, after, state }: DevicePage): Promise<readonly DeviceRecord[]> {
    return this.#sorted()
      .filter((device) => after === undefined || device.deviceId > after)
      .filter((device) => state === undefined || device.state === state)
      .slice(0, limit);
  }

  async deviceIdsOf(
    by: 'product' | 'family',
    name: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly string[]> {
    return this.#sorted()
      .filter((device) => device[by] === name && device.deviceId > (after ?? ''))
      .slice(0, limit)
      .map(({ deviceId }) => deviceId);
  }

  async countDevices(): Promise<Readonly<Record<DeviceState, number>>> {
    const counts = { expected: 0, released: 0, enrolled: 0, revoked: 0 };
    for (const { state } of this.#devices.values()) counts[state] += 1;
    return counts;
  }

  async certificate(sha256: Uint8Array): Promise<CertificateRecord | undefined> {
    return this.#certificates.get(toHex(sha256));
  }

  async certificatesOf(holder: string): Promise<readonly CertificateRecord[]> {
    return [...this.#certificates.values()].filter((record) => record.holder === holder);
  }

  async importDevices(devices: readonly ImportedDevice[], nowMs: number): Promise<ImportOutcome> {
    const fresh: ImportedDevice[] = [];
    let unchanged = 0;
    for (const [index, device] of devices.entries()) {
      if (this.#isKnown(device)) {
        unchanged += 1;
        continue;
      }
      const attribute = this.#conflict(device, fresh);
      if (attribute !== undefined) return { conflictAt: index, attribute };
      fresh.push(device);
    }
    for (const { identity, state, certificates } of fresh) {
      this.#devices.set(identity.deviceId, {
        ...identity,
        role: this.#gatewayProducts.has(identity.product) ? 'gateway' : 'sensor',
        state,
        importedMs: nowMs,
        enrolledMs: undefined,
        revokedMs: undefined,
        revocationReason: undefined,
        heldMs: undefined,
      });
      for (const entry of certificates) this.#put({ ...entry, holder: identity.deviceId }, nowMs);
    }
    return { imported: fresh.length, unchanged };
  }

  async releaseDevices(deviceIds: readonly string[]): Promise<number> {
    const changed = deviceIds.flatMap((deviceId) => this.#devices.get(deviceId) ?? []);
    const expected = changed.filter(({ state }) => state === 'expected');
    for (const device of expected)
      this.#devices.set(device.deviceId, { ...device, state: 'released' });
    return expected.length;
  }

  async setProductRole(product: string, role: DeviceRole): Promise<number> {
    if (role === 'gateway') this.#gatewayProducts.add(product);
    else this.#gatewayProducts.delete(product);
    const changed = this.#sorted().filter((d) => d.product === product && d.role !== role);
    for (const device of changed) this.#devices.set(device.deviceId, { ...device, role });
    return changed.length;
  }

  async addCertificate(
    entry: CertificateEntry,
    nowMs: number,
  ): Promise<'added' | 'unchanged' | 'taken'> {
    const known = this.#certificates.get(toHex(entry.sha256));
    if (known === undefined) {
      this.#put(entry, nowMs);
      return 'added';
    }
    return known.holder === entry.holder && known.kind === entry.kind ? 'unchanged' : 'taken';
  }

  async enrolDevice(
    entry: CertificateEntry,
    nowMs: number,
    beside?: readonly Uint8Array[],
  ): Promise<EnrolmentOutcome> {
    const known = this.#certificates.get(toHex(entry.sha256));
    if (known !== undefined && (known.holder !== entry.holder || known.kind !== entry.kind)) {
      return 'taken';
    }
    const outcome = await this.markEnrolled(entry.holder, nowMs);
    if (outcome === 'enrolled' && known === undefined) this.#put(entry, nowMs);
    if (outcome === 'enrolled' && beside !== undefined) {
      const kept = new Set([entry.sha256, ...beside].map(toHex));
      for (const record of this.#living(entry.holder)) {
        if (!kept.has(toHex(record.sha256))) this.#supersede(record);
      }
    }
    return outcome;
  }

  async markEnrolled(deviceId: string, nowMs: number): Promise<EnrolmentOutcome> {
    const device = this.#devices.get(deviceId);
    if (device === undefined) return 'unknown-device';
    if (device.state === 'revoked') return 'revoked';
    if (device.state === 'expected') return 'not-released';
    if (device.heldMs !== undefined) return 'held';
    const enrolledMs = device.enrolledMs ?? nowMs;
    this.#devices.set(deviceId, { ...device, state: 'enrolled', enrolledMs });
    return 'enrolled';
  }

  async supersedeOlder(holder: string, sha256: Uint8Array, nowMs: number): Promise<number> {
    const all = [...this.#certificates.values()];
    const mine = all.findIndex((record) => equal(record.sha256, sha256));
    const older = new Set(all.slice(0, Math.max(0, mine)));
    const others = this.#living(holder).filter((record) => older.has(record));
    for (const record of others) {
      this.#supersede(record);
      const subject = toHex(record.sha256);
      this.#notify({ act: 'revoke-certificate', subject, holder, ...renewed, atMs: nowMs });
    }
    return others.length;
  }

  #living(holder: string): readonly CertificateRecord[] {
    return [...this.#certificates.values()].filter(
      (record) =>
        record.holder === holder &&
        record.kind === 'ldevid' &&
        (record.state === 'active' || record.state === 'held'),
    );
  }

  #supersede(record: CertificateRecord): void {
    this.#certificates.set(toHex(record.sha256), { ...record, state: 'superseded' });
  }

  async setCertificateState(
    sha256: Uint8Array,
    state: 'active' | 'held' | 'revoked',
    reason: string,
    nowMs: number,
    code: RevocationReason = 'unspecified',
  ): Promise<CertificateChange> {
    const record = this.#certificates.get(toHex(sha256));
    if (record === undefined) return 'unknown';
    if (record.state === state) return 'unchanged';
    if (record.state === 'revoked') return 'forbidden';
    if (record.state === 'superseded' && state !== 'revoked') return 'forbidden';
    this.#setState(record, state, reason, nowMs);
    const codes = { active: 'removeFromCRL', held: 'certificateHold', revoked: code } as const;
    const told = { code: codes[state], holder: record.holder, reason, atMs: nowMs };
    this.#notify({ act: 'revoke-certificate', subject: toHex(sha256), ...told });
    return 'changed';
  }

  async revokeDevices(
    deviceIds: readonly string[],
    reason: string,
    nowMs: number,
    code: RevocationReason = 'unspecified',
  ): Promise<readonly RevokedDevice[]> {
    const known = deviceIds.flatMap((deviceId) => this.#devices.get(deviceId) ?? []);
    return known.map((device) => {
      const { deviceId } = device;
      const changed = device.state !== 'revoked';
      if (changed) {
        const revoked = { state: 'revoked', revokedMs: nowMs, revocationReason: reason } as const;
        this.#devices.set(deviceId, { ...device, ...revoked, heldMs: undefined });
        this.#notifyOfDevice(deviceId, code, reason, nowMs);
      }
      const certificates = [...this.#certificates.values()].filter((c) => c.holder === deviceId);
      for (const record of certificates) {
        if (record.state !== 'revoked') this.#setState(record, 'revoked', reason, nowMs);
      }
      return { deviceId, changed, certificates: certificates.map(({ sha256 }) => sha256) };
    });
  }

  async setHold(
    deviceIds: readonly string[],
    held: boolean,
    reason: string,
    nowMs: number,
  ): Promise<readonly RevokedDevice[]> {
    const known = deviceIds.flatMap((deviceId) => this.#devices.get(deviceId) ?? []);
    return known.map((device) => {
      const { deviceId } = device;
      const certificates = [...this.#certificates.values()].filter((c) => c.holder === deviceId);
      const changed = held
        ? device.state !== 'revoked' && device.heldMs === undefined
        : device.heldMs !== undefined;
      if (changed) {
        this.#devices.set(deviceId, { ...device, heldMs: held ? nowMs : undefined });
        this.#notifyOfDevice(deviceId, held ? 'certificateHold' : 'removeFromCRL', reason, nowMs);
        const [from, to] = held ? (['active', 'held'] as const) : (['held', 'active'] as const);
        for (const record of certificates) {
          if (record.state === from) this.#setState(record, to, reason, nowMs);
        }
      }
      return { deviceId, changed, certificates: certificates.map(({ sha256 }) => sha256) };
    });
  }

  async foreignAuthorities(): Promise<readonly ForeignAuthority[]> {
    return this.#foreignAuthorities;
  }

  async addForeignAuthorities(
    authorities: readonly ForeignAuthority[],
    _nowMs: number,
  ): Promise<number> {
    const known = new Set(this.#foreignAuthorities.map((entry) => toHex(entry.certificate)));
    const fresh = new Map(
      authorities
        .filter((entry) => !known.has(toHex(entry.certificate)))
        .map((entry) => [toHex(entry.certificate), entry]),
    );
    this.#foreignAuthorities.push(...fresh.values());
    return fresh.size;
  }

  async lastManifest(): Promise<number> {
    return this.#lastManifest;
  }

  async noteManifest(sequence: number): Promise<void> {
    this.#lastManifest = Math.max(this.#lastManifest, sequence);
  }

  async pendingNotices(limit: number, after = 0): Promise<readonly AuthorityNotice[]> {
    return this.#notices.filter(({ sequence }) => sequence > after).slice(0, limit);
  }

  async settleNotices(sequences: readonly number[]): Promise<void> {
    this.#notices = this.#notices.filter(({ sequence }) => !sequences.includes(sequence));
  }

  #sorted(): DeviceRecord[] {
    return [...this.#devices.values()].sort((a, b) => (a.deviceId < b.deviceId ? -1 : 1));
  }

  #put(entry: CertificateEntry, nowMs: number): void {
    this.#certificates.set(toHex(entry.sha256), {
      ...entry,
      state: 'active',
      addedMs: nowMs,
      revokedMs: undefined,
      revocationReason: undefined,
    });
  }

  #setState(
    record: CertificateRecord,
    state: 'active' | 'held' | 'revoked',
    reason: string,
    nowMs: number,
  ): void {
    const revoked = state === 'revoked';
    this.#certificates.set(toHex(record.sha256), {
      ...record,
      state,
      revokedMs: revoked ? nowMs : undefined,
      revocationReason: state === 'active' ? undefined : reason,
    });
  }

  #notifyOfDevice(deviceId: string, code: RevocationReason, reason: string, atMs: number): void {
    const told = { subject: deviceId, holder: deviceId, code, reason, atMs };
    this.#notify({ act: 'revoke-device', ...told });
  }

  #notify(notice: Omit<AuthorityNotice, 'sequence'>): void {
    this.#sequence += 1;
    this.#notices.push({ sequence: this.#sequence, ...notice });
  }

  #isKnown({ identity, certificates }: ImportedDevice): boolean {
    const known = this.#devices.get(identity.deviceId);
    if (known === undefined) return false;
    const holds = ({ sha256 }: { sha256: Uint8Array }): boolean =>
      this.#certificates.get(toHex(sha256))?.holder === identity.deviceId;
    return (
      known.family === identity.family &&
      same(known.uid, identity.uid) &&
      same(known.eui64, identity.eui64) &&
      known.product === identity.product &&
      known.owner === identity.owner &&
      same(known.signKeySpki, identity.signKeySpki) &&
      same(known.agreeKey, identity.agreeKey) &&
      same(known.kid, identity.kid) &&
      known.proofLevel === identity.proofLevel &&
      certificates.every(holds)
    );
  }

  #conflict(
    { identity, certificates }: ImportedDevice,
    fresh: readonly ImportedDevice[],
  ): UniqueAttribute | undefined {
    const others = [...this.#devices.values(), ...fresh.map((device) => device.identity)];
    if (others.some(({ deviceId }) => deviceId === identity.deviceId)) return 'deviceId';
    const uid = ({ family, uid }: { family: string; uid: Uint8Array }): boolean =>
      family === identity.family && equal(uid, identity.uid);
    if (others.some(uid)) return 'uid';
    for (const attribute of ['eui64', 'signKeySpki', 'agreeKey'] as const) {
      const value = identity[attribute];
      if (value !== undefined && others.some((other) => same(other[attribute], value))) {
        return attribute;
      }
    }
    const earlier = fresh.flatMap((device) => device.certificates);
    const taken = certificates.some(
      ({ sha256 }) =>
        this.#certificates.has(toHex(sha256)) ||
        earlier.some((entry) => compare(entry.sha256, sha256) === 0),
    );
    return taken ? 'certificate' : undefined;
  }
}

function same(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return equal(left, right);
}
