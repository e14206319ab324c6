/** An application with a certificate of its own: it reads telemetry, and proves end to end what arrived. */
import { readFileSync } from 'node:fs';
import mqtt from 'mqtt';
import { type Demo, inFolder, type Server } from './demo.ts';
import { ask, words } from './processes.ts';

export interface Reading {
  readonly deviceId: string;
  readonly payload: string;
  readonly atMs: number;
}

export class Application {
  readonly #client: mqtt.MqttClient;
  readonly readings: Reading[] = [];
  readonly #waiting = new Set<() => void>();

  private constructor(client: mqtt.MqttClient) {
    this.#client = client;
    client.on('message', (topic, payload) => {
      const [, deviceId = ''] = topic.split('/');
      this.readings.push({ deviceId, payload: payload.toString(), atMs: performance.now() });
      for (const wake of this.#waiting) wake();
    });
  }

  static async connect(demo: Demo, server: Server): Promise<Application> {
    const folder = inFolder(demo, 'application');
    await ask(demo.environment, words`application enrol dashboard --out ${folder} --plain-key`);
    const tls = {
      key: readFileSync(`${folder}/key.pem`),
      cert: readFileSync(`${folder}/certificate.pem`),
      ca: readFileSync(`${folder}/server.pem`),
      // The authority of servers is pinned itself; the root above it is trusted for nothing here.
      allowPartialTrustChain: true,
    };
    const url = `mqtts://localhost:${server.mqtt}`;
    const client = await mqtt.connectAsync(url, { ...tls, protocolVersion: 4 });
    const application = new Application(client);
    await client.subscribeAsync('devices/+/telemetry', { qos: 1 });
    return application;
  }

  of(deviceId: string): readonly Reading[] {
    return this.readings.filter((reading) => reading.deviceId === deviceId);
  }

  /** Resolves with the device's reading number `count`, counted from 1. */
  async reading(deviceId: string, count = 1, timeoutMs = 30_000): Promise<Reading> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = this.of(deviceId)[count - 1];
      if (found !== undefined) return found;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) throw new Error(`no telemetry ${count} of ${deviceId} at the application`);
      await this.#change(leftMs);
    }
  }

  async close(): Promise<void> {
    await this.#client.endAsync(true);
  }

  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#waiting.add(wake);
    });
  }
}
