/**
 * The server end of sessions with devices that have no IP: handshakes, contexts, replay windows and
 * revocation. Frames of one endpoint come here one after the other (`trust/relay`); whatever a frame
 * changes is durable before its answer leaves.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import { toHex } from '../../wire/bytes/hex.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { isRequest } from '../../wire/coap/codes.ts';
import { type CoapMessage, encodeMessage, parseMessage } from '../../wire/coap/message.ts';
import { readProtected } from '../../wire/oscore/incoming.ts';
import { isRefused } from '../../wire/oscore/refusal.ts';
import { ReplayWindow } from '../../wire/oscore/replayWindow.ts';
import {
  type AcceptedRequest,
  protectResponse,
  type RequestRefusal,
  unprotectRequest,
  type UnsynchronizedRequest,
} from '../../wire/oscore/server.ts';
import { readFrame, writeFrame } from '../../wire/relay/frame.ts';
import { EnvironmentError, isRefusal } from '../ports/faults.ts';
import type { LiveConnections } from '../ports/liveConnections.ts';
import { type Endpoint, LeaseLost, type SessionChange } from '../ports/sessionStore.ts';
import { CloneWatch } from './cloneWatch.ts';
import { fingerprintOf, Fingerprints } from './fingerprints.ts';
import { type CompletedHandshake, Handshakes, isRoaming, placeOf } from './handshakes.ts';
import { type EpochKeys, firstForm, LiveSession, type SessionProgress } from './liveSession.ts';
import {
  type AcceptedTelemetry,
  type FrameRefusal,
  type SessionLimits,
  sessionLimits,
  type SessionPorts,
} from './ports.ts';
import { Ownership } from './ownership.ts';
import { acknowledgementOf, Resources, responseTo } from './resource.ts';
import { Resumptions } from './resumptions.ts';
import { SessionCache } from './sessionCache.ts';
import { Synchronization } from './synchronization.ts';
import { openTelemetry, sealTelemetry } from './undelivered.ts';

/** A frame to send back, nothing, or why not. */
export type FrameOutcome = Uint8Array | undefined | FrameRefusal;

/** Messages of one session that the application did not take; beyond it no further ones are accepted. */
const maximumUndelivered = 16;
/** Failed verifications between two writes of their count. */
const failuresPerWrite = 64;
const redeliveryPage = 500;

interface ReceivedRequest {
  /** As it came, protected. */
  readonly message: CoapMessage;
  /** Of all its bytes. */
  readonly hash: Uint8Array;
}

export class SessionService implements LiveConnections {
  readonly name = 'session';
  readonly #ports: SessionPorts;
  readonly #limits: SessionLimits;
  readonly #handshakes: Handshakes;
  readonly #resumptions: Resumptions;
  readonly #clones: CloneWatch;
  readonly #synchronization: Synchronization;
  readonly #ownership: Ownership;
  readonly #cache: SessionCache;
  readonly #resources: Resources;

  constructor(ports: SessionPorts, limits: Partial<SessionLimits> = {}) {
    this.#ports = ports;
    this.#limits = { ...sessionLimits, ...limits };
    this.#resumptions = new Resumptions(ports, this.#limits);
    this.#handshakes = new Handshakes(ports, this.#limits, this.#resumptions);
    this.#clones = new CloneWatch(ports);
    this.#synchronization = new Synchronization(ports);
    this.#cache = new SessionCache(this.#limits.cachedSessions);
    this.#ownership = new Ownership(ports, this.#limits, () => this.#cache.clear());
    this.#resources = new Resources(ports.serve);
  }

  /**
   * Takes a frame and gives the one to answer with, if any. The caller lets one frame of an endpoint end
   * before the next. What a peer does wrong is observed and not answered.
   */
  async handle(endpoint: Endpoint, bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const outcome = await this.take(endpoint, bytes);
    return typeof outcome === 'string' ? undefined : outcome;
  }

