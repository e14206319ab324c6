/** Broker, relay and intake: what comes in at one goes out at another, so they are made together. */
import { nodeCrypto } from '../../drivers/keys/software/nodeCrypto.ts';
import type { Metrics } from '../../servers/http/metrics.ts';
import { MqttBroker } from '../../servers/mqtt/broker.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { createRelay, type Relay, type RelayObservation } from '../../trust/relay/relay.ts';
import { attestationPolicy, type ProductStates } from './attestation.ts';
import { certificatePorts, type SessionPartOptions, sessionResource } from './sessionParts.ts';
import type { ServerKeys } from './keys.ts';
import type { Stores } from './stores.ts';
import type { ServerChains } from '../../trust/sessions/ownCredentials.ts';
import { TelemetryIntake } from './telemetryIntake.ts';

export interface Traffic {
  readonly broker: MqttBroker;
  readonly relay: Relay;
  readonly intake: TelemetryIntake;
}

export interface TrafficOptions extends SessionPartOptions {
  readonly stores: Stores;
  readonly keys: ServerKeys;
  /** Prefixes below which a certificate may be read that a device points at. */
  readonly credentialsFrom: readonly string[];
  readonly chains: ServerChains | undefined;
  /** Absent: no evidence of a device's state is asked for. */
  readonly products: ProductStates | undefined;
}

export function makeTraffic(options: TrafficOptions): Traffic {
  const { stores, keys, registry, metrics, clock, products } = options;
  const broker: MqttBroker = new MqttBroker({
    onTelemetry: (deviceId, payload) => intake.take(deviceId, 'mqtt', payload),
    onGatewayFrame: (gatewayId, bytes) => relay.onGatewayFrame(gatewayId, bytes),
    roleOf: async (deviceId) => (await registry.device(deviceId))?.role,
    onRefusal: (code) => metrics.refused('mqtt', code),
  });
  const intake = new TelemetryIntake({
    store: stores.telemetry,
    clock,
    publish: (deviceId, payload) => broker.publishTelemetry(deviceId, payload),
    onTaken: (path) => metrics.telemetryTaken(path),
  });
  const relay = createRelay({
    crypto: nodeCrypto,
    clock,
    registry,
    store: stores.sessions,
    clones: stores.clones,
    sealing: keys.sealing,
    agreement: keys.agreement,
    identity: keys.identity,
    ...(options.chains === undefined ? {} : { chains: options.chains }),
    ...(products === undefined ? {} : { attestation: attestationPolicy(registry, products) }),
    serve: sessionResource(options),
    certificates: certificatePorts({ ...options, chains: stores.chains }),
    sendDown: async (gatewayId, envelope) => {
      if (await broker.sendDown(gatewayId, envelope)) return;
      throw new EnvironmentError(`gateway ${gatewayId} is away`, { retryable: true });
    },
    onTelemetry: (deviceId, payload) => intake.take(deviceId, 'oscore', payload),
    observe: (observation) => observe(metrics, observation),
  });
  metrics.watch(
    'birthmark_clone_evidence',
    'Authentic messages that the device itself cannot have sent',
    () => relay.counters.cloneEvidence,
  );
  return { broker, relay, intake };
}

function observe(metrics: Metrics, observation: RelayObservation): void {
  if (observation.kind === 'refused') metrics.refused('relay', observation.code);
  if (observation.kind === 'refused-envelope') metrics.refused('relay', 'envelope');
  if (observation.kind === 'undeliverable') metrics.refused('relay', 'gateway-away');
}
