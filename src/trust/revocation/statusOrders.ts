/**
 * Revokes, holds or reinstates everything that has something in common: a batch, a product, what one
 * station made, an element family, a firmware. A step at a time, so that whoever ordered it sees it go on
 * and can order it again after a crash: what was done stays done and is passed over.
 */
import { parseHex, toHex } from '../../wire/bytes/hex.ts';
import type { ProvisioningAuthority } from '../ports/authority.ts';
import type { Clock } from '../ports/clock.ts';
import { isRefusal, type Refusal, refuse } from '../ports/faults.ts';
import {
  type AuthorityNotice,
  certificateChange,
  type DeviceRecord,
  type RegistryStore,
} from '../ports/registryStore.ts';
import {
  codeOfOrder,
  type StatusOrder,
  type StatusScope,
  type StatusStep,
} from '../ports/statusOrders.ts';
import type { StatusAuthority } from '../ports/statusAuthority.ts';
import type { UnitSelection } from '../ports/statusStore.ts';
import { finalState, type Registry } from '../registry/registry.ts';
import type { Revocation } from './revocation.ts';

export interface StatusOrdersParts {
  readonly store: RegistryStore;
  readonly registry: Registry;
  readonly revocation: Revocation;
  /** Where devices are known that never came here. */
  readonly selection: Pick<StatusAuthority, 'devicesOf' | 'isKnown'>;
  readonly authority: Pick<ProvisioningAuthority, 'recordOrdered' | 'recordRevocations'>;
  readonly clock: Clock;
}

/** Devices of one step. */
const stepDevices = 1_000;

const nothing: StatusStep = {
  devices: 0,
  changed: 0,
  certificates: 0,
  notHere: 0,
  ended: 0,
  next: undefined,
};

const stateAfter = { revoke: 'revoked', hold: 'held', reinstate: 'active' } as const;

/** Where a step begins: in the registry behind a device, or at the authority behind a page. */
type Cursor =
  | { readonly at: 'certificates' }
  | { readonly at: 'registry'; readonly after: string | undefined }
  | { readonly at: 'authority'; readonly after: string | undefined };

/** Everything that has a name in common. */
type NamedScope = Exclude<StatusScope, { readonly by: 'device' | 'certificate' }>;

type Order = StatusOrder & { readonly approval: Uint8Array | undefined };

export class StatusOrders {
  readonly #parts: StatusOrdersParts;

  constructor(parts: StatusOrdersParts) {
    this.#parts = parts;
  }

  /**
   * `after`: what the step before said; the order is done when it says nothing. Under an approval the
   * authority changes first what is to be changed: what the registry reports later is no news to it.
   */
  async step(
    asked: StatusOrder,
    after: string | undefined,
    approval?: Uint8Array,
  ): Promise<StatusStep | Refusal<string>> {
    const order: Order = { ...asked, approval };
    const { scope } = order;
    if (scope.by === 'device') return this.#named(order, scope.deviceIds);
    if (scope.by === 'certificate') return this.#certificate(order, scope.sha256);
    const cursor = after === undefined ? startOf(scope) : readCursor(after);
    if (cursor === undefined) return refuse('malformed', 'no step begins there');
    if (after === undefined && !(await this.#isKnown(scope))) {
      return refuse(
        'unknown-name',
        `no ${scope.by} ${scope.name}${firmwareOf(scope)} is known here or at the authority`,
      );
    }
    switch (cursor.at) {
      case 'certificates':
        return scope.by === 'station' ? this.#station(order, scope) : nothing;
      case 'registry':
        return this.#ofRegistry(order, scope, cursor.after);
      case 'authority':
        return this.#ofAuthority(order, scope, cursor.after);
    }
  }

  /** A name that was mistyped must not look like an order that had nothing left to do. */
  async #isKnown(scope: NamedScope): Promise<boolean> {
    const { store, selection } = this.#parts;
    if (scope.by === 'station') {
      const certificates = await store.certificatesOf(scope.name);
      if (certificates.some(({ kind }) => kind === 'station')) return true;
    } else if (isInRegistryToo(scope)) {
      const [one] = await store.deviceIdsOf(scope.by, scope.name, undefined, 1);
      if (one !== undefined) return true;
    }
    return selection.isKnown(selectionOf(scope));
  }

