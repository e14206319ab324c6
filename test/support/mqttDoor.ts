/** A broker behind a TLS door on port 0, with a registry that knows the certificates a test enters. */
import type { TestContext } from 'node:test';
import { connect as dialMqtt, type IClientOptions, type MqttClient } from 'mqtt';
import type { DeviceRole } from '../../src/trust/ports/registryStore.ts';
import { MqttBroker, type BrokerLimits } from '../../src/servers/mqtt/broker.ts';
import { type DoorLimits, TlsDoor, type VerifyPeer } from '../../src/servers/tls/door.ts';
import { LiveIndex } from '../../src/servers/tls/liveIndex.ts';
import { MemoryRegistryStore } from './memoryRegistryStore.ts';
import { pki, verifierOf } from './peers.ts';
import type { TestIdentity } from './pki.ts';

export interface Message {
  readonly from: string;
  readonly payload: string;
}

export interface MqttDoor {
  readonly broker: MqttBroker;
  readonly live: LiveIndex;
  readonly door: TlsDoor;
  readonly port: number;
  /** Every refusal of door and broker, in order. */
  readonly refusals: string[];
  readonly telemetry: Message[];
  readonly frames: Message[];
  readonly store: MemoryRegistryStore;
  roles: Map<string, DeviceRole>;
  /** Before the CONNACK, so that no message can be missed. */
  dial(identity: TestIdentity, options?: IClientOptions): MqttClient;
  /** Rejects when the server refuses. */
  connect(identity: TestIdentity, options?: IClientOptions): Promise<MqttClient>;
  /** Set to make the server fail to take messages. */
  failing: { telemetry: boolean };
}

export async function mqttDoor(
  context: TestContext,
  options: {
    limits?: Partial<BrokerLimits>;
    doorLimits?: Partial<DoorLimits>;
    verify?: VerifyPeer;
  } = {},
): Promise<MqttDoor> {
  const live = new LiveIndex();
  const refusals: string[] = [];
  const telemetry: Message[] = [];
  const frames: Message[] = [];
  const failing = { telemetry: false };
  const roles = new Map<string, DeviceRole>();
  const store = new MemoryRegistryStore();
  const broker = new MqttBroker({
    onTelemetry: async (deviceId, payload) => {
      if (failing.telemetry) throw new Error('the disk is full');
      telemetry.push({ from: deviceId, payload: textOf(payload) });
    },
    onGatewayFrame: async (gatewayId, payload) => {
      frames.push({ from: gatewayId, payload: textOf(payload) });
    },
    roleOf: async (deviceId) => roles.get(deviceId) ?? 'sensor',
    onRefusal: (code) => refusals.push(code),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  await broker.open();
  const identity = pki.serverIdentity();
  const door = new TlsDoor({
    name: 'mqtt',
    identity,
    anchorsPem: [pki.operational.pem, pki.server.pem],
    verify:
      options.verify ??
      verifierOf(store, [
        { authority: pki.operational, kinds: ['ldevid'] },
        { authority: pki.server, kinds: ['application'] },
      ]),
    live,
    accept: (connection) => void broker.accept(connection),
    onRefusal: (code) => refusals.push(code),
    ...(options.doorLimits === undefined ? {} : { limits: options.doorLimits }),
  });
  const port = await door.listen(0, '127.0.0.1');
  context.after(async () => {
    await broker.close();
    await door.close();
  });
  const dial = (who: TestIdentity, more: IClientOptions = {}): MqttClient => {
    const client = dialMqtt(`mqtts://127.0.0.1:${port}`, {
      key: who.privateKeyPem,
      cert: who.chainPem,
      ca: pki.root.pem,
      reconnectPeriod: 0,
      protocolVersion: 4,
      ...more,
    });
    context.after(() => client.end(true));
    client.on('error', () => {});
    return client;
  };
  const connect = async (who: TestIdentity, more: IClientOptions = {}): Promise<MqttClient> => {
    const client = dial(who, more);
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve());
      client.once('error', reject);
      client.once('close', () => reject(new Error('closed')));
    });
    return client;
  };
  return {
    broker,
    live,
    door,
    port,
    refusals,
    telemetry,
    frames,
    roles,
    failing,
    dial,
    connect,
    store,
  };
}

/** Resolves when the server has closed the connection. */
export function closed(client: MqttClient): Promise<void> {
  if (!client.connected) return Promise.resolve();
  return new Promise((resolve) => client.once('close', () => resolve()));
}

/** The next message, as `topic payload`. */
export function nextMessage(client: MqttClient): Promise<string> {
  return new Promise((resolve) =>
    client.once('message', (topic, payload) => resolve(`${topic} ${payload.toString()}`)),
  );
}

function textOf(payload: Uint8Array): string {
  return new TextDecoder().decode(payload);
}
