/** Sessions in memory, the latest used ones, by endpoint and connection identifier and by device. */
import { toHex } from '../../wire/bytes/hex.ts';
import type { Endpoint } from '../ports/sessionStore.ts';
import type { LiveSession } from './liveSession.ts';

export function endpointKey({ ingress, linkAddress }: Endpoint): string {
  return `${ingress}/${toHex(linkAddress)}`;
}

export class SessionCache {
  readonly #maximum: number;
  /** In the order of their last use. */
  readonly #sessions = new Map<string, LiveSession>();
  readonly #byDevice = new Map<string, Set<LiveSession>>();

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  find(endpoint: Endpoint, connectionId: Uint8Array): LiveSession | undefined {
    const key = keyOf(endpoint, connectionId);
    const session = this.#sessions.get(key);
    if (session === undefined) return undefined;
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    return session;
  }

  add(session: LiveSession): void {
    this.#sessions.set(keyOf(session.endpoint, session.connectionId), session);
    const ofDevice = this.#byDevice.get(session.deviceId);
    if (ofDevice === undefined) this.#byDevice.set(session.deviceId, new Set([session]));
    else ofDevice.add(session);
    const [oldest] = this.#sessions.values();
    if (this.#sessions.size > this.#maximum && oldest !== undefined) this.remove(oldest);
  }

  remove(session: LiveSession): void {
    const key = keyOf(session.endpoint, session.connectionId);
    if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    const ofDevice = this.#byDevice.get(session.deviceId);
    ofDevice?.delete(session);
    if (ofDevice?.size === 0) this.#byDevice.delete(session.deviceId);
  }

  /** Whatever is in memory may be out of date. */
  clear(): void {
    for (const session of this.#sessions.values()) session.ended = true;
    this.#sessions.clear();
    this.#byDevice.clear();
  }

  /** The fresh session that another one of this device replaced before it was used. */
  endFresh(deviceId: string): void {
    this.#endWhere(deviceId, ({ standing }) => standing === 'fresh');
  }

  /** Those that this session has superseded. */
  endOthers(session: LiveSession): void {
    this.#endWhere(session.deviceId, (other) => other !== session);
  }

  /** From here on nothing that is under way on a session of this device is acted upon. */
  end(deviceId: string): void {
    this.#endWhere(deviceId, () => true);
  }

  #endWhere(deviceId: string, concerns: (session: LiveSession) => boolean): void {
    for (const session of this.#byDevice.get(deviceId) ?? []) {
      if (!concerns(session)) continue;
      session.ended = true;
      this.remove(session);
    }
  }
}

function keyOf(endpoint: Endpoint, connectionId: Uint8Array): string {
  return `${endpointKey(endpoint)}/${toHex(connectionId)}`;
}
