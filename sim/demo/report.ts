/** What the demo found, as printed for a person and, with --json, as the last line of stdout. */

export interface DeviceReport {
  readonly kind: 'gateway' | 'ip-sensor' | 'non-ip-sensor';
  readonly link: string;
  readonly deviceId: string;
  /** From switching on, with nothing but an element, to the first telemetry at the application. */
  readonly firstTelemetryMs: number;
  /** Sizes of message_1, message_2 and message_3; only where EDHOC ran. */
  readonly handshakeBytes?: readonly number[];
  telemetry: number;
}

export interface RevokedReport {
  readonly deviceId: string;
  readonly kind: string;
  /** From the command to the last live session closed. */
  readonly killMs: number;
}

export interface Report {
  ok: boolean;
  personalized: { requested: number; verified: number; scrapped: number; perSecond: number };
  imported: { manifests: number; elements: number };
  devices: DeviceReport[];
  revoked: RevokedReport[];
  durationMs: number;
}

export function emptyReport(): Report {
  return {
    ok: false,
    personalized: { requested: 0, verified: 0, scrapped: 0, perSecond: 0 },
    imported: { manifests: 0, elements: 0 },
    devices: [],
    revoked: [],
    durationMs: 0,
  };
}
