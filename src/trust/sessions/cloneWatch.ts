/**
 * Looks at what was not accepted for signs of a second holder of a device's keys. A message that came before,
 * byte for byte, is none: anybody can record and send it again.
 */
import type { CoapMessage } from '../../wire/coap/message.ts';
import { ReplayWindow } from '../../wire/oscore/replayWindow.ts';
import { unprotectRequest } from '../../wire/oscore/server.ts';
import type { Endpoint } from '../ports/sessionStore.ts';
import { fingerprintOf } from './fingerprints.ts';
import { LiveSession } from './liveSession.ts';
import type { CloneEvidence, SessionPorts } from './ports.ts';

export class CloneWatch {
  readonly #ports: SessionPorts;

  constructor(ports: SessionPorts) {
    this.#ports = ports;
  }

  /** A message with a number that the window holds. True when it is authentic and another one. */
  async onUsedNumber(
    session: LiveSession,
    message: CoapMessage,
    sequenceNumber: number,
  ): Promise<boolean> {
    const { progress, context } = session;
    if (progress.window.check(sequenceNumber) !== 'replayed') return false;
    if (!progress.fingerprints.knows(sequenceNumber)) return false;
    if (this.isKnownContent(session, message, sequenceNumber)) return false;
    // What does not verify is counted by the context.
    const opened = unprotectRequest(context, ReplayWindow.empty(), message);
    if ('refused' in opened) return false;
    await this.#record(session, message, sequenceNumber, 'number-used-twice');
    return true;
  }

  /** Whether this very content was accepted under this number. */
  isKnownContent(session: LiveSession, message: CoapMessage, sequenceNumber: number): boolean {
    const fingerprint = fingerprintOf(this.#ports.crypto, message.payload);
    return session.progress.fingerprints.isOf(sequenceNumber, fingerprint);
  }

  /** A message that no present session of this identifier verifies. True when a superseded one does. */
  async onStray(
    endpoint: Endpoint,
    connectionId: Uint8Array,
    message: CoapMessage,
  ): Promise<boolean> {
    const { crypto, store, sealing } = this.#ports;
    for (const stored of await store.superseded(endpoint, connectionId)) {
      const session = new LiveSession(crypto, stored, { sealing, incarnation: store.incarnation });
      const opened = unprotectRequest(session.context, ReplayWindow.empty(), message);
      if ('refused' in opened || opened.outcome !== 'accepted') continue;
      // What the store has forgotten may well have been accepted then.
      if (!session.progress.window.isSynchronized) return false;
      const { sequenceNumber } = opened;
      const wasUsed = session.progress.window.check(sequenceNumber) === 'replayed';
      const isReplay = wasUsed && this.isKnownContent(session, message, sequenceNumber);
      if (isReplay) return false;
      await this.#record(session, message, sequenceNumber, 'superseded-keys');
      return true;
    }
    return false;
  }

  /** Each message once, however often it comes. */
  async #record(
    { keys: { id: sessionId }, deviceId, endpoint }: LiveSession,
    message: CoapMessage,
    sequenceNumber: number,
    reason: CloneEvidence['reason'],
  ): Promise<void> {
    const { crypto, clock, clones, observe } = this.#ports;
    const evidence = { deviceId, sessionId, sequenceNumber, reason };
    const isNew = await clones.record({
      ...evidence,
      ...endpoint,
      seenMs: clock.nowMs(),
      messageHash: crypto.hash('SHA-256', message.payload),
    });
    if (isNew) observe({ kind: 'clone-evidence', endpoint, ...evidence });
  }
}
