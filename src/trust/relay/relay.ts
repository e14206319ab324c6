/**
 * Frames of gateways on their way to sessions and back. A gateway is known by its certificate and speaks
 * for its own radio only: the same link address behind another gateway is another endpoint.
 */
import { MalformedError } from '../../wire/bytes/malformed.ts';
import { readEnvelope, writeEnvelope } from '../../wire/relay/envelope.ts';
import { EnvironmentError } from '../ports/faults.ts';
import type { LiveConnections } from '../ports/liveConnections.ts';
import type { Endpoint } from '../ports/sessionStore.ts';
import type {
  AcceptedTelemetry,
  FrameRefusal,
  SessionLimits,
  SessionObservation,
  SessionPorts,
} from '../sessions/ports.ts';
import { endpointKey } from '../sessions/sessionCache.ts';
import { type FrameOutcome, SessionService } from '../sessions/sessionService.ts';
import { Lanes } from './lanes.ts';

/** With what else is known of the message; see `AcceptedTelemetry`. */
export type TelemetryMeta = Omit<AcceptedTelemetry, 'deviceId' | 'payload'>;

export interface RelayPorts extends Omit<SessionPorts, 'deliver' | 'observe'> {
  /** Hands an envelope to a gateway. May reject with an `EnvironmentError`: the frame is lost then. */
  readonly sendDown: (gatewayId: string, envelope: Uint8Array) => Promise<void>;
  /**
   * Resolves when the telemetry is safe. Rejects with an `EnvironmentError` to have it again later; the
   * device is not answered before.
   */
  readonly onTelemetry: (
    deviceId: string,
    payload: Uint8Array,
    meta: TelemetryMeta,
  ) => Promise<void>;
  readonly observe?: (observation: RelayObservation) => void;
}

export type RelayObservation =
  | SessionObservation
  /** Not even an envelope. */
  | { readonly kind: 'refused-envelope'; readonly gatewayId: string }
  | { readonly kind: 'frame-up' | 'frame-down' | 'undeliverable'; readonly gatewayId: string };

export interface RelayCounters {
  framesUp: number;
  framesDown: number;
  undeliverable: number;
  duplicates: number;
  handshakes: number;
  evictedHandshakes: number;
  sessions: number;
  resumptions: number;
  keyUpdates: number;
  cloneEvidence: number;
  wornOutSessions: number;
  telemetry: number;
  readonly refused: Partial<Record<FrameRefusal | 'envelope', number>>;
}

export interface RelayLimits {
  /** Frames of one endpoint, and of all, that wait for their turn. */
  readonly waitingPerEndpoint: number;
  readonly waitingInAll: number;
}

const relayLimits: RelayLimits = { waitingPerEndpoint: 8, waitingInAll: 4096 };

export interface Relay extends LiveConnections {
  /**
   * Takes the payload of a gateway's `up` topic; `gatewayId` comes from its certificate. Resolves when the
   * frame is dealt with, whatever became of it.
   */
  onGatewayFrame(gatewayId: string, bytes: Uint8Array): Promise<void>;
  /** For ingresses that are no gateway: see `SessionService.take`. */
  take(endpoint: Endpoint, frame: Uint8Array): Promise<FrameOutcome>;
  /** See `SessionService.beginReverse`. */
  beginReverse(endpoint: Endpoint): Promise<FrameOutcome>;
  /** Ends pending and live sessions of a device at once. Returns how many. */
  kill(deviceId: string): Promise<number>;
  /** To be called once after a start, when telemetry can be taken. */
  resume(): Promise<void>;
  /** To be called now and then: gives up handshakes that took too long. */
  tidy(): Promise<void>;
  readonly counters: Readonly<RelayCounters>;
}

