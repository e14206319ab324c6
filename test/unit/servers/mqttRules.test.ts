/** The parts of the broker that need no socket: packet lengths, topics, remembered sessions. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { PacketMeter } from '../../../src/servers/mqtt/framing.ts';
import { SessionStore, type StoredPacket } from '../../../src/servers/mqtt/sessionStore.ts';
import { maySubscribe, parseTopic, publishable } from '../../../src/servers/mqtt/topics.ts';
import { deviceIdOf } from '../../support/registrySamples.ts';

const one = deviceIdOf(1);

/** A PUBLISH head with this remaining length, and as many bytes behind it. */
function packet(length: number): Uint8Array {
  const head = [0x30];
  let rest = length;
  do {
    head.push((rest & 127) | (rest > 127 ? 128 : 0));
    rest >>= 7;
  } while (rest > 0);
  return Uint8Array.from([...head, ...new Uint8Array(length)]);
}

test('lengths around every boundary of the limit and of the length field', () => {
  for (const length of [0, 1, 127, 128, 999, 1000]) {
    assert.equal(new PacketMeter(1000).take(packet(length)), undefined, `${length}`);
  }
  assert.equal(new PacketMeter(1000).take(packet(1001).subarray(0, 3)), 'packet-too-large');
  const meter = new PacketMeter(Number.MAX_SAFE_INTEGER);
  assert.equal(meter.take(Uint8Array.of(0x30, 0x80, 0x80, 0x80, 0x80)), 'packet-length-malformed');
});

test('how the stream is cut makes no difference', () => {
  const lengths = fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 8 });
  const cuts = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 });
  fc.assert(
    fc.property(lengths, cuts, (sizes, steps) => {
      const stream = Buffer.concat(sizes.map(packet));
      const expected = sizes.some((size) => size > 300) ? 'packet-too-large' : undefined;
      assert.equal(new PacketMeter(300).take(stream), expected);
      const meter = new PacketMeter(300);
      let outcome: string | undefined;
      for (let offset = 0, turn = 0; offset < stream.length && outcome === undefined; turn++) {
        const step = steps[turn % steps.length] ?? 1;
        outcome = meter.take(stream.subarray(offset, offset + step));
        offset += step;
      }
      assert.equal(outcome, expected);
    }),
  );
});

test('any bytes: the meter never lets a body beyond the limit begin', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const outcome = new PacketMeter(64).take(bytes);
      assert.ok([undefined, 'packet-too-large', 'packet-length-malformed'].includes(outcome));
    }),
  );
});

test('only our topics are topics', () => {
  assert.deepEqual(parseTopic(`devices/${one}/telemetry`), { kind: 'telemetry', deviceId: one });
  assert.deepEqual(parseTopic(`gateways/${one}/up`), { kind: 'up', deviceId: one });
  const others = [
    '',
    'devices',
    `devices/${one}`,
    `devices/${one}/up`,
    `gateways/${one}/telemetry`,
    `devices/${one}/telemetry/x`,
    `/devices/${one}/telemetry`,
    `devices/${one}/constructor`,
    `devices/${one.toUpperCase()}/telemetry`,
    'devices/+/telemetry',
    '$SYS/x/y',
  ];
  for (const name of others) assert.equal(parseTopic(name), undefined, name);
});

test('a party can never both write and read a topic', () => {
  const parties = [
    { kind: 'device', deviceId: one, isGateway: true },
    { kind: 'application', name: 'x' },
  ] as const;
  for (const party of parties) {
    for (const name of ['telemetry', 'commands', 'up', 'down']) {
      const topic = `${name === 'up' || name === 'down' ? 'gateways' : 'devices'}/${one}/${name}`;
      assert.ok(!(publishable(party, topic) !== undefined && maySubscribe(party, topic)), topic);
    }
  }
});

const limits = { queuedMessages: 3, queuedBytes: 200 };
const command = (n: number): StoredPacket => ({
  topic: `devices/${one}/commands`,
  payload: Uint8Array.of(n),
  qos: 1,
  brokerId: 'b',
  brokerCounter: n,
});

async function queueOf(store: SessionStore, id: string): Promise<number[]> {
  const packets = await store.outgoingStream({ id }).toArray();
  return packets.map((stored: StoredPacket) => Number(stored.payload[0]));
}

test('a queue drops its oldest message at each bound', async () => {
  const store = new SessionStore(limits, () => true);
  await store.addSubscriptions({ id: 'c' }, [{ topic: `devices/${one}/commands`, qos: 1 }]);
  const subscribers = await store.subscriptionsByTopic(`devices/${one}/commands`);
  for (let n = 1; n <= 5; n++) await store.outgoingEnqueueCombi(subscribers, command(n));
  assert.deepEqual(await queueOf(store, 'c'), [3, 4, 5]);
  const large = { ...command(6), payload: new Uint8Array(150).fill(6) };
  await store.outgoingEnqueueCombi(subscribers, large);
  assert.deepEqual(await queueOf(store, 'c'), [6]);
});

test('an acknowledged message leaves the queue, and its identifier is found by delivery', async () => {
  const store = new SessionStore(limits, () => true);
  await store.addSubscriptions({ id: 'c' }, [{ topic: `devices/${one}/commands`, qos: 1 }]);
  for (const n of [1, 2]) await store.outgoingEnqueue({ clientId: 'c' }, command(n));
  await store.outgoingUpdate({ id: 'c' }, { ...command(1), messageId: 77 });
  await store.outgoingUpdate({ id: 'c' }, { ...command(9), messageId: 78 });
  const cleared = await store.outgoingClearMessageId({ id: 'c' }, { ...command(1), messageId: 77 });
  assert.equal(cleared?.brokerCounter, 1);
  assert.deepEqual(await queueOf(store, 'c'), [2]);
  const again = await store.outgoingClearMessageId({ id: 'c' }, { ...command(1), messageId: 77 });
  assert.equal(again, undefined);
});

test('subscribers of one device and of all devices are found, without QoS 0', async () => {
  const store = new SessionStore(limits, () => true);
  const topic = `devices/${one}/telemetry`;
  await store.addSubscriptions({ id: 'a/1' }, [{ topic: 'devices/+/telemetry', qos: 1 }]);
  await store.addSubscriptions({ id: 'b/1' }, [{ topic, qos: 1 }]);
  await store.addSubscriptions({ id: 'c/1' }, [{ topic, qos: 0 }]);
  const found = await store.subscriptionsByTopic(topic);
  assert.deepEqual(found.map(({ clientId }) => clientId).sort(), ['a/1', 'b/1']);
  await store.removeSubscriptions({ id: 'b/1' }, [topic]);
  assert.equal((await store.subscriptionsByTopic(topic)).length, 1);
  assert.equal(store.has('b/1'), false);
});

test('forgetting a holder forgets all of its clients and nobody else', async () => {
  const store = new SessionStore(limits, () => true);
  const subscription = { topic: 'devices/+/telemetry', qos: 1 } as const;
  for (const id of ['app/1', 'app/2', 'app2/1'])
    await store.addSubscriptions({ id }, [subscription]);
  await store.putWill({ id: 'app/1' }, command(1));
  assert.equal(store.countOf('app'), 2);
  assert.equal(store.forget('app'), 2);
  assert.equal(await store.delWill({ id: 'app/1' }), undefined);
  const left = await store.subscriptionsByTopic(`devices/${one}/telemetry`);
  assert.deepEqual(
    left.map(({ clientId }) => clientId),
    ['app2/1'],
  );
});
