/** Telemetry of every path ends up here: kept for applications, and handed to those that listen. */
import type { Clock } from '../../trust/ports/clock.ts';
import type { TelemetryPath, TelemetryStore } from '../../trust/ports/telemetryStore.ts';

export interface IntakePorts {
  readonly store: TelemetryStore;
  readonly clock: Clock;
  /** To applications that subscribed; what a device publishes itself goes there through the broker. */
  readonly publish: (deviceId: string, payload: Uint8Array) => Promise<void>;
  readonly onTaken: (path: TelemetryPath) => void;
}

export class TelemetryIntake {
  readonly #ports: IntakePorts;

  constructor(ports: IntakePorts) {
    this.#ports = ports;
  }

  /** Resolves when the message is durable. Rejects with an `EnvironmentError` when it cannot be now. */
  async take(deviceId: string, path: TelemetryPath, payload: Uint8Array): Promise<void> {
    const { store, clock, publish, onTaken } = this.#ports;
    await store.append(deviceId, { receivedMs: clock.nowMs(), path, payload });
    onTaken(path);
    if (path !== 'mqtt') await publish(deviceId, payload);
  }
}
