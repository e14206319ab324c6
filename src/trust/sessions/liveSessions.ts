/** Sessions as the store has them and as they are in memory: reading one, moving it on, ending it. */
import type { KudosPending } from '../../wire/oscore/kudos.ts';
import { isRefusal } from '../ports/faults.ts';
import type { Endpoint, SessionChange } from '../ports/sessionStore.ts';
import { LiveSession, type SessionProgress } from './liveSession.ts';
import type { AcceptedTelemetry, SessionPorts } from './ports.ts';
import type { SessionCache } from './sessionCache.ts';
import { newId, type SessionKeys } from './sessionKeys.ts';
import { sealTelemetry } from './undelivered.ts';

/** What a message changes; where nothing is said, it stays as it is. */
export interface Step {
  readonly progress: SessionProgress;
  readonly telemetry?: AcceptedTelemetry | undefined;
  /** In place of the present ones, which are retired. */
  readonly keys?: SessionKeys | undefined;
  readonly run?: KudosPending;
}

/** Failed verifications between two writes of their count. */
const failuresPerWrite = 64;

/** How long what is demanded of a device may have been something else before its session hears of it. */
const evidenceCountsMs = 60_000;

export class LiveSessions {
  readonly #ports: SessionPorts;
  readonly #cache: SessionCache;

  constructor(ports: SessionPorts, cache: SessionCache) {
    this.#ports = ports;
    this.#cache = cache;
  }

  async find(endpoint: Endpoint, connectionId: Uint8Array): Promise<LiveSession | undefined> {
    const session =
      this.#cache.find(endpoint, connectionId) ?? (await this.#read(endpoint, connectionId));
    if (session === undefined || (await this.#isAttested(session))) return session;
    // Neither does a resumption help: the device makes a full handshake, where evidence is asked for.
    await this.#end(session, 'not-attested');
    return undefined;
  }

  async #read(endpoint: Endpoint, connectionId: Uint8Array): Promise<LiveSession | undefined> {
    const { crypto, store, sealing, registry } = this.#ports;
    const stored = await store.session(endpoint, connectionId);
    if (stored === undefined) return undefined;
    // A crash may have come between a revocation and the end of its sessions.
    if (isRefusal(await registry.markEnrolled(stored.deviceId))) {
      await store.removeSession(stored.id);
      return undefined;
    }
    const session = new LiveSession(crypto, stored, { sealing, incarnation: store.incarnation });
    // What was put back cannot tell whether the device has used the new keys since.
    if (session.run !== undefined && !session.progress.window.isSynchronized) {
      await store.removeSession(stored.id);
      return undefined;
    }
    this.#cache.add(session);
    return session;
  }

  /** Stores the next version. False: the session was ended, or another process has gone on with it. */
  async advance(session: LiveSession, { progress, telemetry, keys, run }: Step): Promise<boolean> {
    const { sealing, clock } = this.#ports;
    // Whatever moved the window on was authentic. The first such message shows that the device has the keys;
    // the second, sent after the answer to the first, that it knows that we have them.
    const isNew = progress.window !== session.progress.window;
    const confirms = isNew && session.standing === 'fresh';
    const settles = isNew && session.standing === 'live' && !session.settled;
    const nextRun = run ?? (keys === undefined ? session.run : undefined);
    const change: SessionChange = {
      state: session.sealedState(sealing, progress, keys ?? session.keys, nextRun),
      ...(telemetry === undefined ? {} : { accepted: sealTelemetry(sealing, telemetry) }),
      ...(confirms ? { confirmedMs: clock.nowMs() } : {}),
      ...(settles ? { settled: true } : {}),
      ...(keys === undefined && run === undefined
        ? {}
        : { keys: session.sealedKeys(sealing, keys ?? session.keys, nextRun) }),
      ...(keys === undefined ? {} : { retired: this.#retired(session) }),
    };
    const written = await this.#write(session, change);
    if (!written || session.ended) {
      this.#cache.remove(session);
      return false;
    }
    session.version += 1;
    session.progress = progress;
    session.run = nextRun;
    session.unstoredFailures = 0;
    if (settles) session.settled = true;
    if (confirms) this.#onConfirmed(session);
    if (keys !== undefined) this.#onUpdated(session, keys);
    return true;
  }

  /** Of a message that verified under nothing. */
  async countFailure(session: LiveSession): Promise<'decryption-failed'> {
    session.unstoredFailures += 1;
    if (session.unstoredFailures >= failuresPerWrite) {
      await this.advance(session, { progress: session.progress });
    }
    const context = session.run?.fresh.context ?? session.context;
    if (context.isRecipientKeyWornOut) await this.wearOut(session);
    return 'decryption-failed';
  }

  /** A limit of its keys is reached. */
  wearOut(session: LiveSession): Promise<void> {
    return this.#end(session, 'worn-out');
  }

  /** What is in memory may be out of date, or spent. */
  forget(session: LiveSession): void {
    this.#cache.remove(session);
  }

  async #isAttested(session: LiveSession): Promise<boolean> {
    const { attestation, clock } = this.#ports;
    const nowMs = clock.nowMs();
    const { attestedMs = -Infinity, attestedUnder, deviceId } = session;
    if (attestation === undefined || nowMs - attestedMs < evidenceCountsMs) return true;
    const demand = await attestation.demandOf(deviceId);
    if (demand !== undefined && demand !== attestedUnder) return false;
    session.attestedMs = nowMs;
    return true;
  }

  async #end(session: LiveSession, reason: 'worn-out' | 'not-attested'): Promise<void> {
    const { store, observe } = this.#ports;
    session.ended = true;
    this.#cache.remove(session);
    await store.removeSession(session.id);
    observe({ kind: 'session-ended', deviceId: session.deviceId, reason });
  }

  /** After a failed write nobody knows what is stored: the next frame reads it again. */
  async #write(session: LiveSession, change: SessionChange): Promise<boolean> {
    try {
      return await this.#ports.store.updateSession(session.id, session.version, change);
    } catch (error) {
      this.forget(session);
      throw error;
    }
  }

  #retired(session: LiveSession): NonNullable<SessionChange['retired']> {
    const { crypto, clock, sealing } = this.#ports;
    // The row of the session goes on with the other keys.
    const id = session.keys.id === session.id ? newId(crypto) : session.keys.id;
    const retired = session.retired(sealing, id);
    return { session: retired, atMs: clock.nowMs() };
  }

  #onConfirmed(session: LiveSession): void {
    const { id: sessionId, deviceId, endpoint } = session;
    session.standing = 'live';
    this.#cache.endOthers(session);
    this.#ports.observe({ kind: 'session-confirmed', endpoint, deviceId, sessionId });
  }

  #onUpdated(session: LiveSession, keys: SessionKeys): void {
    const { deviceId, endpoint } = session;
    session.keys = keys;
    this.#ports.observe({ kind: 'keys-updated', endpoint, deviceId, by: keys.kind });
  }
}
