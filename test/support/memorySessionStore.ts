/** Sessions of devices without IP in memory. The contract is tested on this and on SQLite alike. */
import type {
  Endpoint,
  HandshakeLimits,
  SessionStore,
  StoredHandshake,
  StoredSession,
  UndeliveredTelemetry,
} from '../../src/trust/ports/sessionStore.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';

export class MemorySessionStore implements SessionStore {
  handshakeRows: StoredHandshake[] = [];
  sessionRows: StoredSession[] = [];
  undeliveredRows: UndeliveredTelemetry[] = [];
  /** Throws where a test wants the disk to fail. */
  beforeWrite: (what: string) => void = () => undefined;

  async handshakes(endpoint: Endpoint): Promise<readonly StoredHandshake[]> {
    return this.handshakeRows.filter((row) => isAt(row, endpoint));
  }

  async addHandshake(
    handshake: StoredHandshake,
    limits: HandshakeLimits,
  ): Promise<{ readonly evicted: number } | 'taken'> {
    this.beforeWrite('addHandshake');
    const taken = await this.connectionIds(handshake);
    if (taken.some((id) => equal(id, handshake.connectionId))) return 'taken';
    const before = this.handshakeRows.length;
    this.#makeRoom((row) => isAt(row, handshake), limits.perEndpoint);
    this.#makeRoom(({ ingress }) => ingress === handshake.ingress, limits.perIngress);
    const evicted = before - this.handshakeRows.length;
    this.handshakeRows.push(handshake);
    return { evicted };
  }

  async updateHandshake(id: string, version: number, keys: Uint8Array): Promise<boolean> {
    this.beforeWrite('updateHandshake');
    const known = this.handshakeRows.find((row) => row.id === id && row.version === version);
    if (known === undefined) return false;
    this.handshakeRows = this.handshakeRows.map((row) =>
      row === known ? { ...row, keys, version: version + 1 } : row,
    );
    return true;
  }

  async removeHandshake(id: string): Promise<void> {
    this.beforeWrite('removeHandshake');
    this.handshakeRows = this.handshakeRows.filter((row) => row.id !== id);
  }

  async removeHandshakesBefore(beganMs: number): Promise<number> {
    const before = this.handshakeRows.length;
    this.handshakeRows = this.handshakeRows.filter((row) => row.beganMs >= beganMs);
    return before - this.handshakeRows.length;
  }

  async promote(
    handshake: { readonly id: string; readonly version: number },
    session: StoredSession,
    maximumPerEndpoint: number,
  ): Promise<'promoted' | 'gone' | 'endpoint-full'> {
    this.beforeWrite('promote');
    const others = this.sessionRows.filter((row) => row.deviceId !== session.deviceId);
    if (others.filter((row) => isAt(row, session)).length >= maximumPerEndpoint) {
      return 'endpoint-full';
    }
    const known = this.handshakeRows.find(({ id }) => id === handshake.id);
    if (known?.version !== handshake.version) return 'gone';
    this.handshakeRows = this.handshakeRows.filter((row) => row !== known);
    this.sessionRows = [...others, session];
    return 'promoted';
  }

  async session(endpoint: Endpoint, connectionId: Uint8Array): Promise<StoredSession | undefined> {
    return this.sessionRows.find(
      (row) => isAt(row, endpoint) && equal(row.connectionId, connectionId),
    );
  }

  async connectionIds(endpoint: Endpoint): Promise<readonly Uint8Array[]> {
    return [...this.handshakeRows, ...this.sessionRows]
      .filter((row) => isAt(row, endpoint))
      .map(({ connectionId }) => connectionId);
  }

  async updateSession(
    id: string,
    version: number,
    state: Uint8Array,
    accepted?: UndeliveredTelemetry,
  ): Promise<boolean> {
    this.beforeWrite('updateSession');
    const known = this.sessionRows.find((row) => row.id === id && row.version === version);
    if (known === undefined) return false;
    this.sessionRows = this.sessionRows.map((row) =>
      row === known ? { ...row, state, version: version + 1 } : row,
    );
    if (accepted !== undefined) this.undeliveredRows.push(accepted);
    return true;
  }

  async removeSession(id: string): Promise<void> {
    this.sessionRows = this.sessionRows.filter((row) => row.id !== id);
  }

  async removeSessionsOf(deviceIds: readonly string[]): Promise<number> {
    const before = this.sessionRows.length;
    const isOther = ({ deviceId }: { readonly deviceId: string }): boolean =>
      !deviceIds.includes(deviceId);
    this.sessionRows = this.sessionRows.filter(isOther);
    this.undeliveredRows = this.undeliveredRows.filter(isOther);
    return before - this.sessionRows.length;
  }

  async countSessions(): Promise<number> {
    return this.sessionRows.length;
  }

  async undelivered(limit: number): Promise<readonly UndeliveredTelemetry[]> {
    return this.undeliveredRows.slice(0, limit);
  }

  async settle(sessionId: string, sequenceNumber: number): Promise<void> {
    this.undeliveredRows = this.undeliveredRows.filter(
      (row) => row.sessionId !== sessionId || row.sequenceNumber !== sequenceNumber,
    );
  }

  #makeRoom(concerns: (row: StoredHandshake) => boolean, limit: number): void {
    const newestFirst = this.handshakeRows.filter(concerns).reverse();
    const excess = new Set(newestFirst.slice(0, Math.max(0, newestFirst.length - limit + 1)));
    this.handshakeRows = this.handshakeRows.filter((row) => !excess.has(row));
  }
}

function isAt(row: Endpoint, { ingress, linkAddress }: Endpoint): boolean {
  return row.ingress === ingress && equal(row.linkAddress, linkAddress);
}