  async #named(order: Order, deviceIds: readonly string[]): Promise<StatusStep | Refusal<string>> {
    const { store } = this.#parts;
    for (const deviceId of deviceIds) {
      if ((await store.device(deviceId)) === undefined) {
        return refuse(
          'unknown-device',
          `device ${deviceId} is not known here; nothing was changed`,
        );
      }
    }
    return this.#devices(order, [...new Set(deviceIds)], undefined);
  }

  async #certificate(order: Order, sha256: Uint8Array): Promise<StatusStep | Refusal<string>> {
    const { store, registry, revocation } = this.#parts;
    const { act, reason, code, dryRun } = order;
    const known = await store.certificate(sha256);
    if (known === undefined) {
      return refuse('unknown-certificate', `no certificate with SHA-256 ${toHex(sha256)}`);
    }
    const change = certificateChange(known.state, stateAfter[act]);
    if (change === 'forbidden') return refuse('forbidden', finalState);
    const step = { ...nothing, certificates: 1, changed: change === 'changed' ? 1 : 0 };
    if (dryRun) return step;
    const subject = toHex(sha256);
    const notices = [this.#notice(order, 'revoke-certificate', subject, known.holder)];
    const forbidden = await this.#tellFirst(order, notices);
    if (forbidden !== undefined) return forbidden;
    if (act === 'revoke') {
      const report = await revocation.revokeCertificate(sha256, reason, code);
      return isRefusal(report) ? report : { ...step, ended: sum(report.ended) };
    }
    const refusal =
      act === 'hold'
        ? await registry.hold(sha256, reason)
        : await registry.reinstate(sha256, reason);
    if (refusal !== undefined) return refusal;
    return { ...step, ended: sum(await revocation.disconnectCertificate(sha256)) };
  }

  /** Its own certificates first: nothing new is made under them while its devices are being counted. */
  async #station(
    order: Order,
    scope: NamedScope & { readonly by: 'station' },
  ): Promise<StatusStep | Refusal<string>> {
    const certificates = await this.#parts.store.certificatesOf(scope.name);
    let total = nothing;
    for (const { kind, sha256, state } of certificates) {
      const change = certificateChange(state, stateAfter[order.act]);
      if (kind !== 'station' || change === 'forbidden') continue;
      const step = await this.#certificate(order, sha256);
      if (isRefusal(step)) return step;
      total = added(total, step);
    }
    return { ...total, next: scope.withDevices ? 'a:' : undefined };
  }

  async #ofRegistry(
    order: Order,
    scope: NamedScope,
    after: string | undefined,
  ): Promise<StatusStep | Refusal<string>> {
    if (!isInRegistryToo(scope)) return nothing;
    const found = await this.#parts.store.deviceIdsOf(scope.by, scope.name, after, stepDevices);
    const last = found.length < stepDevices ? undefined : found.at(-1);
    return this.#devices(order, found, last === undefined ? 'a:' : `r:${last}`);
  }

  async #ofAuthority(
    order: Order,
    scope: NamedScope,
    after: string | undefined,
  ): Promise<StatusStep | Refusal<string>> {
    const { selection, store } = this.#parts;
    const { deviceIds, next } = await selection.devicesOf(selectionOf(scope), after);
    const remaining: string[] = [];
    for (const deviceId of deviceIds) {
      // The registry's own came in the steps before.
      const done = isInRegistryToo(scope) && (await store.device(deviceId)) !== undefined;
      if (!done) remaining.push(deviceId);
    }
    return this.#devices(order, remaining, next === undefined ? undefined : `a:${next}`);
  }

  async #devices(
    order: Order,
    deviceIds: readonly string[],
    next: string | undefined,
  ): Promise<StatusStep | Refusal<string>> {
    const { store } = this.#parts;
    const here: DeviceRecord[] = [];
    const elsewhere: string[] = [];
    let certificates = 0;
    for (const deviceId of deviceIds) {
      const device = await store.device(deviceId);
      if (device === undefined) elsewhere.push(deviceId);
      else {
        here.push(device);
        certificates += (await store.certificatesOf(deviceId)).length;
      }
    }
    const changing = here.filter((device) => wouldChange(order, device));
    const step: StatusStep = {
      devices: deviceIds.length,
      changed: changing.length,
      certificates,
      notHere: elsewhere.length,
      ended: 0,
      next,
    };
    if (order.dryRun) return step;
    const notice = (deviceId: string): AuthorityNotice =>
      this.#notice(order, 'revoke-device', deviceId, deviceId);
    const forbidden = await this.#tellFirst(order, deviceIds.map(notice));
    if (forbidden !== undefined) return forbidden;
    const report = await this.#act(
      order,
      here.map(({ deviceId }) => deviceId),
    );
    if (isRefusal(report)) return report;
    const untaken = await this.#tellAlone(order, elsewhere.map(notice));
    return untaken ?? { ...step, ended: sum(report.ended) };
  }

  #act(
    { act, reason, code }: StatusOrder,
    deviceIds: readonly string[],
  ): ReturnType<Revocation['revokeDevices']> {
    const { revocation } = this.#parts;
    if (act === 'revoke') return revocation.revokeDevices(deviceIds, reason, code);
    return act === 'hold'
      ? revocation.holdDevices(deviceIds, reason)
      : revocation.reinstateDevices(deviceIds, reason);
  }

  async #tellFirst(
    { act, scope, code, reason, approval }: Order,
    notices: readonly AuthorityNotice[],
  ): Promise<undefined | Refusal<string>> {
    if (approval === undefined || notices.length === 0) return undefined;
    const order = { act, scope, code, reason };
    return this.#parts.authority.recordOrdered(notices, { order, approval });
  }

  /** Elements that never became devices here: their certificates are the authority's matter alone. */
  async #tellAlone(
    { approval }: Order,
    notices: readonly AuthorityNotice[],
  ): Promise<undefined | Refusal<string>> {
    if (approval !== undefined || notices.length === 0) return undefined;
    const waiting = await this.#parts.authority.recordRevocations(notices);
    return waiting.length === 0
      ? undefined
      : refuse('approval-needed', 'Others have changed the status of as many devices today.');
  }

  #notice(
    order: Order,
    act: AuthorityNotice['act'],
    subject: string,
    holder: string,
  ): AuthorityNotice {
    const atMs = this.#parts.clock.nowMs();
    const { reason } = order;
    return { sequence: 0, act, subject, holder, code: codeOfOrder(order), reason, atMs };
  }
}

