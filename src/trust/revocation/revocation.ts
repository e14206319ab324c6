/**
 * Revocation acts on the device: its IDevID, every LDevID, its sessions and what is connected. Revoking
 * one certificate is an act of its own. The registry is written first, so that whatever a crash leaves
 * alive is refused at its next step; then everything live is ended; the authority follows by notice.
 */
import { toHex } from '../../wire/bytes/hex.ts';
import type { RevocationReason } from '../../wire/crl/reason.ts';
import type { Clock } from '../ports/clock.ts';
import { type Refusal, refuse } from '../ports/faults.ts';
import type { LiveConnections } from '../ports/liveConnections.ts';
import type { RegistryStore, RevokedDevice } from '../ports/registryStore.ts';
import type { RevocationPlan, RevocationReport } from '../ports/revocationReport.ts';

export type RevocationRefusal = 'unknown-device' | 'unknown-certificate' | 'too-many';

/** Devices in one act; a larger set is several acts. */
export const maximumRevocation = 10_000;

export interface RevocationParts {
  readonly store: RegistryStore;
  readonly clock: Clock;
  /** Milliseconds that only go forward, for `killMs`. */
  readonly monotonicMs: () => number;
  readonly live: readonly LiveConnections[];
}

export class Revocation {
  readonly #parts: RevocationParts;

  constructor(parts: RevocationParts) {
    this.#parts = parts;
  }

  /** What `revokeDevices` would do. Changes nothing. */
  async plan(deviceIds: readonly string[]): Promise<RevocationPlan> {
    const { store } = this.#parts;
    const devices = [];
    const unknown = [];
    for (const deviceId of new Set(deviceIds)) {
      const device = await store.device(deviceId);
      if (device === undefined) unknown.push(deviceId);
      else {
        const certificates = (await store.certificatesOf(deviceId)).length;
        devices.push({ deviceId, revokedAlready: device.state === 'revoked', certificates });
      }
    }
    return { devices, unknown };
  }

  /**
   * All of them or, when one is not known, none. Resolves when the registry is durable and every live
   * connection of theirs has ended. Revoking again is no error and ends what might still live.
   */
  revokeDevices(
    deviceIds: readonly string[],
    reason: string,
    code: RevocationReason = 'unspecified',
  ): Promise<RevocationReport | Refusal<RevocationRefusal>> {
    return this.#actOn(deviceIds, (store, nowMs, wanted) =>
      store.revokeDevices(wanted, reason, nowMs, code),
    );
  }

  /** The same, until they are reinstated. Those that are revoked stay so. */
  holdDevices(
    deviceIds: readonly string[],
    reason: string,
  ): Promise<RevocationReport | Refusal<RevocationRefusal>> {
    return this.#actOn(deviceIds, (store, nowMs, wanted) =>
      store.setHold(wanted, true, reason, nowMs),
    );
  }

  /** Takes a hold back, with every hold on a certificate of theirs. */
  reinstateDevices(
    deviceIds: readonly string[],
    reason: string,
  ): Promise<RevocationReport | Refusal<RevocationRefusal>> {
    return this.#actOn(deviceIds, (store, nowMs, wanted) =>
      store.setHold(wanted, false, reason, nowMs),
    );
  }

  /**
   * One certificate of a device, station, application or operator, and what it opened. Whatever its
   * holder does with another certificate goes on.
   */
  async revokeCertificate(
    sha256: Uint8Array,
    reason: string,
    code: RevocationReason = 'unspecified',
  ): Promise<RevocationReport | Refusal<RevocationRefusal>> {
    const { store, clock, monotonicMs } = this.#parts;
    const startedMs = monotonicMs();
    const certificate = await store.certificate(sha256);
    if (certificate === undefined) {
      return refuse('unknown-certificate', `no certificate with SHA-256 ${toHex(sha256)}`);
    }
    await store.setCertificateState(sha256, 'revoked', reason, clock.nowMs(), code);
    const ended = await this.#end((live) => live.dropCertificate(sha256, certificate.holder));
    return { devices: [], ended, killMs: monotonicMs() - startedMs };
  }

  /** A certificate that is held opens nothing new, and what it opened ends; what was said of it is old. */
  async disconnectCertificate(sha256: Uint8Array): Promise<Readonly<Record<string, number>>> {
    const certificate = await this.#parts.store.certificate(sha256);
    if (certificate === undefined) return {};
    return this.#end((live) => live.dropCertificate(sha256, certificate.holder));
  }

  async #actOn(
    deviceIds: readonly string[],
    act: (
      store: RegistryStore,
      nowMs: number,
      wanted: readonly string[],
    ) => Promise<readonly RevokedDevice[]>,
  ): Promise<RevocationReport | Refusal<RevocationRefusal>> {
    const { store, clock, monotonicMs } = this.#parts;
    const startedMs = monotonicMs();
    const wanted = [...new Set(deviceIds)];
    if (wanted.length > maximumRevocation) {
      return refuse('too-many', `at most ${maximumRevocation} devices in one act`);
    }
    for (const deviceId of wanted) {
      if ((await store.device(deviceId)) === undefined) {
        return refuse(
          'unknown-device',
          `device ${deviceId} is not known here; nothing was changed`,
        );
      }
    }
    // A crash after this write leaves connections that end with the process, a registry that refuses
    // their return, and the notices to the authority in the same transaction.
    const changes = await act(store, clock.nowMs(), wanted);
    const holders = new Set(wanted);
    const ended = await this.#end((live) => live.drop(holders));
    const devices = changes.map(({ deviceId, changed, certificates }) => ({
      deviceId,
      changed,
      certificates: certificates.length,
    }));
    return { devices, ended, killMs: monotonicMs() - startedMs };
  }

  async #end(
    drop: (live: LiveConnections) => Promise<number>,
  ): Promise<Readonly<Record<string, number>>> {
    // Started together: one kind that is slow to answer must not keep the others alive.
    const counts = await Promise.all(
      this.#parts.live.map(async (live) => [live.name, await drop(live)] as const),
    );
    return Object.fromEntries(counts);
  }
}
