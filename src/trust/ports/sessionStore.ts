/**
 * Sessions of devices without IP, and handshakes on their way to one, as a store. Every call is one
 * transaction, durable when it resolves. `keys` and `state` are sealed by whoever calls: the store sees no
 * secret.
 */
import { EnvironmentError } from './faults.ts';

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

/**
 * `fresh`: message_3 was verified, no message under the new keys came yet. `live`: one came. `superseded`:
 * a newer session of the device is live; nothing is accepted on it, and who uses it is a clone.
 */
export type SessionStanding = 'fresh' | 'live' | 'superseded';

export interface StoredSession extends StoredConnection {
  readonly deviceId: string;
  readonly standing: SessionStanding;
}

/** With what a session can be resumed (draft-ietf-lake-edhoc-psk §6). */
export interface StoredResumption {
  /** The session that it comes from. */
  readonly sessionId: string;
  readonly deviceId: string;
  /** A routing hint, as in `Endpoint`; empty for peers without a stable address. */
  readonly linkAddress: Uint8Array;
  /** rKID, two bytes: not unique. */
  readonly kid: Uint8Array;
  /** When the device last authenticated by other means than resumption. */
  readonly authenticatedMs: number;
  /** Sealed. */
  readonly key: Uint8Array;
}

/** What a message that was accepted changes, in one transaction. */
export interface SessionChange {
  /** Sealed, for version + 1. */
  readonly state: Uint8Array;
  /** Sealed; when the keys were updated. */
  readonly keys?: Uint8Array;
  readonly accepted?: UndeliveredTelemetry;
  /**
   * The first message under new keys: the session is live, and the device's other sessions are superseded
   * at this time.
   */
  readonly confirmedMs?: number;
  /**
   * A message that the device would not have sent without an answer under the new keys: it has the
   * session's resumption key, and its other ones are deleted.
   */
  readonly settled?: boolean;
  /** The keys before an update, as a session of its own that is superseded at this time. */
  readonly retired?: { readonly session: StoredSession; readonly atMs: number };
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

/** Somebody else writes these sessions now. What was read before may be out of date. */
export class LeaseLost extends EnvironmentError {
  constructor() {
    super('another process has the sessions', { retryable: true });
    this.name = 'LeaseLost';
  }
}

export interface LeaseRequest {
  /** Names the process; another word at each start. */
  readonly holder: string;
  readonly nowMs: number;
  readonly untilMs: number;
  /** Whoever holds it is known to be dead: the lease is taken before its time. */
  readonly takeOver: boolean;
}

export interface SessionStore {
  /**
   * Which life of the store this is: 0, and one more each time it was put back to an earlier state. What a
   * session remembers from another life may be out of date.
   */
  readonly incarnation: number;
  /**
   * Takes the lease, or prolongs it for its holder. From then on this object writes under the token, and
   * whatever writes under an earlier one gets a `LeaseLost`: handshakes, promotions and changes of sessions;
   * to remove something is everybody's right.
   */
  lease(
    request: LeaseRequest,
  ): Promise<{ readonly token: number } | { readonly heldUntilMs: number }>;

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
  /**
   * Those that began before, and those without a link address, which are kept under their own identifier in
   * its place, that began before `roamingBeganMs`. Returns how many there were.
   */
  removeHandshakesBefore(beganMs: number, roamingBeganMs: number): Promise<number>;

  /**
   * Turns a handshake into a `fresh` session of the device, with its resumption key. What was fresh before
   * is gone; a live session stays as it is. With `usedKeyOf`, the session whose resumption key led here, the
   * device's other resumption keys are deleted. `gone`: the handshake is not there any more, or has changed.
   */
  promote(
    handshake: { readonly id: string; readonly version: number },
    session: StoredSession,
    resumption: StoredResumption,
    options: { readonly maximumPerEndpoint: number; readonly usedKeyOf?: string },
  ): Promise<'promoted' | 'gone' | 'endpoint-full'>;

  /** Fresh or live. */
  session(endpoint: Endpoint, connectionId: Uint8Array): Promise<StoredSession | undefined>;
  connectionIds(endpoint: Endpoint): Promise<readonly Uint8Array[]>;
  /** Newest first, a few at most. */
  superseded(endpoint: Endpoint, connectionId: Uint8Array): Promise<readonly StoredSession[]>;
  /** Returns how many there were. */
  removeSupersededBefore(supersededMs: number): Promise<number>;
  /**
   * Writes the change as version + 1. False, and nothing is written, when the session is gone or somebody
   * else has changed it: two writers can never accept one number twice.
   */
  updateSession(id: string, version: number, change: SessionChange): Promise<boolean>;
  /** The session alone: it can be resumed. */
  removeSession(id: string): Promise<void>;
  /** With all that could bring them back. Returns how many fresh or live sessions there were. */
  removeSessionsOf(deviceIds: readonly string[]): Promise<number>;
  /** Live ones. */
  countSessions(): Promise<number>;

  /** Those of this address under this kid, wherever they were made; at most `limit`, newest first. */
  resumptions(
    linkAddress: Uint8Array,
    kid: Uint8Array,
    limit: number,
  ): Promise<readonly StoredResumption[]>;

  /** Oldest first. */
  undelivered(limit: number): Promise<readonly UndeliveredTelemetry[]>;
  settle(sessionId: string, sequenceNumber: number): Promise<void>;
}