  /** The same for ingresses that answer a refusal: what they say of it is theirs to decide. */
  async take(endpoint: Endpoint, bytes: Uint8Array): Promise<FrameOutcome> {
    let outcome: FrameOutcome;
    try {
      outcome = await this.#take(endpoint, bytes);
    } catch (error) {
      if (error instanceof LeaseLost) this.#ownership.lost();
      outcome = refusalOf(error);
    }
    if (typeof outcome === 'string') {
      this.#ports.observe({ kind: 'refused', code: outcome, endpoint });
    }
    return outcome;
  }

  /** Revocation: the sessions are gone when it returns, and what is under way on them is dropped. */
  drop(holders: ReadonlySet<string>): Promise<number> {
    for (const deviceId of holders) this.#cache.end(deviceId);
    return this.#ports.store.removeSessionsOf([...holders]);
  }

  /** Sessions without IP are opened by keys, not by certificates. */
  async dropCertificate(): Promise<number> {
    return 0;
  }

  /** After a start: delivers what was accepted before a crash. Returns how much that was. */
  async redeliver(): Promise<number> {
    const { store, sealing, deliver } = this.#ports;
    let count = 0;
    for (;;) {
      const page = await store.undelivered(redeliveryPage);
      for (const row of page) {
        await deliver(openTelemetry(sealing, row));
        await store.settle(row.sessionId, row.sequenceNumber);
      }
      count += page.length;
      if (page.length < redeliveryPage) return count;
    }
  }

  /**
   * Gives up handshakes that took too long, and the keys of sessions that were superseded long ago. Returns
   * how many handshakes; to be called now and then.
   */
  async removeExpired(): Promise<number> {
    const { clock, store } = this.#ports;
    await store.removeSupersededBefore(clock.nowMs() - this.#limits.supersededLifetimeMs);
    return this.#handshakes.removeExpired();
  }

  async #take(endpoint: Endpoint, bytes: Uint8Array): Promise<FrameOutcome> {
    if (!(await this.#ownership.holds())) return 'not-owner';
    const frame = readFrame(bytes);
    if (frame.kind === 'edhoc-start') return this.#handshakes.begin(endpoint, frame.message1);
    return frame.kind === 'edhoc'
      ? this.#onMessage3(endpoint, frame.connectionId, frame.message)
      : this.#onCoap(endpoint, frame.message);
  }

  async #onMessage3(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    message3: Uint8Array,
  ): Promise<FrameOutcome> {
    const message3Hash = this.#ports.crypto.hash('SHA-256', message3);
    const session = await this.#session(placeOf(endpoint, connectionId), connectionId);
    if (session !== undefined) {
      if (!equal(session.message3Hash, message3Hash)) return 'unknown-connection';
      // Its answer is the first response under OSCORE, which only a request can bring about.
      this.#ports.observe({ kind: 'duplicate', endpoint });
      return undefined;
    }
    const completed = await this.#handshakes.complete(endpoint, connectionId, message3);
    if (typeof completed === 'string') return completed;
    return this.#promote(completed, message3Hash, isRoaming(endpoint));
  }

  /** The device's live session stays as it is until a message comes under the new keys. */
  async #promote(
    { stored, deviceId, session, authenticatedMs, usedKeyOf }: CompletedHandshake,
    message3Hash: Uint8Array,
    roaming: boolean,
  ): Promise<FrameOutcome> {
    const { clock, store, sealing, registry, observe } = this.#ports;
    const { id: sessionId, ingress } = stored;
    const beganMs = clock.nowMs();
    const { incarnation } = store;
    const fields = { deviceId, session, message3Hash, beganMs, incarnation };
    const row = firstForm(sealing, stored, fields);
    // Where the identifier stands for the address, the next handshake cannot know it.
    const linkAddress = roaming ? empty : stored.linkAddress;
    const owner = { sessionId, deviceId, linkAddress, authenticatedMs };
    const resumption = this.#resumptions.derive(session, owner);
    const outcome = await store.promote(stored, row, resumption, {
      maximumPerEndpoint: this.#limits.sessionsPerEndpoint,
      ...(usedKeyOf === undefined ? {} : { usedKeyOf }),
    });
    if (outcome === 'gone') return 'lost-race';
    if (outcome === 'endpoint-full') {
      await store.removeHandshake(stored.id);
      return 'endpoint-full';
    }
    this.#cache.endFresh(deviceId);
    // A revocation first marks the device and then removes its sessions. Whichever of the two this
    // session escaped by being written in between, it meets the other here.
    if (isRefusal(await registry.markEnrolled(deviceId))) {
      await this.drop(new Set([deviceId]));
      return 'device-refused';
    }
    const endpoint = { ingress, linkAddress: stored.linkAddress };
    const resumed = usedKeyOf !== undefined;
    observe({ kind: 'session-began', endpoint, deviceId, sessionId, resumed });
    return undefined;
  }

