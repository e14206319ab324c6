import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer, type Server } from 'node:tls';
import { test } from 'node:test';
import { Aedes } from 'aedes';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import type { Uplink, UplinkEvents } from '../../../src/device/ports/server.ts';
import { mqttConnector } from '../../../src/drivers/links/mqtts/mqttLink.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { type TestAuthority, testPki } from '../../support/pki.ts';

const pki = testPki();
const deviceId = 'abcdefgh01234567';
const device = pki.ldevid(deviceId);

interface Broker {
  readonly aedes: Aedes;
  readonly port: number;
  readonly server: Server;
  readonly sockets: Set<Socket>;
  close(): Promise<void>;
}

async function startBroker(port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const identity = pki.serverIdentity();
  const sockets = new Set<Socket>();
  const server: Server = createServer(
    {
      cert: identity.chainPem,
      key: identity.privateKeyPem,
      requestCert: true,
      rejectUnauthorized: false,
    },
    (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      aedes.handle(socket);
    },
  );
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return {
    aedes,
    port: (server.address() as AddressInfo).port,
    server,
    sockets,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => aedes.close(resolve));
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Records events; `seen` resolves once an event of that text came. */
function recorder(): UplinkEvents & { seen(text: string): Promise<void>; log: string[] } {
  const log: string[] = [];
  const waiting: Array<() => void> = [];
  const add = (text: string): void => {
    log.push(text);
    for (const wake of waiting.splice(0)) wake();
  };
  return {
    log,
    onState: add,
    onMessage: async (channel, payload) => add(`${channel} ${toHex(payload)}`),
    seen: async (text) => {
      while (!log.includes(text)) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

function connect(port: number, events: UplinkEvents, anchor: TestAuthority = pki.server): Uplink {
  const material = {
    identity: async () => ({ certificates: device.chain, privateKeyPem: device.privateKeyPem }),
    anchors: async () => [anchor.certificate.der],
  };
  return mqttConnector({ material, firstPauseMs: 5 }).connect(
    { host: '127.0.0.1', port, deviceId, channels: ['commands', 'down'] },
    events,
  );
}

test('channels are topics of the device, in both directions', async () => {
  const broker = await startBroker();
  const events = recorder();
  const uplink = connect(broker.port, events);
  try {
    const published: string[] = [];
    broker.aedes.on('publish', (packet, client) => {
      if (client !== null) published.push(`${packet.topic} ${packet.payload.toString('hex')}`);
    });
    await assert.rejects(uplink.publish('up', fromHex('00')), DeviceFault);
    await events.seen('online');
    await uplink.publish('telemetry', fromHex('0102'));
    await uplink.publish('up', fromHex('0304'));
    assert.deepEqual(published, [
      `devices/${deviceId}/telemetry 0102`,
      `gateways/${deviceId}/up 0304`,
    ]);
    const send = (topic: string): void =>
      broker.aedes.publish(
        {
          cmd: 'publish',
          topic,
          payload: Buffer.from('0506', 'hex'),
          qos: 1,
          retain: false,
          dup: false,
        },
        () => undefined,
      );
    send(`devices/${deviceId}/commands`);
    send(`gateways/${deviceId}/down`);
    send('gateways/another/down');
    await events.seen('commands 0506');
    await events.seen('down 0506');
    assert.deepEqual(events.log, ['online', 'commands 0506', 'down 0506']);
  } finally {
    await uplink.close();
    await broker.close();
  }
});

test('a lost connection is made again, and what was under way is a fault', async () => {
  const broker = await startBroker();
  const events = recorder();
  const uplink = connect(broker.port, events);
  await events.seen('online');
  const lost = uplink.publish('telemetry', fromHex('01'));
  for (const socket of broker.sockets) socket.destroy();
  await assert.rejects(lost, (error) => error instanceof DeviceFault && error.retryable);
  await events.seen('offline');
  events.log.length = 0;
  await events.seen('online');
  await uplink.publish('telemetry', fromHex('02'));
  await uplink.close();
  await broker.close();
  assert.deepEqual(events.log, ['online']);
});

test('a broker below another authority is never talked to', async () => {
  const broker = await startBroker();
  let packets = 0;
  broker.aedes.on('connackSent', () => (packets += 1));
  const events = recorder();
  const uplink = connect(broker.port, events, testPki().server);
  // Whoever comes back was refused before.
  for (let attempts = 0; attempts < 3; attempts++) await once(broker.server, 'connection');
  await uplink.close();
  await broker.close();
  assert.equal(packets, 0);
  assert.deepEqual(events.log, []);
});
