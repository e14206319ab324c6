/**
 * The server end of sessions with devices that have no IP: handshakes, contexts, replay windows and
 * revocation. Frames of one endpoint come here one after the other (`trust/relay`); whatever a frame
 * changes is durable before its answer leaves.
 */
import { empty, equal } from '../../wire/bytes/bytes.ts';
import { MalformedError, UnsupportedError } from '../../wire/bytes/malformed.ts';
import { isRequest } from '../../wire/coap/codes.ts';
import { type CoapMessage, encodeMessage, parseMessage } from '../../wire/coap/message.ts';
import { readProtected } from '../../wire/oscore/incoming.ts';
import type { OscoreOption } from '../../wire/oscore/option.ts';
import { isRefused, type OscoreRefusal } from '../../wire/oscore/refusal.ts';
import { ReplayWindow } from '../../wire/oscore/replayWindow.ts';
import {
  type AcceptedRequest,
  protectResponse,
  type RequestRefusal,
  unprotectRequest,
  type UnsynchronizedRequest,
} from '../../wire/oscore/server.ts';
import { readFrame, writeFrame } from '../../wire/relay/frame.ts';
import { partsKind, readPartRequest } from '../../wire/relay/parts.ts';
import { EnvironmentError, isRefusal } from '../ports/faults.ts';
import type { LiveConnections } from '../ports/liveConnections.ts';
import { type Endpoint, LeaseLost } from '../ports/sessionStore.ts';
import { CloneWatch } from './cloneWatch.ts';
import { fingerprintOf, Fingerprints } from './fingerprints.ts';
import { isRoaming, placeOf } from './handshakeRows.ts';
import { type CompletedHandshake, Handshakes } from './handshakes.ts';
import { firstForm, type LiveSession } from './liveSession.ts';
import type { SessionKeys } from './sessionKeys.ts';
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
import { LiveSessions } from './liveSessions.ts';
import { SessionCache } from './sessionCache.ts';
import { Synchronization } from './synchronization.ts';
import { answerInRun, isOfRun, receiveInRun, type RunAnswered } from './kudosRuns.ts';
import { Deliveries } from './undelivered.ts';

