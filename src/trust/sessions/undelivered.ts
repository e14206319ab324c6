/** Telemetry that was accepted and may not have reached the application: its stored form, and its delivery. */
import { EnvironmentError, InvariantError } from '../ports/faults.ts';
import type { SealingKey } from '../ports/keys.ts';
import type { UndeliveredTelemetry } from '../ports/sessionStore.ts';
import type { LiveSession } from './liveSession.ts';
import type { AcceptedTelemetry, SessionPorts } from './ports.ts';

/** Messages of one session that the application did not take; beyond it no further ones are accepted. */
const maximumUndelivered = 16;
const redeliveryPage = 500;

export class Deliveries {
  readonly #ports: SessionPorts;

  constructor(ports: SessionPorts) {
    this.#ports = ports;
  }

  isFull({ undelivered }: LiveSession): boolean {
    return undelivered.length >= maximumUndelivered;
  }

  /** False when the application does not take it now; it is tried again with the next frame. */
  async deliver(session: LiveSession): Promise<boolean> {
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
}

export function sealTelemetry(
  sealing: SealingKey,
  telemetry: AcceptedTelemetry,
): UndeliveredTelemetry {
  return { ...telemetry, payload: sealing.seal(telemetry.payload, contextOf(telemetry)) };
}

function openTelemetry(sealing: SealingKey, stored: UndeliveredTelemetry): AcceptedTelemetry {
  const payload = sealing.open(stored.payload, contextOf(stored));
  if (payload === undefined) throw new InvariantError('stored telemetry cannot be opened');
  return { ...stored, payload };
}

/** Sealed with its number: a payload cannot be given to another message. */
function contextOf({ sessionId, sequenceNumber }: UndeliveredTelemetry): string {
  return `telemetry/${sessionId}/${sequenceNumber}`;
}
