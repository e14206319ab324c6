/**
 * Takes notice of what was revoked, held or reinstated elsewhere, so that lists and answers follow. Where two
 * persons are needed a report alone changes few devices in a day; more take an approval, which is looked at
 * here, and changes what it is about and nothing else.
 */
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import type { RevocationReason } from '../../wire/crl/reason.ts';
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { Begun } from '../approvals/permissions.ts';
import { encodeAuditEntry, readAuditEntry } from '../audit/entry.ts';
import type { ForeignElements } from '../issuance/foreign.ts';
import { isProfileOfAuthority } from '../issuance/profiles.ts';
import { isDeviceId } from '../issuance/certification.ts';
import { hashOfIssued } from '../issuance/succession.ts';
import type { ApprovalStore } from '../ports/approvalStore.ts';
import type { AuditStore } from '../ports/auditStore.ts';
import type { Clock } from '../ports/clock.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import {
  isLost,
  type IssuanceStore,
  type IssuedCertificate,
  type Revocation,
} from '../ports/issuanceStore.ts';
import { type AuthorityNotice, renewed } from '../ports/registryStore.ts';
import type { SecurityLog } from '../ports/securityLog.ts';
import { codeOfOrder } from '../ports/statusOrders.ts';
import type { StatusStore } from '../ports/statusStore.ts';

export interface StatusNoticesOptions {
  readonly crypto: Crypto;
  readonly clock: Clock;
  readonly certificates: Pick<IssuanceStore, 'certificatesOf' | 'promisesTo' | 'revoke'>;
  readonly units: Pick<StatusStore, 'selected'>;
  readonly audit: Pick<AuditStore, 'append' | 'leaves'>;
  readonly approvals: Pick<ApprovalStore, 'soleChangesLeft' | 'takeSoleChanges'>;
  readonly foreign: Pick<ForeignElements, 'device' | 'deviceOfCertificate' | 'revoke'>;
  readonly security?: SecurityLog | undefined;
}

export interface Recorded {
  /** Certificates, and bindings of elements of other makers. */
  readonly changed: number;
  /** Notices of which nothing was done: they take an approval, or another day. */
  readonly waiting: readonly AuthorityNotice[];
}

export type StatusKind = 'revoked' | 'held' | 'reinstated';

/** Decisions of the audit log before the changes that they are about: whose, and what allowed them. */
export const reportedAct = 'status-reported';
export const orderedAct = 'status-ordered';

/** What a notice would change, of one holder. */
interface Effect {
  readonly notice: AuthorityNotice;
  readonly holder: string;
  readonly changes: readonly Revocation[];
  /** The binding of an element of another maker ends. */
  readonly unbinds: boolean;
  /** A device goes on with a newer certificate: no person changed its status. */
  readonly isRenewal?: boolean;
}

/** Leaves that are read at once when a certificate is looked for by its hash. */
const auditPage = 1_000;
/** Holders that one leaf names, of at most 64 characters each: well below what a leaf may hold. */
const namedAtOnce = 500;
/** A provisioner tells again every few seconds what was not taken. */
const noteEveryMs = 60_000;

export class StatusNotices {
  readonly #options: StatusNoticesOptions;
  #notedMs = -Infinity;

  constructor(options: StatusNoticesOptions) {
    this.#options = options;
  }

  /** Durable and idempotent; what this authority never issued is not its matter. */
  async record(notices: readonly AuthorityNotice[]): Promise<Recorded> {
    const { approvals, clock } = this.#options;
    const effects = await this.#effectsOf(notices);
    const atMs = clock.nowMs();
    const left = await approvals.soleChangesLeft(atMs);
    if (left === undefined) return { changed: await this.#apply(effects), waiting: [] };
    const devices = new Set<string>();
    const taken: Effect[] = [];
    const waiting = new Set<AuthorityNotice>();
    for (const effect of effects) {
      if (effect.isRenewal === true) {
        taken.push(effect);
        continue;
      }
      const device = `${kindOf(effect.notice.code)} ${effect.holder}`;
      if (devices.size < left || devices.has(device)) {
        devices.add(device);
        taken.push(effect);
      } else {
        waiting.add(effect.notice);
      }
    }
    // A crash behind this line has counted devices that did not change: told again, they count again.
    const counted = taken.filter(({ isRenewal }) => isRenewal !== true);
    const entries = leavesOf(counted, (kind, detail) => ({
      act: reportedAct,
      subject: kind,
      detail,
      atMs,
    }));
    if (counted.length > 0 && !(await approvals.takeSoleChanges(devices.size, atMs, entries))) {
      // Another process of this authority took them meanwhile.
      for (const { notice } of counted) waiting.add(notice);
    }
    if (waiting.size > 0) this.#note(waiting.size, atMs);
    const changed = await this.#apply(taken.filter(({ notice }) => !waiting.has(notice)));
    return { changed, waiting: [...waiting] };
  }

  /** Under an approval: all of it, or nothing when something is not what was approved. */
  async recordOrdered(
    begun: Begun<'status.mass'>,
    notices: readonly AuthorityNotice[],
  ): Promise<Recorded | Refusal<'not-ordered'>> {
    const effects = await this.#effectsOf(notices);
    if (!(await this.#areOrdered(begun, effects))) {
      const { code, reason } = notOrdered;
      const subject = begun.approval && toHex(begun.approval);
      this.#options.security?.note({
        door: 'approvals',
        code,
        reason,
        ...(subject && { subject }),
      });
      return refuse(code, reason);
    }
    const { approval } = begun;
    if (approval !== undefined) {
      const atMs = this.#options.clock.nowMs();
      const subject = toHex(approval);
      const entries = leavesOf(effects, (kind, names) => {
        const detail = `${kind} ${names}`;
        return { act: orderedAct, subject, detail, atMs };
      });
      if (entries.length > 0) await this.#options.audit.append(entries);
    }
    return { changed: await this.#apply(effects), waiting: [] };
  }

  async #apply(effects: readonly Effect[]): Promise<number> {
    const { foreign, certificates } = this.#options;
    let unbound = 0;
    for (const { holder, notice, unbinds } of effects) {
      if (unbinds && (await foreign.revoke(holder, notice.reason, notice.atMs))) unbound += 1;
    }
    const changes = effects.flatMap((effect) => effect.changes);
    return unbound + (changes.length === 0 ? 0 : await certificates.revoke(changes));
  }