  async #onCoap(endpoint: Endpoint, bytes: Uint8Array): Promise<FrameOutcome> {
    const message = parseMessage(bytes);
    if (!isRequest(message.code)) return 'not-a-request';
    const option = readProtected(message);
    if (isRefused(option) || option.kid === undefined) return 'malformed';
    const place = placeOf(endpoint, option.kid);
    const session = await this.#session(place, option.kid);
    if (session === undefined) {
      const isClone = await this.#clones.onStray(place, option.kid, message);
      return isClone ? 'clone' : 'unknown-connection';
    }
    const request = { message, hash: this.#ports.crypto.hash('SHA-256', bytes) };
    const result = unprotectRequest(session.context, session.progress.window, message);
    if ('refused' in result) return this.#onRefusedRequest(session, request, result);
    if (result.outcome === 'accepted') return this.#accept(session, request, result);
    return this.#synchronization.isProven(session, result)
      ? this.#accept(session, request, result.synchronize())
      : this.#challenge(session, request, result);
  }

  /** `updated`: the message came under the next epoch, and the device has left the present one. */
  async #accept(
    session: LiveSession,
    received: ReceivedRequest,
    { message: request, sequenceNumber, window, exchange }: AcceptedRequest<CoapMessage>,
    updated?: EpochKeys,
  ): Promise<FrameOutcome> {
    const { crypto, clock } = this.#ports;
    if (session.undelivered.length >= maximumUndelivered) return 'delivery-failed';
    const answer = await this.#resources.answer(session.peer, request, clock.nowMs());
    const response = responseTo(request, answer.response, () => this.#newMessageId());
    const protectedResponse =
      response === undefined ? acknowledgementOf(request) : protectResponse(exchange, response);
    const frame =
      protectedResponse === undefined || 'refused' in protectedResponse
        ? undefined
        : writeFrame({ kind: 'coap', message: encodeMessage(protectedResponse) });
    const telemetry: AcceptedTelemetry | undefined =
      answer.telemetry === undefined
        ? undefined
        : {
            ...session.endpoint,
            deviceId: session.deviceId,
            payload: answer.telemetry.slice(),
            sessionId: session.id,
            sequenceNumber,
            receivedMs: clock.nowMs(),
          };
    // A crash before this write: the request comes again and is new. After it: what it brought is
    // delivered at the next start, and a repetition gets the stored answer.
    const goesOn = updated === undefined && session.progress.window.isSynchronized;
    const known = goesOn ? session.progress.fingerprints : Fingerprints.none();
    const fingerprint = fingerprintOf(crypto, received.message.payload);
    const progress = {
      window,
      fingerprints: known.with(sequenceNumber, fingerprint),
      ownEnd: updated === undefined ? session.progress.ownEnd : 0,
      lastAnswer: { sequenceNumber, requestHash: received.hash, frame },
    };
    if (!(await this.#advance(session, progress, telemetry, updated))) return 'lost-race';
    if (telemetry !== undefined) session.undelivered.push(telemetry);
    return (await this.#deliver(session)) ? frame : 'delivery-failed';
  }

  /** RFC 8613 §B.1.2: nothing of the request is acted on. */
  async #challenge(
    session: LiveSession,
    { message }: ReceivedRequest,
    request: UnsynchronizedRequest<CoapMessage>,
  ): Promise<FrameOutcome> {
    const challenge = this.#synchronization.challenge(session, message, request);
    if (challenge === undefined) return 'unsynchronized';
    const { frame, ownEnd } = challenge;
    const { endpoint, deviceId } = session;
    // A crash before this write: the number was used by nobody. After it: it is not used again.
    if (!(await this.#advance(session, { ...session.progress, ownEnd }))) return 'lost-race';
    this.#ports.observe({ kind: 'challenged', endpoint, deviceId });
    return frame;
  }

  async #onRefusedRequest(
    session: LiveSession,
    request: ReceivedRequest,
    refusal: RequestRefusal,
  ): Promise<FrameOutcome> {
    const { progress } = session;
    switch (refusal.refused) {
      case 'replay':
        return this.#onUsedNumber(session, request, refusal.sequenceNumber ?? 0);
      case 'plaintext-malformed':
        // It verified, so its number is used up.
        await this.#advance(session, { ...progress, window: refusal.window ?? progress.window });
        return 'malformed';
      case 'decryption-failed':
        return this.#onUnverified(session, request);
      case 'key-worn-out':
        await this.#wearOut(session);
        return 'key-worn-out';
      case 'unknown-context':
        return 'unknown-connection';
      case 'not-oscore':
      case 'malformed':
      case 'unexpected-key-update':
        return 'malformed';
    }
  }

  /** Numbers begin again with an epoch, so that a used one may also be the next epoch's. */
  async #onUsedNumber(
    session: LiveSession,
    request: ReceivedRequest,
    sequenceNumber: number,
  ): Promise<FrameOutcome> {
    const { lastAnswer } = session.progress;
    if (lastAnswer !== undefined && equal(lastAnswer.requestHash, request.hash)) {
      this.#ports.observe({ kind: 'duplicate', endpoint: session.endpoint });
      return (await this.#deliver(session)) ? lastAnswer.frame : 'delivery-failed';
    }
    const { message } = request;
    if (this.#clones.isKnownContent(session, message, sequenceNumber)) return 'replay';
    const updated = this.#openUpdated(session, message);
    if (updated !== undefined) return this.#accept(session, request, updated, session.keys.next);
    if (await this.#clones.onUsedNumber(session, message, sequenceNumber)) return 'clone';
    return (await this.#isStray(session, message)) ? 'clone' : 'replay';
  }

  async #onUnverified(session: LiveSession, request: ReceivedRequest): Promise<FrameOutcome> {
    const { message } = request;
    const updated = this.#openUpdated(session, message);
    if (updated !== undefined) return this.#accept(session, request, updated, session.keys.next);
    if (await this.#isStray(session, message)) return 'clone';
    session.unstoredFailures += 1;
    if (session.unstoredFailures >= failuresPerWrite) {
      await this.#advance(session, session.progress);
    }
    if (session.context.isRecipientKeyWornOut) await this.#wearOut(session);
    return 'decryption-failed';
  }

  /** RFC 9528 Appendix H: the device moves first; the server follows what verifies. */
  #openUpdated(
    session: LiveSession,
    message: CoapMessage,
  ): AcceptedRequest<CoapMessage> | undefined {
    // Which messages of the next epoch came before the store forgot cannot be known.
    if (session.standing !== 'live' || !session.progress.window.isSynchronized) return undefined;
    const { context } = session.keys.next;
    const opened = unprotectRequest(context, ReplayWindow.empty(), message);
    return 'refused' in opened || opened.outcome !== 'accepted' ? undefined : opened;
  }

  #isStray({ endpoint, connectionId }: LiveSession, message: CoapMessage): Promise<boolean> {
    return this.#clones.onStray(endpoint, connectionId, message);
  }

  /** Stores the next version. False: the session was ended, or another process has gone on with it. */
  async #advance(
    session: LiveSession,
    progress: SessionProgress,
    telemetry?: AcceptedTelemetry,
    updated?: EpochKeys,
  ): Promise<boolean> {
    const { store, sealing, clock } = this.#ports;
    // Whatever moved the window on was authentic. The first such message shows that the device has the keys;
    // the second, sent after the answer to the first, that it knows that we have them.
    const isNew = progress.window !== session.progress.window;
    const confirms = isNew && session.standing === 'fresh';
    const settles = isNew && session.standing === 'live' && !session.settled;
    const change: SessionChange = {
      state: session.sealedState(sealing, progress, updated),
      ...(telemetry === undefined ? {} : { accepted: sealTelemetry(sealing, telemetry) }),
      ...(confirms ? { confirmedMs: clock.nowMs() } : {}),
      ...(settles ? { settled: true } : {}),
      ...(updated === undefined ? {} : this.#update(session, updated)),
    };
    const written = await this.#write(session, () =>
      store.updateSession(session.id, session.version, change),
    );
    if (!written || session.ended) {
      this.#cache.remove(session);
      return false;
    }
    session.version += 1;
    session.progress = progress;
    session.unstoredFailures = 0;
    if (settles) session.settled = true;
    if (confirms) this.#onConfirmed(session);
    if (updated !== undefined) this.#onUpdated(session, updated);
    return true;
  }

  #update(session: LiveSession, updated: EpochKeys): Pick<SessionChange, 'keys' | 'retired'> {
    const { crypto, clock, sealing } = this.#ports;
    const retired = session.retired(sealing, toHex(crypto.random(16)));
    return {
      keys: session.sealedKeys(sealing, updated),
      retired: { session: retired, atMs: clock.nowMs() },
    };
  }

  #onConfirmed(session: LiveSession): void {
    const { id: sessionId, deviceId, endpoint } = session;
    session.standing = 'live';
    this.#cache.endOthers(session);
    this.#ports.observe({ kind: 'session-confirmed', endpoint, deviceId, sessionId });
  }

  #onUpdated(session: LiveSession, updated: EpochKeys): void {
    const { deviceId, endpoint } = session;
    const { epoch } = updated.edhoc;
    session.keys = updated;
    this.#ports.observe({ kind: 'keys-updated', endpoint, deviceId, epoch });
  }

  /** After a failed write nobody knows what is stored: the next frame reads it again. */
  async #write<Result>(session: LiveSession, write: () => Promise<Result>): Promise<Result> {
    try {
      return await write();
    } catch (error) {
      this.#cache.remove(session);
      throw error;
    }
  }

  /** False when the application does not take it now; it is tried again with the next frame. */
  async #deliver(session: LiveSession): Promise<boolean> {
    const { deliver, store } = this.#ports;
    for (;;) {
      const [telemetry] = session.undelivered;
      if (telemetry === undefined) return true;
      if (session.ended) return false;
      try {
        await deliver(telemetry);
      } catch (error) {
        if (!(error instanceof EnvironmentError)) throw error;
        return false;
      }
      session.undelivered.shift();
      await store.settle(telemetry.sessionId, telemetry.sequenceNumber);
    }
  }

  async #session(endpoint: Endpoint, connectionId: Uint8Array): Promise<LiveSession | undefined> {
    const cached = this.#cache.find(endpoint, connectionId);
    if (cached !== undefined) return cached;
    const { crypto, store, sealing, registry } = this.#ports;
    const stored = await store.session(endpoint, connectionId);
    if (stored === undefined) return undefined;
    // A crash may have come between a revocation and the end of its sessions.
    if (isRefusal(await registry.markEnrolled(stored.deviceId))) {
      await store.removeSession(stored.id);
      return undefined;
    }
    const session = new LiveSession(crypto, stored, { sealing, incarnation: store.incarnation });
    this.#cache.add(session);
    return session;
  }

  async #wearOut(session: LiveSession): Promise<void> {
    session.ended = true;
    this.#cache.remove(session);
    await this.#ports.store.removeSession(session.id);
    this.#ports.observe({ kind: 'session-ended', deviceId: session.deviceId, reason: 'worn-out' });
  }

  #newMessageId(): number {
    const [high = 0, low = 0] = this.#ports.crypto.random(2);
    return (high << 8) | low;
  }
}

function refusalOf(error: unknown): FrameRefusal {
  if (error instanceof MalformedError) return 'malformed';
  if (error instanceof UnsupportedError) return 'unsupported';
  if (error instanceof LeaseLost) return 'not-owner';
  if (error instanceof EnvironmentError) return 'environment';
  throw error;
}
