/** Telemetry that was accepted and may not have reached the application, in its stored form. */
import { InvariantError } from '../ports/faults.ts';
import type { SealingKey } from '../ports/keys.ts';
import type { UndeliveredTelemetry } from '../ports/sessionStore.ts';
import type { AcceptedTelemetry } from './ports.ts';

export function sealTelemetry(
  sealing: SealingKey,
  telemetry: AcceptedTelemetry,
): UndeliveredTelemetry {
  return { ...telemetry, payload: sealing.seal(telemetry.payload, contextOf(telemetry)) };
}

export function openTelemetry(
  sealing: SealingKey,
  stored: UndeliveredTelemetry,
): AcceptedTelemetry {
  const payload = sealing.open(stored.payload, contextOf(stored));
  if (payload === undefined) throw new InvariantError('stored telemetry cannot be opened');
  return { ...stored, payload };
}

/** Sealed with its number: a payload cannot be given to another message. */
function contextOf({ sessionId, sequenceNumber }: UndeliveredTelemetry): string {
  return `telemetry/${sessionId}/${sequenceNumber}`;
}