export function createRelay(
  ports: RelayPorts,
  limits: Partial<RelayLimits & SessionLimits> = {},
): Relay {
  const counters = emptyCounters();
  const observe = (observation: RelayObservation): void => {
    count(counters, observation);
    ports.observe?.(observation);
  };
  const service = new SessionService(
    {
      ...ports,
      observe,
      deliver: async ({ deviceId, payload, ...meta }) => {
        await ports.onTelemetry(deviceId, payload, meta);
        counters.telemetry += 1;
      },
    },
    limits,
  );
  const { waitingPerEndpoint, waitingInAll } = { ...relayLimits, ...limits };
  const lanes = new Lanes(waitingPerEndpoint, waitingInAll);

  const answer = async (
    gatewayId: string,
    linkAddress: Uint8Array,
    frame: Uint8Array,
  ): Promise<void> => {
    const reply = await service.handle({ ingress: gatewayId, linkAddress }, frame);
    if (reply === undefined) return;
    try {
      await ports.sendDown(gatewayId, writeEnvelope({ linkAddress, frame: reply }));
      observe({ kind: 'frame-down', gatewayId });
    } catch (error) {
      if (!(error instanceof EnvironmentError)) throw error;
      observe({ kind: 'undeliverable', gatewayId });
    }
  };

  return {
    name: service.name,
    counters,
    onGatewayFrame: async (gatewayId, bytes) => {
      observe({ kind: 'frame-up', gatewayId });
      const envelope = readOrUndefined(bytes);
      if (envelope === undefined) {
        observe({ kind: 'refused-envelope', gatewayId });
        return;
      }
      const { linkAddress, frame } = envelope;
      const endpoint = { ingress: gatewayId, linkAddress };
      const done = lanes.run(endpointKey(endpoint), () => answer(gatewayId, linkAddress, frame));
      if (done === undefined) observe({ kind: 'refused', code: 'busy', endpoint });
      await done;
    },
    take: (endpoint, frame) => service.take(endpoint, frame),
    beginReverse: (endpoint) => service.beginReverse(endpoint),
    kill: (deviceId) => service.drop(new Set([deviceId])),
    drop: (holders) => service.drop(holders),
    dropCertificate: () => service.dropCertificate(),
    resume: async () => {
      await service.redeliver();
    },
    tidy: async () => {
      await service.removeExpired();
    },
  };
}

function readOrUndefined(bytes: Uint8Array): ReturnType<typeof readEnvelope> | undefined {
  try {
    return readEnvelope(bytes);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

function emptyCounters(): RelayCounters {
  return {
    framesUp: 0,
    framesDown: 0,
    undeliverable: 0,
    duplicates: 0,
    handshakes: 0,
    evictedHandshakes: 0,
    sessions: 0,
    resumptions: 0,
    keyUpdates: 0,
    cloneEvidence: 0,
    wornOutSessions: 0,
    telemetry: 0,
    refused: {},
  };
}

function count(counters: RelayCounters, observation: RelayObservation): void {
  switch (observation.kind) {
    case 'frame-up':
      counters.framesUp += 1;
      return;
    case 'frame-down':
      counters.framesDown += 1;
      return;
    case 'undeliverable':
      counters.undeliverable += 1;
      return;
    case 'duplicate':
      counters.duplicates += 1;
      return;
    case 'handshake-began':
      counters.handshakes += 1;
      counters.evictedHandshakes += observation.evicted;
      return;
    case 'session-began':
      counters.sessions += 1;
      if (observation.resumed) counters.resumptions += 1;
      return;
    case 'session-confirmed':
    case 'challenged':
    // Counted with the frame that was refused for it.
    case 'not-attested':
      return;
    case 'keys-updated':
      counters.keyUpdates += 1;
      return;
    case 'clone-evidence':
      counters.cloneEvidence += 1;
      return;
    case 'session-ended':
      if (observation.reason === 'worn-out') counters.wornOutSessions += 1;
      return;
    case 'refused-envelope':
      counters.refused.envelope = (counters.refused.envelope ?? 0) + 1;
      return;
    case 'refused':
      counters.refused[observation.code] = (counters.refused[observation.code] ?? 0) + 1;
  }
}