  /** Of those notices that would change something. */
  async #effectsOf(notices: readonly AuthorityNotice[]): Promise<readonly Effect[]> {
    const effects: Effect[] = [];
    const byHash = new Map<string, AuthorityNotice>();
    for (const notice of notices) {
      const { act, subject, holder } = notice;
      const foreigner = await this.#foreignerOf(notice);
      if (foreigner !== undefined) {
        effects.push({ notice, holder: foreigner, changes: [], unbinds: true });
      }
      if (act === 'revoke-certificate' && holder === undefined) {
        byHash.set(subject, notice);
        continue;
      }
      const whose = holder ?? subject;
      const changes = await this.#changesOf(notice, whose);
      if (changes.length > 0) {
        const isRenewal = await this.#isRenewal(notice, whose);
        effects.push({ notice, holder: whose, changes, unbinds: false, isRenewal });
      }
    }
    return byHash.size === 0 ? effects : [...effects, ...(await this.#effectsByHash(byHash))];
  }

  async #changesOf(notice: AuthorityNotice, holder: string): Promise<readonly Revocation[]> {
    const { crypto, certificates } = this.#options;
    const { act, subject } = notice;
    const known = await certificates.certificatesOf(holder);
    return known
      .filter((issued) => follows(issued, notice.code))
      .filter(
        (issued) => act === 'revoke-device' || toHex(hashOfIssued(crypto, issued)) === subject,
      )
      .map(({ serialNumber }) => changeOf(serialNumber, notice));
  }

