/** The latest messages of each device: a bounded window for applications, not an archive. */

/** How a message came in; all of these are authenticated end to end. */
export type TelemetryPath = 'mqtt' | 'https' | 'oscore';

export const telemetryPaths: readonly TelemetryPath[] = ['mqtt', 'https', 'oscore'];

export interface TelemetryMessage {
  /** Counts the messages of its device from 1 and never repeats. */
  readonly sequence: number;
  readonly receivedMs: number;
  readonly path: TelemetryPath;
  readonly payload: Uint8Array;
}

export interface TelemetryStore {
  /** Durable when it resolves; the device's oldest message beyond the window is dropped. */
  append(deviceId: string, message: Omit<TelemetryMessage, 'sequence'>): Promise<TelemetryMessage>;
  /** Newest first; `before` is a sequence to go on from. */
  latest(deviceId: string, limit: number, before?: number): Promise<readonly TelemetryMessage[]>;
}
