/** The server of the present owner as an IP device sees it, over TLS with the element's certificates. */

/** With which of its identities the device shows itself. */
export type DeviceCredential = 'idevid' | 'ldevid';

export type ServerAnswer =
  /** 2xx: the body, decoded from its transfer encoding. */
  | { readonly kind: 'answer'; readonly body: Uint8Array }
  /** 202, 429 or 503: ask again, not before this time has passed. */
  | { readonly kind: 'later'; readonly retryAfterMs: number }
  /** Any other status: the server was reached and says no. */
  | { readonly kind: 'refused'; readonly status: number };

/**
 * Each call rejects with a `DeviceFault` when no connection to a server came about that a pinned anchor
 * vouches for, under its expected name: nothing was sent then but the handshake.
 */
export interface DeviceServer {
  /** RFC 7030 §4.1: the body is the DER of a certs-only CMS message. */
  caCertificates(credential: DeviceCredential): Promise<ServerAnswer>;
  /** RFC 7030 §4.2.1: DER of PKCS#10 out, DER of a certs-only CMS message back. */
  simpleEnroll(credential: DeviceCredential, request: Uint8Array): Promise<ServerAnswer>;
  /** With the LDevID. JSON, see `device/enrolment/configuration.ts`. */
  configuration(): Promise<ServerAnswer>;
  /** One message of telemetry where no broker is used. */
  telemetry(payload: Uint8Array): Promise<ServerAnswer>;
}

/** What a device says: its own telemetry, or, on a gateway, envelopes of `wire/relay`. */
export type UpwardChannel = 'telemetry' | 'up';
/** What it hears: commands for itself, or envelopes for its radio. */
export type DownwardChannel = 'commands' | 'down';

/** A session with the broker. */
export interface Uplink {
  /** Done when the broker has acknowledged it. Rejects with a `DeviceFault` when it cannot be now. */
  publish(channel: UpwardChannel, payload: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export interface UplinkEvents {
  /** Never rejects; the next message waits for it. */
  onMessage(channel: DownwardChannel, payload: Uint8Array): Promise<void>;
  /** `online` after every connection that the broker accepted, `offline` when one is lost. */
  onState(state: 'online' | 'offline'): void;
}

export interface UplinkTarget {
  readonly host: string;
  readonly port: number;
  readonly deviceId: string;
  readonly channels: readonly DownwardChannel[];
}

export interface UplinkConnector {
  /**
   * Connects with the LDevID and goes on reconnecting by itself, with growing pauses, until it is
   * closed. Returns at once; the events tell what happens.
   */
  connect(target: UplinkTarget, events: UplinkEvents): Uplink;
}