/** A frame to send back, nothing, or why not. */
export type FrameOutcome = Uint8Array | undefined | FrameRefusal;

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
  readonly #live: LiveSessions;
  readonly #resources: Resources;
  readonly #deliveries: Deliveries;

  constructor(ports: SessionPorts, limits: Partial<SessionLimits> = {}) {
    this.#ports = ports;
    this.#limits = { ...sessionLimits, ...limits };
    this.#resumptions = new Resumptions(ports, this.#limits);
    this.#handshakes = new Handshakes(ports, this.#limits, this.#resumptions);
    this.#clones = new CloneWatch(ports);
    this.#synchronization = new Synchronization(ports);
    this.#cache = new SessionCache(this.#limits.cachedSessions);
    this.#live = new LiveSessions(ports, this.#cache);
    this.#ownership = new Ownership(ports, this.#limits, () => this.#cache.clear());
    this.#resources = new Resources(ports.serve);
    this.#deliveries = new Deliveries(ports);
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
  take(endpoint: Endpoint, bytes: Uint8Array): Promise<FrameOutcome> {
    return this.#observed(endpoint, () => this.#take(endpoint, bytes));
  }

  /** The peer asks us to begin a handshake (RFC 9528 Appendix A.2.2): the frame with message_1. */
  beginReverse(endpoint: Endpoint): Promise<FrameOutcome> {
    return this.#observed(endpoint, async () =>
      (await this.#ownership.holds()) ? this.#handshakes.beginReverse(endpoint) : 'not-owner',
    );
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
  redeliver(): Promise<number> {
    return this.#deliveries.redeliver();
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

  async #observed(endpoint: Endpoint, work: () => Promise<FrameOutcome>): Promise<FrameOutcome> {
    let outcome: FrameOutcome;
    try {
      outcome = await work();
    } catch (error) {
      if (error instanceof LeaseLost) this.#ownership.lost();
      outcome = refusalOf(error);
    }
    if (typeof outcome === 'string') {
      this.#ports.observe({ kind: 'refused', code: outcome, endpoint });
    }
    return outcome;
  }

  async #take(endpoint: Endpoint, bytes: Uint8Array): Promise<FrameOutcome> {
    if (!(await this.#ownership.holds())) return 'not-owner';
    if (bytes[0] === partsKind) return this.#handshakes.part(endpoint, readPartRequest(bytes));
    const frame = readFrame(bytes);
    if (frame.kind === 'edhoc-start') return this.#handshakes.begin(endpoint, frame.message1);
    return frame.kind === 'edhoc'
      ? this.#onHandshake(endpoint, frame.connectionId, frame.message)
      : this.#onCoap(endpoint, frame.message);
  }

  async #onHandshake(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    message: Uint8Array,
  ): Promise<FrameOutcome> {
    const messageHash = this.#ports.crypto.hash('SHA-256', message);
    const session = await this.#live.find(placeOf(endpoint, connectionId), connectionId);
    if (session !== undefined) {
      if (!equal(session.message3Hash, messageHash)) return 'unknown-connection';
      // Its answer is the first response under OSCORE, which only a request can bring about.
      this.#ports.observe({ kind: 'duplicate', endpoint });
      return undefined;
    }
    const outcome = await this.#handshakes.complete(endpoint, connectionId, message);
    if (typeof outcome === 'string' || outcome instanceof Uint8Array) return outcome;
    return this.#promote(outcome, messageHash, isRoaming(endpoint));
  }

  /** The device's live session stays as it is until a message comes under the new keys. */
  async #promote(
    completed: CompletedHandshake,
    message3Hash: Uint8Array,
    roaming: boolean,
  ): Promise<FrameOutcome> {
    const { clock, store, sealing, registry, observe } = this.#ports;
    const { stored, deviceId, session, side, authenticatedMs, usedKeyOf } = completed;
    const { attestedUnder, failedVerifications = 0 } = completed;
    const { id: sessionId, ingress } = stored;
    const beganMs = clock.nowMs();
    const { incarnation } = store;
    const fields = { deviceId, session, side, message3Hash, beganMs, incarnation };
    const row = firstForm(sealing, stored, { ...fields, failedVerifications, attestedUnder });
    // Where the identifier stands for the address, the next handshake cannot know it.
    const linkAddress = roaming ? empty : stored.linkAddress;
    const owner = { sessionId, deviceId, linkAddress, authenticatedMs, attestedUnder };
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
    const session =
      (await this.#live.find(place, option.kid)) ??
      (await this.#confirmed(endpoint, option.kid, message));
    if (session === undefined) {
      const isClone = await this.#clones.onStray(place, option.kid, message);
      return isClone ? 'clone' : 'unknown-connection';
    }
    const request = { message, hash: this.#ports.crypto.hash('SHA-256', bytes) };
    if (isOfRun(session, option)) return this.#onRun(session, request, option);
    const result = unprotectRequest(session.context, session.progress.window, message);
    if ('refused' in result) return this.#onRefusedRequest(session, request, result);
    if (result.outcome === 'accepted') return this.#accept(session, request, result);
    return this.#synchronization.isProven(session, result)
      ? this.#accept(session, request, result.synchronize())
      : this.#challenge(session, request, result);
  }

  /** The session of a handshake of the reverse flow that this request ends. */
  async #confirmed(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    message: CoapMessage,
  ): Promise<LiveSession | undefined> {
    const confirmed = await this.#handshakes.confirm(endpoint, connectionId, message);
    if (confirmed === undefined) return undefined;
    const { lastMessageHash } = confirmed;
    const refused = await this.#promote(confirmed, lastMessageHash, isRoaming(endpoint));
    if (refused !== undefined) return undefined;
    return this.#live.find(placeOf(endpoint, connectionId), connectionId);
  }

  /** `updated`: the message came under these keys, and the device has left the present ones. */
  async #accept(
    session: LiveSession,
    received: ReceivedRequest,
    { message: request, sequenceNumber, window, exchange }: AcceptedRequest<CoapMessage>,
    updated?: SessionKeys,
  ): Promise<FrameOutcome> {
    const { crypto, clock } = this.#ports;
    if (this.#deliveries.isFull(session)) return 'delivery-failed';
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
            sessionId: (updated ?? session.keys).id,
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
      ownEnd: updated?.kind === 'epoch' ? 0 : session.progress.ownEnd,
      lastAnswer: { sequenceNumber, requestHash: received.hash, frame },
    };
    if (!(await this.#live.advance(session, { progress, telemetry, keys: updated })))
      return 'lost-race';
    if (telemetry !== undefined) session.undelivered.push(telemetry);
    return (await this.#deliveries.deliver(session)) ? frame : 'delivery-failed';
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
    const progress = { ...session.progress, ownEnd };
    if (!(await this.#live.advance(session, { progress }))) return 'lost-race';
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
        await this.#live.advance(session, {
          progress: { ...progress, window: refusal.window ?? progress.window },
        });
        return 'malformed';
      case 'decryption-failed':
        return this.#onUnverified(session, request);
      case 'key-worn-out':
        await this.#live.wearOut(session);
        return 'key-worn-out';
      case 'unknown-context':
        return 'unknown-connection';
      case 'not-oscore':
      case 'malformed':
      case 'unexpected-key-update':
        return 'malformed';
    }
  }

  /**
   * KUDOS: the device begins, and is answered under keys that it has not proven yet. A crash before the
   * write: its message comes again. After it: the same answer.
   */
  async #onRun(
    session: LiveSession,
    request: ReceivedRequest,
    option: OscoreOption,
  ): Promise<FrameOutcome> {
    const { progress, standing } = session;
    if (this.#isLast(session, request)) return this.#answerAgain(session);
    if (standing !== 'live') return 'unknown-connection';
    // What was put back cannot tell whether this run was made before.
    if (!progress.window.isSynchronized) return 'unsynchronized';
    if (this.#deliveries.isFull(session)) return 'delivery-failed';
    const outcome = receiveInRun(this.#ports.crypto, session, request.message, option);
    if (isRefused(outcome)) return this.#onRefusedInRun(session, outcome);
    try {
      return outcome.kind === 'confirmed'
        ? await this.#accept(session, request, outcome.accepted, outcome.keys)
        : await this.#answerRun(session, request, outcome);
    } catch (error) {
      // Its state is spent: the next message reads it again.
      this.#live.forget(session);
      throw error;
    }
  }

  async #answerRun(
    session: LiveSession,
    { hash: requestHash }: ReceivedRequest,
    answered: RunAnswered,
  ): Promise<FrameOutcome> {
    const { run, proven } = answered;
    const answer = answerInRun(answered, () => this.#newMessageId());
    if (isRefused(answer)) {
      await this.#live.wearOut(session);
      return 'key-worn-out';
    }
    const { frame, ownEnd } = answer;
    const { progress } = session;
    const known =
      proven === undefined
        ? progress
        : { ...progress, window: ReplayWindow.empty(), fingerprints: Fingerprints.none() };
    const lastAnswer = { sequenceNumber: ownEnd - 1, requestHash, frame };
    const next = { ...known, ownEnd, lastAnswer };
    const stored = await this.#live.advance(session, { progress: next, keys: proven, run });
    return stored ? frame : 'lost-race';
  }

  async #onRefusedInRun(session: LiveSession, { refused }: OscoreRefusal): Promise<FrameOutcome> {
    if (refused === 'replay') return refused;
    if (refused === 'decryption-failed') {
      // A nonce that did not verify had keys of its own: only those that stay are worn.
      return session.run === undefined ? refused : this.#live.countFailure(session);
    }
    if (refused === 'key-worn-out') {
      await this.#live.wearOut(session);
      return refused;
    }
    return refused === 'unknown-context' ? 'unknown-connection' : 'malformed';
  }

  #isLast({ progress: { lastAnswer } }: LiveSession, { hash }: ReceivedRequest): boolean {
    return lastAnswer !== undefined && equal(lastAnswer.requestHash, hash);
  }

  async #answerAgain(session: LiveSession): Promise<FrameOutcome> {
    this.#ports.observe({ kind: 'duplicate', endpoint: session.endpoint });
    const { lastAnswer } = session.progress;
    return (await this.#deliveries.deliver(session)) ? lastAnswer?.frame : 'delivery-failed';
  }

  /** Numbers begin again with an epoch, so that a used one may also be the next epoch's. */
  async #onUsedNumber(
    session: LiveSession,
    request: ReceivedRequest,
    sequenceNumber: number,
  ): Promise<FrameOutcome> {
    if (this.#isLast(session, request)) return this.#answerAgain(session);
    const { message } = request;
    if (this.#clones.isKnownContent(session, message, sequenceNumber)) return 'replay';
    const updated = this.#openUpdated(session, message);
    if (updated !== undefined) return this.#accept(session, request, ...updated);
    if (await this.#clones.onUsedNumber(session, message, sequenceNumber)) return 'clone';
    return (await this.#isStray(session, message)) ? 'clone' : 'replay';
  }

  async #onUnverified(session: LiveSession, request: ReceivedRequest): Promise<FrameOutcome> {
    const { message } = request;
    const updated = this.#openUpdated(session, message);
    if (updated !== undefined) return this.#accept(session, request, ...updated);
    if (await this.#isStray(session, message)) return 'clone';
    return this.#live.countFailure(session);
  }

  /** RFC 9528 Appendix H: the device moves first; the server follows what verifies. */
  #openUpdated(
    session: LiveSession,
    message: CoapMessage,
  ): readonly [AcceptedRequest<CoapMessage>, SessionKeys] | undefined {
    const { keys, standing, progress } = session;
    // Which messages of the next epoch came before the store forgot cannot be known.
    if (standing !== 'live' || !progress.window.isSynchronized) return undefined;
    if (keys.kind !== 'epoch') return undefined;
    const opened = unprotectRequest(keys.next.context, ReplayWindow.empty(), message);
    if ('refused' in opened || opened.outcome !== 'accepted') return undefined;
    return [opened, keys.next];
  }

  #isStray({ endpoint, connectionId }: LiveSession, message: CoapMessage): Promise<boolean> {
    return this.#clones.onStray(endpoint, connectionId, message);
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
