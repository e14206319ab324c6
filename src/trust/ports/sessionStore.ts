/**
 * Sessions of devices without IP, and handshakes on their way to one, as a store. Every call is one
 * transaction, durable when it resolves. `keys` and `state` are sealed by whoever calls: the store sees no
 * secret.
 */

/** Where frames come from: a gateway, and the address that its radio gives the sender. */
export interface Endpoint {
  /** The gateway's deviceId. */
  readonly ingress: string;
  readonly linkAddress: Uint8Array;
}

interface StoredConnection extends Endpoint {
  /** 32 hexadecimal characters, random. */
  readonly id: string;
  /** Ours, one byte; of one endpoint no two rows have the same. */
  readonly connectionId: Uint8Array;
  readonly beganMs: number;
  /** Counts the changes of the row from 1: a change names the version that it was made from. */
  readonly version: number;
  /** Sealed: written at the beginning, and for handshakes at every attempt. */
  readonly keys: Uint8Array;
  /** Sealed: what changes with every message. */
  readonly state: Uint8Array;
}

/** message_2 is on its way; nobody is authenticated. */
export type StoredHandshake = StoredConnection;

export interface StoredSession extends StoredConnection {
  readonly deviceId: string;
}

export interface HandshakeLimits {
  readonly perEndpoint: number;
  readonly perIngress: number;
}

/** Telemetry that was accepted and may not have reached the application. */
export interface UndeliveredTelemetry {
  readonly sessionId: string;
  readonly sequenceNumber: number;
  readonly deviceId: string;
  readonly ingress: string;
  readonly linkAddress: Uint8Array;
  readonly receivedMs: number;
  /** Sealed. */
  readonly payload: Uint8Array;
}

export interface SessionStore {
  handshakes(endpoint: Endpoint): Promise<readonly StoredHandshake[]>;
  /**
   * Adds a handshake. Where a limit is reached, the newest of those it is about makes room, so that a
   * flood pushes out itself and no slow honest sensor. `taken`: the connection identifier is in use.
   */
  addHandshake(
    handshake: StoredHandshake,
    limits: HandshakeLimits,
  ): Promise<{ readonly evicted: number } | 'taken'>;
  /** False when the handshake is gone or has changed since. */
  updateHandshake(id: string, version: number, keys: Uint8Array): Promise<boolean>;
  removeHandshake(id: string): Promise<void>;
  /** Returns how many there were. */
  removeHandshakesBefore(beganMs: number): Promise<number>;

  /**
   * Turns a handshake into the device's session: the handshake and every other session of that device are
   * gone, here and at other endpoints. `gone`: the handshake is not there any more, or has changed.
   */
  promote(
    handshake: { readonly id: string; readonly version: number },
    session: StoredSession,
    maximumPerEndpoint: number,
  ): Promise<'promoted' | 'gone' | 'endpoint-full'>;

  session(endpoint: Endpoint, connectionId: Uint8Array): Promise<StoredSession | undefined>;
  connectionIds(endpoint: Endpoint): Promise<readonly Uint8Array[]>;
  /**
   * Writes the state as version + 1, together with what it accepted. False, and nothing is written, when
   * the session is gone or somebody else has changed it: two writers can never accept one number twice.
   */
  updateSession(
    id: string,
    version: number,
    state: Uint8Array,
    accepted?: UndeliveredTelemetry,
  ): Promise<boolean>;
  removeSession(id: string): Promise<void>;
  /** Returns how many sessions there were. */
  removeSessionsOf(deviceIds: readonly string[]): Promise<number>;
  countSessions(): Promise<number>;

  /** Oldest first. */
  undelivered(limit: number): Promise<readonly UndeliveredTelemetry[]>;
  settle(sessionId: string, sequenceNumber: number): Promise<void>;
}
