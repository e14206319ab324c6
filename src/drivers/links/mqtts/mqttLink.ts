/**
 * A device's session with the broker (MQTT 3.1.1 over TLS 1.3). Who it is follows from its certificate;
 * the client identifier only repeats it. Connections are made anew with the certificates of the moment.
 */
import { isIP } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { MqttClient } from 'mqtt';
import { DeviceFault } from '../../../device/ports/faults.ts';
import type {
  DownwardChannel,
  Uplink,
  UplinkConnector,
  UplinkEvents,
  UplinkTarget,
  UpwardChannel,
} from '../../../device/ports/server.ts';
import { type TlsMaterial, tlsOptions } from '../tls/client.ts';

export interface MqttOptions {
  readonly material: TlsMaterial;
  /** First pause after a lost or refused connection; it doubles up to the longest one. */
  readonly firstPauseMs?: number;
  readonly longestPauseMs?: number;
}

const connectTimeoutMs = 30_000;
const keepaliveS = 60;
/** Messages of the broker that wait for the device; beyond it the newest are dropped. */
const maximumWaiting = 256;

export function mqttConnector(options: MqttOptions): UplinkConnector {
  return {
    connect: (target, events) => {
      const uplink = new MqttUplink(options, target, events);
      uplink.start();
      return uplink;
    },
  };
}

export function upwardTopic(deviceId: string, channel: UpwardChannel): string {
  return channel === 'up' ? `gateways/${deviceId}/up` : `devices/${deviceId}/telemetry`;
}

export function downwardTopic(deviceId: string, channel: DownwardChannel): string {
  return channel === 'down' ? `gateways/${deviceId}/down` : `devices/${deviceId}/commands`;
}

class MqttUplink implements Uplink {
  readonly #options: MqttOptions;
  readonly #target: UplinkTarget;
  readonly #events: UplinkEvents;
  readonly #channels: ReadonlyMap<string, DownwardChannel>;
  /** The one that the broker has accepted and that has its subscriptions. */
  #online: MqttClient | undefined;
  #current: MqttClient | undefined;
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  #closed = false;
  #delivered: Promise<void> = Promise.resolve();
  #waiting = 0;

  constructor(options: MqttOptions, target: UplinkTarget, events: UplinkEvents) {
    this.#options = options;
    this.#target = target;
    this.#events = events;
    this.#channels = new Map(
      target.channels.map((channel) => [downwardTopic(target.deviceId, channel), channel]),
    );
  }

  start(): void {
    void tlsOptions(this.#options.material, 'ldevid').then(
      (tls) => this.#connect(tls),
      () => this.#planRetry(),
    );
  }

  async publish(channel: UpwardChannel, payload: Uint8Array): Promise<void> {
    if (this.#online === undefined) throw offline();
    try {
      const topic = upwardTopic(this.#target.deviceId, channel);
      await this.#online.publishAsync(topic, Buffer.from(payload), { qos: 1 });
    } catch (cause) {
      throw offline(cause);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#online = undefined;
    await this.#current?.endAsync(true);
  }

  #connect(tls: ConnectionOptions): void {
    if (this.#closed) return;
    const { host, port, deviceId } = this.#target;
    const serverName = isIP(host) === 0 ? { servername: host } : {};
    const client = new MqttClient(() => connectTls({ ...tls, ...serverName, host, port }), {
      protocolVersion: 4,
      clientId: deviceId,
      clean: true,
      keepalive: keepaliveS,
      connectTimeout: connectTimeoutMs,
      // Every attempt is a client of its own, since it has to ask for the certificates anew.
      reconnectPeriod: 0,
    });
    this.#current = client;
    // Whatever went wrong, the connection is closed after it.
    client.on('error', () => undefined);
    client.on('close', () => this.#lost(client));
    client.on('connect', () => void this.#begin(client));
    client.on('message', (topic, payload) => this.#take(topic, payload));
  }

  async #begin(client: MqttClient): Promise<void> {
    try {
      const topics = [...this.#channels.keys()];
      if (topics.length > 0) await client.subscribeAsync(topics, { qos: 1 });
    } catch {
      client.end(true);
      return;
    }
    if (this.#closed || this.#current !== client) return;
    this.#online = client;
    this.#failures = 0;
    this.#events.onState('online');
  }

  #lost(client: MqttClient): void {
    if (this.#current !== client) return;
    this.#current = undefined;
    client.end(true);
    const wasOnline = this.#online === client;
    this.#online = undefined;
    if (wasOnline) this.#events.onState('offline');
    this.#planRetry();
  }

  #planRetry(): void {
    if (this.#closed) return;
    const { firstPauseMs = 500, longestPauseMs = 60_000 } = this.#options;
    const pauseMs = Math.min(firstPauseMs * 2 ** this.#failures, longestPauseMs);
    this.#failures = Math.min(this.#failures + 1, 30);
    // Between three quarters and all of it: after an outage a fleet does not come back in one moment.
    this.#retry = setTimeout(() => this.start(), pauseMs * (0.75 + Math.random() / 4));
  }

  #take(topic: string, payload: Uint8Array): void {
    const channel = this.#channels.get(topic);
    if (channel === undefined || this.#waiting >= maximumWaiting) return;
    this.#waiting += 1;
    const message = new Uint8Array(payload);
    this.#delivered = this.#delivered
      .then(() => this.#events.onMessage(channel, message))
      .finally(() => (this.#waiting -= 1));
  }
}

function offline(cause?: unknown): DeviceFault {
  return new DeviceFault('no connection to the broker', { retryable: true, cause });
}