  /**
   * Whether the certificate is a device's operational one and a newer one counts: whoever says so can end
   * what was replaced, and nothing else.
   */
  async #isRenewal({ act, code, subject }: AuthorityNotice, holder: string): Promise<boolean> {
    if (act !== 'revoke-certificate' || code !== renewed.code || !isDeviceId(holder)) return false;
    const { certificates, crypto } = this.#options;
    const living = (await certificates.promisesTo(holder)).certificates;
    const older = living.slice(0, -1).filter((one) => !isLost(one));
    return older.some((one) => toHex(hashOfIssued(crypto, one)) === subject);
  }

  /**
   * The device, bound and not revoked, whose birth certificate of another maker the notice ends. It can be
   * ended here, not held: nothing of it is on a list of ours.
   */
  async #foreignerOf({ act, subject, code }: AuthorityNotice): Promise<string | undefined> {
    if (!isFinal(code)) return undefined;
    const { foreign } = this.#options;
    const sha256 = act === 'revoke-certificate' ? parseHex(subject) : undefined;
    const deviceId = sha256 === undefined ? subject : await foreign.deviceOfCertificate(sha256);
    const device = deviceId === undefined ? undefined : await foreign.device(deviceId);
    return device !== undefined && device.revokedMs === undefined ? deviceId : undefined;
  }

  /** The audit log knows the hash of everything that was issued; one walk finds all that are wanted. */
  async #effectsByHash(wanted: ReadonlyMap<string, AuthorityNotice>): Promise<readonly Effect[]> {
    const found: Effect[] = [];
    let met = 0;
    for (let from = 0; met < wanted.size; from += auditPage) {
      const leaves = await this.#options.audit.leaves(from, auditPage);
      for (const leaf of leaves) {
        const entry = readAuditEntry(leaf);
        if (entry.kind !== 'issued') continue;
        const notice = wanted.get(toHex(entry.certificateSha256));
        if (notice === undefined) continue;
        met += 1;
        const { holder } = entry;
        const changes = await this.#changesOf(notice, holder);
        if (changes.length > 0) found.push({ notice, holder, changes, unbinds: false });
      }
      if (leaves.length < auditPage) break;
    }
    return found;
  }

  async #areOrdered(
    { request }: Begun<'status.mass'>,
    effects: readonly Effect[],
  ): Promise<boolean> {
    const { scope } = request;
    const isSaid = effects.every(
      ({ notice }) => notice.code === codeOfOrder(request) && notice.reason === request.reason,
    );
    if (!isSaid) return false;
    switch (scope.by) {
      case 'certificate':
        return effects.every(({ notice }) => isOf(notice, toHex(scope.sha256)));
      case 'device':
        return effects.every(
          ({ notice, holder }) =>
            notice.act === 'revoke-device' && scope.deviceIds.includes(holder),
        );
      case 'station': {
        const devices = effects.filter(({ holder }) => holder !== scope.name);
        return devices.length === 0 || (scope.withDevices && this.#areSelected(scope, devices));
      }
      case 'batch':
      case 'product':
      case 'family':
        return this.#areSelected(scope, effects);
    }
  }

  /** By what this authority knows of their birth; of elements of other makers it knows the product alone. */
  async #areSelected(
    scope: Parameters<StatusStore['selected']>[0],
    effects: readonly Effect[],
  ): Promise<boolean> {
    const { units, foreign } = this.#options;
    const born = await units.selected(
      scope,
      effects.map(({ holder }) => holder),
    );
    for (const { holder } of effects) {
      const isSelected = born.get(holder);
      if (isSelected === true) continue;
      const device = isSelected === undefined ? await foreign.device(holder) : undefined;
      if (device === undefined) return false;
      // Which family an element of another maker is of stands in the maker's manifest, which never came here.
      const fits =
        scope.by === 'product'
          ? device.product === scope.name
          : scope.by === 'family' && scope.firmware === undefined;
      if (!fits) return false;
    }
    return true;
  }

  #note(count: number, atMs: number): void {
    if (atMs - this.#notedMs < noteEveryMs) return;
    this.#notedMs = atMs;
    const reason = 'More devices than one person may change the status of in a day were reported.';
    const subject = `${count} notices`;
    this.#options.security?.note({ door: 'approvals', code: 'approval-needed', reason, subject });
  }
}

const notOrdered = {
  code: 'not-ordered',
  reason: 'The approval is about other devices, or another change of their status.',
} as const;

function isOf({ act, subject }: AuthorityNotice, sha256: string): boolean {
  return act === 'revoke-certificate' && subject === sha256;
}

/** A leaf for each kind of change and so many holders of it. */
function leavesOf(
  effects: readonly Effect[],
  decision: (
    kind: StatusKind,
    names: string,
  ) => {
    readonly act: string;
    readonly subject: string;
    readonly detail: string;
    readonly atMs: number;
  },
): readonly Uint8Array[] {
  const entries: Uint8Array[] = [];
  for (const kind of ['revoked', 'held', 'reinstated'] as const) {
    const ofKind = effects.filter(({ notice }) => kindOf(notice.code) === kind);
    const holders = [...new Set(ofKind.map(({ holder }) => holder))];
    for (let from = 0; from < holders.length; from += namedAtOnce) {
      const names = holders.slice(from, from + namedAtOnce).join(' ');
      entries.push(encodeAuditEntry({ kind: 'decision', ...decision(kind, names) }));
    }
  }
  return entries;
}

/** As the store decides it again: what is revoked stays so. Authorities are no matter of a provisioner. */
function follows({ profile, revokedMs, held }: IssuedCertificate, code: RevocationReason): boolean {
  if (revokedMs !== undefined || isProfileOfAuthority(profile)) return false;
  if (code === 'removeFromCRL') return held;
  return code !== 'certificateHold' || !held;
}

/** The change of one certificate, with its leaf of the audit log. */
export function changeOf(
  serialNumber: Uint8Array,
  { code, reason, atMs }: Pick<AuthorityNotice, 'code' | 'reason' | 'atMs'>,
): Revocation {
  const entry = encodeAuditEntry({ ...auditOf(code, reason), atMs, serialNumber });
  return { serialNumber, code, reason, atMs, entry };
}

/** Cannot be taken back. */
export function isFinal(code: RevocationReason): boolean {
  return code !== 'certificateHold' && code !== 'removeFromCRL';
}

function kindOf(code: RevocationReason): StatusKind {
  if (code === 'certificateHold') return 'held';
  return code === 'removeFromCRL' ? 'reinstated' : 'revoked';
}

function auditOf(
  code: RevocationReason,
  reason: string,
): { readonly kind: StatusKind; readonly reason: string } {
  const isPlain = !isFinal(code) || code === 'unspecified';
  return { kind: kindOf(code), reason: isPlain ? reason : `${code}: ${reason}` };
}
