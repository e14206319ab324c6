/**
 * Devices that connect all at once, in a thread of their own, and in another one somebody who revokes others
 * over the API as long as they come.
 */
import { request as httpsRequest, Agent } from 'node:https';
import { once } from 'node:events';
import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

export interface StormIdentity {
  readonly deviceId: string;
  readonly privateKeyPem: string;
  readonly chainPem: string;
}

export interface StormTask {
  readonly ports: { readonly mqtt: number; readonly api: number };
  readonly anchorPem: string;
  readonly devices: readonly StormIdentity[];
  readonly operator: StormIdentity;
  /** Device ids, one after the other. */
  readonly revoke: readonly string[];
}

export interface StormReport {
  /** From the first connection until MQTT has accepted the last device. */
  readonly allInMs: number;
  readonly turnedAway: number;
  readonly revocationsMs: readonly number[];
}

/** Of a device that was turned away. */
const againMs = 250;
const addresses = 50;
/** 127.0.0.2 and on: the first is that of everybody else. */
const firstAddress = 2;

async function storm(task: StormTask): Promise<StormReport> {
  const operator = new Worker(new URL(import.meta.url), { workerData: { ...task, devices: [] } });
  // Keys and certificates are read before anything is measured.
  const devices = task.devices.map(({ deviceId, privateKeyPem, chainPem }) => ({
    deviceId,
    context: createSecureContext({ key: privateKeyPem, cert: chainPem, ca: task.anchorPem }),
  }));
  await once(operator, 'message');
  operator.postMessage('begin', []);
  const startedMs = performance.now();
  let turnedAway = 0;
  const sockets = await Promise.all(
    devices.map(async (device, index) => {
      for (;;) {
        const socket = await arrive(task.ports.mqtt, device, index);
        if (socket !== undefined) return socket;
        turnedAway += 1;
        await pause(againMs);
      }
    }),
  );
  const allInMs = performance.now() - startedMs;
  operator.postMessage('end', []);
  const [revocationsMs] = (await once(operator, 'message')) as [readonly number[]];
  for (const socket of sockets) socket.destroy();
  return { allInMs, turnedAway, revocationsMs };
}

/** `undefined` when the server hung up. */
function arrive(
  port: number,
  device: { readonly deviceId: string; readonly context: SecureContext },
  index: number,
): Promise<TLSSocket | undefined> {
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      servername: 'localhost',
      port,
      localAddress: `127.0.0.${firstAddress + (index % addresses)}`,
      secureContext: device.context,
    };
    const socket = connect(options, () => socket.write(connectPacket(device.deviceId)));
    socket.on('error', () => undefined);
    socket.once('close', () => resolve(undefined));
    // MQTT 3.1.1 §3.2: CONNACK, connection accepted.
    socket.once('data', (data: Buffer) =>
      resolve(data[0] === 0x20 && data[3] === 0 ? socket : undefined),
    );
  });
}

/** MQTT 3.1.1 §3.1: a clean session that is kept alive for a minute. */
function connectPacket(clientId: string): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value);
    return Buffer.concat([Buffer.from([0, bytes.length]), bytes]);
  };
  const body = Buffer.concat([text('MQTT'), Buffer.from([4, 2, 0, 60]), text(clientId)]);
  return Buffer.concat([Buffer.from([0x10, body.length]), body]);
}

async function operate(task: StormTask): Promise<void> {
  const { operator, anchorPem, ports } = task;
  const agent = new Agent({
    keepAlive: true,
    key: operator.privateKeyPem,
    cert: operator.chainPem,
    ca: anchorPem,
  });
  const waiting = [...task.revoke];
  // The first one opens the connection.
  await post(agent, ports.api, waiting.pop() ?? '');
  const heard = new Set<unknown>();
  parentPort?.on('message', (word) => heard.add(word));
  parentPort?.postMessage('ready', []);
  const times: number[] = [];
  while (!heard.has('begin')) await pause(1);
  for (;;) {
    const deviceId = waiting.pop();
    if (heard.has('end') || deviceId === undefined) break;
    const startedMs = performance.now();
    await post(agent, ports.api, deviceId);
    times.push(performance.now() - startedMs);
    await pause(10);
  }
  agent.destroy();
  parentPort?.postMessage(times, []);
}

function post(agent: Agent, port: number, deviceId: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const path = `/v1/devices/${deviceId}/revoke`;
    const options = { host: '127.0.0.1', servername: 'localhost', port, path, method: 'POST' };
    const request = httpsRequest({ ...options, agent }, (response) => {
      response.resume();
      response.once('end', () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`revocation: ${response.statusCode}`));
      });
    });
    request.once('error', reject);
    request.end();
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

if (!isMainThread) {
  const task = workerData as StormTask;
  if (task.devices.length === 0) await operate(task);
  else parentPort?.postMessage(await storm(task), []);
}
