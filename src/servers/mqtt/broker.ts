/**
 * The MQTT door's broker: aedes on connections whose peer `trust` has verified. Identity and rights come
 * from the certificate; the client id only tells the clients of one application apart. "Refused" is a
 * CONNACK with an error, a SUBACK with failure or a closed connection, never a CONNACK 0.
 */
import { randomUUID } from 'node:crypto';
import {
  Aedes,
  type AuthenticateError,
  type Client,
  type ConnectPacket,
  type PublishPacket,
} from 'aedes';
import type { LiveConnections } from '../../trust/ports/liveConnections.ts';
import type { DeviceRole } from '../../trust/ports/registryStore.ts';
import type { Connection } from '../tls/connection.ts';
import { MqttStream } from './mqttStream.ts';
import {
  type ConnectRefusal,
  refusalOfConnect,
  refusalOfFilter,
  refusalOfMessage,
  returnCodes,
} from './rules.ts';
import { SessionStore } from './sessionStore.ts';
import {
  mayReceive,
  maySubscribe,
  type MqttParty,
  publishable,
  type TopicKind,
  topicName,
} from './topics.ts';

export interface BrokerLimits {
  /** Of one packet behind its fixed header. */
  readonly packetBytes: number;
  readonly payloadBytes: number;
  /** Waiting for a client to read before it is cut off. */
  readonly unreadBytes: number;
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  readonly subscriptions: number;
  /** Remembered sessions of one application. */
  readonly sessions: number;
  readonly connectTimeoutMs: number;
}

export const brokerLimits: BrokerLimits = {
  packetBytes: 64 * 1024,
  payloadBytes: 32 * 1024,
  unreadBytes: 1024 * 1024,
  queuedMessages: 100,
  queuedBytes: 256 * 1024,
  subscriptions: 1000,
  sessions: 16,
  connectTimeoutMs: 10_000,
};

export interface BrokerOptions {
  /** Resolves when the message is durable: the PUBACK follows. Rejects to close the connection instead. */
  readonly onTelemetry: (deviceId: string, payload: Uint8Array) => Promise<void>;
  /** A frame of the gateway's radio, as it came. Must deal with bad frames by itself. */
  readonly onGatewayFrame: (gatewayId: string, payload: Uint8Array) => Promise<void>;
  readonly roleOf: (deviceId: string) => Promise<DeviceRole | undefined>;
  readonly onRefusal: (code: string) => void;
  readonly limits?: Partial<BrokerLimits>;
}

/** A connection that reached the broker. */
interface Admitted {
  readonly stream: MqttStream;
  readonly party: MqttParty;
  readonly filters: Set<string>;
  /** Why its CONNECT will be answered with an error. */
  refusal: ConnectRefusal | undefined;
}

export class MqttBroker implements LiveConnections {
  readonly name = 'mqtt';
  readonly #options: BrokerOptions;
  readonly #limits: BrokerLimits;
  readonly #aedes: Aedes;
  readonly #sessions: SessionStore;
  readonly #admitted = new WeakMap<object, Admitted>();
  readonly #online = new Map<string, Admitted>();
  #closing = false;

