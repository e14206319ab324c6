/**
 * Hostile bytes from a client with a good certificate, through everything of the broker but TLS: nothing
 * may end the process, be taken for telemetry of somebody else, or keep the broker from serving others.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type Duplex, duplexPair } from 'node:stream';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import fc from 'fast-check';
import { MqttBroker } from '../../src/servers/mqtt/broker.ts';
import { Connection } from '../../src/servers/tls/connection.ts';
import type { VerifiedPeer } from '../../src/trust/peers/verifiedPeer.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { fromHex } from '../../src/wire/bytes/hex.ts';
import { mutated } from '../support/fuzz.ts';
import { MemoryRegistryStore } from '../support/memoryRegistryStore.ts';
import { enter, pki, verifierOf } from '../support/peers.ts';
import { deviceIdOf, importedDevice } from '../support/registrySamples.ts';
import { isNightly } from '../support/nightly.ts';

const runs = isNightly ? 50_000 : 1_500;
const one = deviceIdOf(1);
const own = `devices/${one}/telemetry`;

function packet(type: number, ...fields: ReadonlyArray<Uint8Array>): Uint8Array {
  const body = Buffer.concat(fields);
  return Buffer.concat([Buffer.of(type, body.length), body]);
}

function text(value: string): Uint8Array {
  return Buffer.concat([Buffer.of(0, value.length), Buffer.from(value)]);
}

const connect = packet(0x10, text('MQTT'), Buffer.of(4, 2, 0, 60), text('x'));
const will = Buffer.concat([text(own), text('gone')]);
const valid: readonly Uint8Array[] = [
  connect,
  packet(0x10, text('MQTT'), Buffer.of(4, 0x06, 0, 60), text('x'), will),
  packet(0x10, text('MQTT'), Buffer.of(4, 0, 0, 60), text('x')),
  packet(0x30, text(own), Buffer.from('21.5')),
  packet(0x32, text(own), Buffer.of(0, 1), Buffer.from('21.5')),
  packet(0x34, text(own), Buffer.of(0, 2), Buffer.from('21.5')),
  packet(0x62, Buffer.of(0, 2)),
  packet(0x82, Buffer.of(0, 3), text(`devices/${one}/commands`), Buffer.of(1)),
  packet(0xa2, Buffer.of(0, 4), text(`devices/${one}/commands`)),
  packet(0x40, Buffer.of(0, 1)),
  packet(0xc0),
  packet(0xe0),
];

interface House {
  readonly telemetry: Set<string>;
  readonly dial: () => Promise<{ readonly near: Duplex; readonly closed: Promise<unknown> }>;
  readonly close: () => Promise<void>;
}

async function open(): Promise<House> {
  const telemetry = new Set<string>();
  const broker = new MqttBroker({
    onTelemetry: async (deviceId) => void telemetry.add(deviceId),
    onGatewayFrame: () => Promise.reject(new Error('no gateway speaks here')),
    roleOf: async () => 'sensor',
    onRefusal: () => undefined,
    limits: { packetBytes: 4096 },
  });
  await broker.open();
  const peer = await devicePeer();
  const dial = async (): Promise<{ readonly near: Duplex; readonly closed: Promise<unknown> }> => {
    const [near, far] = duplexPair();
    near.on('error', () => undefined);
    far.on('error', () => undefined);
    const closed = once(far, 'close');
    await broker.accept(new Connection(peer, far as TLSSocket));
    return { near, closed };
  };
  return { telemetry, dial, close: () => broker.close() };
}

/** Sends it all, and waits until the broker has let go. */
async function abuse({ dial }: House, ...parts: readonly Uint8Array[]): Promise<void> {
  const { near, closed } = await dial();
  near.resume();
  for (const part of parts) near.write(part);
  near.end();
  await closed;
  near.destroy();
}

async function devicePeer(): Promise<VerifiedPeer> {
  const store = new MemoryRegistryStore();
  const identity = pki.ldevid(one);
  await store.importDevices([importedDevice(1)], 1);
  await enter(store, identity, 'ldevid', one);
  const verify = verifierOf(store, [{ authority: pki.operational, kinds: ['ldevid'] }]);
  const peer = await verify(identity.chain);
  assert.ok(!isRefusal(peer));
  return peer;
}

/** The broker serves a well-behaved client: CONNACK 0, and telemetry is taken before its PUBACK. */
async function assertServing({ dial, telemetry }: House): Promise<void> {
  telemetry.clear();
  const { near, closed } = await dial();
  const answer = async (): Promise<string> => {
    let said = Buffer.alloc(0);
    while (said.length < 4) {
      const part = near.read() as Buffer | null;
      if (part === null) await once(near, 'readable');
      else said = Buffer.concat([said, part]);
    }
    return said.toString('hex');
  };
  near.write(connect);
  assert.equal(await answer(), '20020000');
  near.write(packet(0x32, text(own), Buffer.of(0, 9), Buffer.from('1')));
  assert.equal(await answer(), '40020009');
  assert.deepEqual([...telemetry], [one]);
  near.end();
  await closed;
}

test('mqtt: the saved corpus, then mutated packets before and behind a CONNECT', async (context) => {
  const house = await open();
  context.after(() => house.close());
  await assertServing(house);
  const corpus = readFileSync(new URL('corpus/mqtt.hex', import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  for (const line of corpus) {
    await abuse(house, fromHex(line));
    await abuse(house, connect, fromHex(line));
  }
  const packets = fc.array(mutated(valid), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(packets, fc.boolean(), async (sent, greeted) => {
      await abuse(house, ...(greeted ? [connect, ...sent] : sent));
      for (const deviceId of house.telemetry) assert.equal(deviceId, one);
    }),
    { numRuns: runs },
  );
  await assertServing(house);
});
