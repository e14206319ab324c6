/** What a sensor without IP needs, how it is set, and what it tells. */
import type { Crypto } from '../../wire/crypto/crypto.ts';
import type { DeviceElement } from '../ports/element.ts';
import type { Link } from '../ports/link.ts';
import type { DeviceStore } from '../ports/deviceStore.ts';
import type { RetryPolicy } from '../ports/retry.ts';
import type { Timer } from '../ports/timer.ts';
import type { ResumptionMethod } from './resumption.ts';
import type { ServerTrust } from './serverTrust.ts';
import { renewalDefaults, type RenewalPolicy, type RenewalStep } from './renewal.ts';

export interface SensorPorts {
  readonly element: DeviceElement;
  readonly link: Link;
  /** A sealed one: see `device/storage`. */
  readonly store: DeviceStore;
  readonly timer: Timer;
  readonly crypto: Crypto;
  /** `pinnedTrust`, or `nativeTrust`. */
  readonly trust: ServerTrust;
  /** `pskResumption`. Absent: what is due beyond a key update is a handshake with the long-term keys. */
  readonly resumption?: ResumptionMethod;
}

export interface SensorOptions extends RenewalPolicy {
  /** Of message_1, and of a confirmable message with, before its first answer, message_3. */
  readonly retransmission: RetryPolicy;
  /** Transmissions of the same bytes before the sensor gives up on them. */
  readonly transmissions: number;
  /** The same for resumption: it may be that the server has lost the key, and the other way is dearer. */
  readonly resumptionTransmissions: number;
  /** Pauses between handshakes that came to nothing. */
  readonly rest: RetryPolicy;
  /** Sequence numbers that one write to the store reserves; as many are skipped at a loss of power. */
  readonly lookAhead: number;
  /** Every so many messages one is confirmable, so that a lost session is noticed. 1: all of them. */
  readonly confirmEvery: number;
  /** Payloads that wait; beyond it the oldest is dropped, since the newest says most. */
  readonly maximumQueued: number;
}

export const sensorDefaults: SensorOptions = {
  retransmission: { firstMs: 2_000, longestMs: 60_000 },
  transmissions: 6,
  resumptionTransmissions: 3,
  rest: { firstMs: 30_000, longestMs: 3_600_000 },
  lookAhead: 32,
  confirmEvery: 8,
  maximumQueued: 16,
  ...renewalDefaults,
};

export type SensorEvent =
  | { readonly kind: 'sent'; readonly what: 'message-1' | 'message-3'; readonly attempt: number }
  /** The server has shown that it has the keys. */
  | {
      readonly kind: 'session';
      readonly handshakeBytes: readonly number[];
      /** With the key of the session before, and not with the long-term keys. */
      readonly resumed: boolean;
    }
  /** The server has shown that it has gone over to the next keys too; they cost no byte. */
  | { readonly kind: 'keys-updated'; readonly epoch: number }
  | { readonly kind: 'renewal-failed'; readonly by: RenewalStep; readonly reason: string }
  | { readonly kind: 'telemetry'; readonly payload: Uint8Array; readonly confirmed: boolean }
  /** `queue-full`, or the server's authentic no. */
  | { readonly kind: 'telemetry-dropped'; readonly reason: 'queue-full' | 'refused' }
  | { readonly kind: 'ignored'; readonly reason: string }
  | { readonly kind: 'resting'; readonly pauseMs: number; readonly reason: string }
  /** A port failed. `final`: it will not get better without a person. */
  | { readonly kind: 'fault'; readonly error: unknown; readonly final: boolean };
