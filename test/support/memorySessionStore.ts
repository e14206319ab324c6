/** Sessions of devices without IP in memory. The contract is tested on this and on SQLite alike. */
import type {
  Endpoint,
  HandshakeLimits,
  LeaseRequest,
  SessionChange,
  SessionStore,
  StoredHandshake,
  StoredResumption,
  StoredSession,
  UndeliveredTelemetry,
} from '../../src/trust/ports/sessionStore.ts';
import { equal } from '../../src/wire/bytes/bytes.ts';

export class MemorySessionStore implements SessionStore {
  incarnation = 0;
  #lease = { token: 0, holder: '', untilMs: 0 };
  handshakeRows: StoredHandshake[] = [];
  sessionRows: StoredSession[] = [];
  /** Newest first. */
  supersededRows: Array<{ readonly row: StoredSession; readonly atMs: number }> = [];
  resumptionRows: StoredResumption[] = [];
  undeliveredRows: UndeliveredTelemetry[] = [];
  /** Throws where a test wants the disk to fail. */
  beforeWrite: (what: string) => void = () => undefined;

  /** One object is one process here: nobody is fenced off. */
  async lease(
    request: LeaseRequest,
  ): Promise<{ readonly token: number } | { readonly heldUntilMs: number }> {
    const { holder, nowMs, untilMs, takeOver } = request;
    const isOurs = this.#lease.holder === holder;
    if (!isOurs && !takeOver && this.#lease.untilMs > nowMs) {
      return { heldUntilMs: this.#lease.untilMs };
    }
    const token = isOurs ? this.#lease.token : this.#lease.token + 1;
    this.#lease = { token, holder, untilMs };
    return { token };
  }

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

  async removeHandshakesBefore(beganMs: number, roamingBeganMs: number): Promise<number> {
    const before = this.handshakeRows.length;
    this.handshakeRows = this.handshakeRows.filter(
      (row) => row.beganMs >= (equal(row.linkAddress, row.connectionId) ? roamingBeganMs : beganMs),
    );
    return before - this.handshakeRows.length;
  }

  async promote(
    handshake: { readonly id: string; readonly version: number },
    session: StoredSession,
    resumption: StoredResumption,
    { maximumPerEndpoint, usedKeyOf }: { maximumPerEndpoint: number; usedKeyOf?: string },
  ): Promise<'promoted' | 'gone' | 'endpoint-full'> {
    this.beforeWrite('promote');
    const others = this.sessionRows.filter((row) => row.deviceId !== session.deviceId);
    const devices = new Set(
      others.filter((row) => isAt(row, session)).map(({ deviceId }) => deviceId),
    );
    if (devices.size >= maximumPerEndpoint) return 'endpoint-full';
    const known = this.handshakeRows.find(({ id }) => id === handshake.id);
    if (known?.version !== handshake.version) return 'gone';
    this.handshakeRows = this.handshakeRows.filter((row) => row !== known);
    const unused = this.sessionRows.find(
      ({ deviceId, standing }) => deviceId === session.deviceId && standing === 'fresh',
    );
    this.sessionRows = [...this.sessionRows.filter((row) => row !== unused), session];
    if (usedKeyOf !== undefined) this.#keepResumption(session.deviceId, usedKeyOf);
    this.resumptionRows = [
      resumption,
      ...this.resumptionRows.filter(({ sessionId }) => sessionId !== unused?.id),
    ];
    return 'promoted';
  }

  async session(endpoint: Endpoint, connectionId: Uint8Array): Promise<StoredSession | undefined> {
    return this.sessionRows.find(
      (row) => isAt(row, endpoint) && equal(row.connectionId, connectionId),
    );
  }

  async superseded(
    endpoint: Endpoint,
    connectionId: Uint8Array,
  ): Promise<readonly StoredSession[]> {
    return this.supersededRows
      .map(({ row }) => row)
      .filter((row) => isAt(row, endpoint) && equal(row.connectionId, connectionId));
  }

  async removeSupersededBefore(supersededMs: number): Promise<number> {
    const before = this.supersededRows.length;
    this.supersededRows = this.supersededRows.filter(({ atMs }) => atMs >= supersededMs);
    return before - this.supersededRows.length;
  }

  async connectionIds(endpoint: Endpoint): Promise<readonly Uint8Array[]> {
    const superseded = this.supersededRows.map(({ row }) => row);
    return [...this.handshakeRows, ...this.sessionRows, ...superseded]
      .filter((row) => isAt(row, endpoint))
      .map(({ connectionId }) => connectionId);
  }

  async updateSession(id: string, version: number, change: SessionChange): Promise<boolean> {
    this.beforeWrite('updateSession');
    const known = this.sessionRows.find((row) => row.id === id && row.version === version);
    if (known === undefined) return false;
    const { state, keys = known.keys, accepted, confirmedMs, settled, retired } = change;
    const changed = { ...known, keys, state, version: version + 1 };
    this.sessionRows = this.sessionRows.map((row) => (row === known ? changed : row));
    if (accepted !== undefined) this.undeliveredRows.push(accepted);
    if (confirmedMs !== undefined) this.#confirm(changed, confirmedMs);
    if (settled === true) this.#keepResumption(known.deviceId, id);
    if (retired !== undefined) this.#supersede(retired.session, retired.atMs);
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
    this.supersededRows = this.supersededRows.filter(({ row }) => isOther(row));
    this.resumptionRows = this.resumptionRows.filter(isOther);
    this.undeliveredRows = this.undeliveredRows.filter(isOther);
    return before - this.sessionRows.length;
  }

  async countSessions(): Promise<number> {
    return this.sessionRows.filter(({ standing }) => standing === 'live').length;
  }

  async resumptions(
    linkAddress: Uint8Array,
    kid: Uint8Array,
    limit: number,
  ): Promise<readonly StoredResumption[]> {
    return this.resumptionRows
      .filter((row) => equal(row.linkAddress, linkAddress) && equal(row.kid, kid))
      .slice(0, limit);
  }

  async undelivered(limit: number): Promise<readonly UndeliveredTelemetry[]> {
    return this.undeliveredRows.slice(0, limit);
  }

  async settle(sessionId: string, sequenceNumber: number): Promise<void> {
    this.undeliveredRows = this.undeliveredRows.filter(
      (row) => row.sessionId !== sessionId || row.sequenceNumber !== sequenceNumber,
    );
  }

  #confirm(session: StoredSession, atMs: number): void {
    const { id, deviceId } = session;
    const others = this.sessionRows.filter((row) => row.deviceId === deviceId && row.id !== id);
    this.sessionRows = this.sessionRows
      .filter((row) => !others.includes(row))
      .map((row) => (row.id === id ? { ...row, standing: 'live' as const } : row));
    for (const row of others) this.#supersede({ ...row, standing: 'superseded' }, atMs);
  }

  #keepResumption(deviceId: string, sessionId: string): void {
    this.resumptionRows = this.resumptionRows.filter(
      (row) => row.deviceId !== deviceId || row.sessionId === sessionId,
    );
  }

  #supersede(row: StoredSession, atMs: number): void {
    const isOfDevice = (one: { readonly row: StoredSession }): boolean =>
      one.row.deviceId === row.deviceId;
    const kept = this.supersededRows.filter(isOfDevice).slice(0, 1);
    this.supersededRows = [
      { row, atMs },
      ...this.supersededRows.filter((one) => !isOfDevice(one) || kept.includes(one)),
    ];
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