function wouldChange({ act }: Order, device: DeviceRecord): boolean {
  if (act === 'revoke') return device.state !== 'revoked';
  if (act === 'reinstate') return device.heldMs !== undefined;
  return device.state !== 'revoked' && device.heldMs === undefined;
}

function isInRegistryToo(
  scope: NamedScope,
): scope is NamedScope & { readonly by: 'product' | 'family' } {
  return scope.by === 'product' || (scope.by === 'family' && scope.firmware === undefined);
}

/** What foreign makers made has no unit at the authority, so the registry is asked first where it knows. */
function startOf(scope: NamedScope): Cursor {
  if (scope.by === 'station') return { at: 'certificates' };
  return { at: isInRegistryToo(scope) ? 'registry' : 'authority', after: undefined };
}

function readCursor(text: string): Cursor | undefined {
  const after = text.length > 2 ? text.slice(2) : undefined;
  if (text.startsWith('r:')) return { at: 'registry', after };
  return text.startsWith('a:') ? { at: 'authority', after } : undefined;
}

function selectionOf(scope: NamedScope): UnitSelection {
  return scope.by === 'station' ? { by: 'station', name: scope.name } : scope;
}

function firmwareOf(scope: NamedScope): string {
  const firmware = scope.by === 'family' ? scope.firmware : undefined;
  return firmware === undefined ? '' : ` with firmware ${firmware}`;
}

function added(left: StatusStep, right: StatusStep): StatusStep {
  return {
    devices: left.devices + right.devices,
    changed: left.changed + right.changed,
    certificates: left.certificates + right.certificates,
    notHere: left.notHere + right.notHere,
    ended: left.ended + right.ended,
    next: undefined,
  };
}

function sum(ended: Readonly<Record<string, number>>): number {
  return Object.values(ended).reduce((total, count) => total + count, 0);
}

/** The SHA-256 of a certificate as a person writes it: hexadecimal, perhaps with colons. */
export function parseFingerprint(text: string): Uint8Array | undefined {
  const bytes = parseHex(text.replaceAll(':', '').toLowerCase());
  return bytes?.length === 32 ? bytes : undefined;
}