  /** Call `open` before the first connection. */
  constructor(options: BrokerOptions) {
    this.#options = options;
    this.#limits = { ...brokerLimits, ...options.limits };
    this.#sessions = new SessionStore(this.#limits, (clientId, filter) => {
      const party = this.#online.get(clientId)?.party;
      return party !== undefined && maySubscribe(party, filter);
    });
    this.#aedes = new Aedes({
      persistence: this.#sessions,
      connectTimeout: this.#limits.connectTimeoutMs,
      // Client ids are ours by then; the limit of MQTT 3.1 is on what the client sent.
      maxClientsIdLength: 512,
      maxTopicLevels: 4,
      preConnect: (client, packet, done) => done(null, this.#preConnect(client, packet)),
      authenticate: (client, _username, _password, done) => {
        const error = this.#authenticate(client);
        done(error ?? null, error === undefined);
      },
      authorizePublish: (client, packet, done) => void this.#authorize(client, packet, done),
      authorizeSubscribe: (client, subscription, done) => {
        done(null, this.#maySubscribe(client, subscription.topic) ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        const admitted = this.#admitted.get(client);
        if (admitted === undefined || admitted.stream.connection.ended) return null;
        return mayReceive(admitted.party, packet.topic) ? packet : null;
      },
    });
    this.#aedes.on('client', (client) => this.#registered(client));
    // Nothing of ours fails there; without a listener it would end the process.
    this.#aedes.addListener('error', () => options.onRefusal('broker-failed'));
    this.#aedes.on('connectionError', () => options.onRefusal('connect-malformed'));
    this.#aedes.on('clientError', (_client, error) => {
      if (!(error instanceof RefusedByBroker)) options.onRefusal('connection-broken');
    });
  }

  open(): Promise<void> {
    return this.#aedes.listen();
  }

  close(): Promise<void> {
    this.#closing = true;
    return new Promise((resolve) => this.#aedes.close(resolve));
  }

  /** Takes over an admitted connection of an application or a device. */
  async accept(connection: Connection): Promise<void> {
    const party = await this.#partyOf(connection);
    if (party === undefined || connection.socket.destroyed) {
      connection.end();
      return;
    }
    const stream = new MqttStream(connection, this.#limits, this.#options.onRefusal);
    const client = this.#aedes.handle(stream);
    this.#admitted.set(client, { stream, party, filters: new Set(), refusal: undefined });
  }

  /** To applications, for a device that does not speak MQTT itself. */
  publishTelemetry(deviceId: string, payload: Uint8Array): Promise<void> {
    return this.#send('telemetry', deviceId, payload);
  }

  /** To a device; waits for it when it is remembered and away. */
  publishCommand(deviceId: string, payload: Uint8Array): Promise<void> {
    return this.#send('commands', deviceId, payload);
  }

  /** A frame for the gateway's radio. False when the gateway is away: nothing is kept for later. */
  async sendDown(gatewayId: string, payload: Uint8Array): Promise<boolean> {
    if (!this.#online.has(gatewayId)) return false;
    await this.#send('down', gatewayId, payload);
    return true;
  }

  /** Wills and queues; the sockets below fall by the index of TLS connections. */
  drop(holders: ReadonlySet<string>): Promise<number> {
    let dropped = 0;
    for (const { stream } of this.#online.values()) {
      if (!holders.has(stream.connection.peer.holder)) continue;
      stream.connection.end();
      dropped += 1;
    }
    for (const holder of holders) this.#sessions.forget(holder);
    return Promise.resolve(dropped);
  }

  /** What a certificate opened falls with its TLS connections; what waits for its holder may stay. */
  dropCertificate(): Promise<number> {
    return Promise.resolve(0);
  }

  async #partyOf({ peer }: Connection): Promise<MqttParty | undefined> {
    if (peer.kind === 'application') return { kind: 'application', name: peer.holder };
    if (peer.kind !== 'ldevid') return undefined;
    const role = await this.#options.roleOf(peer.holder).catch(() => undefined);
    if (role === undefined) return undefined;
    return { kind: 'device', deviceId: peer.holder, isGateway: role === 'gateway' };
  }

  /** Runs before anything of the packet is believed: the client gets the broker's name for it. */
  #preConnect(client: Client, packet: ConnectPacket): boolean {
    const admitted = this.#admitted.get(client);
    if (admitted === undefined || this.#closing) return false;
    admitted.refusal = this.#refusalOf(admitted.party, packet);
    packet.clientId = clientIdOf(admitted.party, packet.clientId);
    return true;
  }

  #refusalOf(party: MqttParty, packet: ConnectPacket): ConnectRefusal | undefined {
    const refusal = refusalOfConnect(party, packet, this.#limits.payloadBytes);
    if (refusal !== undefined || party.kind === 'device' || packet.clean === true) return refusal;
    const known = this.#sessions.has(clientIdOf(party, packet.clientId));
    const full = this.#sessions.countOf(party.name) >= this.#limits.sessions;
    return known || !full ? undefined : 'too-many-sessions';
  }

  #authenticate(client: Client): AuthenticateError | undefined {
    const admitted = this.#admitted.get(client);
    if (admitted === undefined) return connackError(notAuthorized);
    if (admitted.refusal === undefined) return undefined;
    this.#options.onRefusal(admitted.refusal);
    return connackError(returnCodes[admitted.refusal]);
  }

  #registered(client: Client): void {
    const admitted = this.#admitted.get(client);
    if (admitted === undefined) return;
    // [MQTT-3.1.4-2]: aedes ends the former client of this id, but loses sight of one that is closing
    // at this moment. Both are of the same holder: ids are made of the holder's name.
    const former = this.#online.get(client.id);
    if (former !== undefined && former !== admitted) former.stream.destroy();
    this.#online.set(client.id, admitted);
    admitted.stream.once('close', () => {
      if (this.#online.get(client.id) === admitted) this.#online.delete(client.id);
    });
  }

  /** For publications and for wills when they fall due. An error makes aedes close the connection. */
  async #authorize(
    client: Client | null,
    packet: PublishPacket,
    done: (error?: Error | null) => void,
  ): Promise<void> {
    const admitted = client === null ? undefined : this.#admitted.get(client);
    // What a revoked peer left behind, its will above all, is not acted upon.
    if (admitted === undefined || admitted.stream.connection.ended || this.#closing) {
      done(new RefusedByBroker('connection-ended'));
      return;
    }
    const refusal = refusalOfMessage(admitted.party, packet, this.#limits.payloadBytes);
    if (refusal !== undefined) {
      this.#options.onRefusal(refusal);
      done(new RefusedByBroker(refusal));
      return;
    }
    const error = await this.#hand(admitted.party, packet);
    done(error);
  }

  /** To the rest of the server. The error of what could not take the message now. */
  async #hand(party: MqttParty, { topic: name, payload }: PublishPacket): Promise<Error | null> {
    const topic = publishable(party, name);
    try {
      if (topic?.kind === 'telemetry') {
        await this.#options.onTelemetry(topic.deviceId, bytesOf(payload));
      } else if (topic?.kind === 'up') {
        await this.#options.onGatewayFrame(topic.deviceId, bytesOf(payload));
      }
      return null;
    } catch (cause) {
      this.#options.onRefusal('not-taken');
      return new RefusedByBroker('not-taken', { cause });
    }
  }

  #maySubscribe(client: Client, filter: string): boolean {
    const admitted = this.#admitted.get(client);
    if (admitted === undefined) return false;
    const { party, filters } = admitted;
    const refusal = refusalOfFilter(party, filter, filters, this.#limits.subscriptions);
    if (refusal !== undefined) this.#options.onRefusal(refusal);
    else filters.add(filter);
    return refusal === undefined;
  }

  #send(kind: TopicKind, deviceId: string, payload: Uint8Array): Promise<void> {
    const packet: PublishPacket = {
      cmd: 'publish',
      topic: topicName(kind, deviceId),
      payload: Buffer.from(payload),
      // Frames of a radio have their own retransmission; a late one is worse than a lost one.
      qos: kind === 'down' ? 0 : 1,
      dup: false,
      retain: false,
    };
    return new Promise((resolve, reject) => {
      this.#aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  }
}

class RefusedByBroker extends Error {}

const notAuthorized = 5;

function connackError(returnCode: number): AuthenticateError {
  // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- aedes types this enum, but exports no value of it
  return Object.assign(new RefusedByBroker('connect'), { returnCode });
}

/** A device has one client, itself. An application names its clients, each below its own name. */
function clientIdOf(party: MqttParty, asked: string): string {
  if (party.kind === 'device') return party.deviceId;
  return `${party.name}/${asked === '' ? randomUUID() : asked}`;
}

function bytesOf(payload: Uint8Array | string): Uint8Array {
  const buffer = typeof payload === 'string' ? Buffer.from(payload) : payload;
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}
