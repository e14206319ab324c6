import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtualTime } from '../../../sim/radio/virtualTime.ts';
import { DeviceFault } from '../../../src/device/ports/faults.ts';
import { GatewayRelay, type RelayOptions } from '../../../src/device/relay/gatewayRelay.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';
import { readEnvelope, writeEnvelope } from '../../../src/wire/relay/envelope.ts';

const sensor = fromHex('0102030405060708');

type Receive = (linkAddress: Uint8Array, frame: Uint8Array) => Promise<void>;

/** A relay between a radio and a server that can be out of reach. */
class World {
  readonly time = new VirtualTime();
  readonly published: string[] = [];
  readonly sent: string[] = [];
  reachable = true;
  radioWorks = true;
  attempts = 0;
  readonly relay: GatewayRelay;
  #receive: Receive = () => Promise.resolve();

  constructor(options: Partial<RelayOptions> = {}) {
    const radio = {
      maximumFrameBytes: 51,
      send: async (linkAddress: Uint8Array, frame: Uint8Array): Promise<void> => {
        if (!this.radioWorks) throw new DeviceFault('no radio', { retryable: true });
        this.sent.push(`${toHex(linkAddress)} ${toHex(frame)}`);
      },
      onFrame: (receive: Receive): void => {
        this.#receive = receive;
      },
    };
    const publish = async (envelope: Uint8Array): Promise<void> => {
      this.attempts += 1;
      if (!this.reachable) throw new DeviceFault('offline', { retryable: true });
      this.published.push(toHex(readEnvelope(envelope).frame));
    };
    this.relay = new GatewayRelay({ radio, timer: this.time, publish }, options);
  }

  async hear(frame: string, linkAddress = sensor): Promise<void> {
    await this.#receive(linkAddress, fromHex(frame));
    await this.settle();
  }

  async settle(): Promise<void> {
    for (let count = 0; count < 50; count++) await Promise.resolve();
  }
}

test('frames go up in their order once the server can be reached', async () => {
  const world = new World();
  for (const frame of ['01', '02', '03']) await world.hear(frame);
  assert.deepEqual(world.published, []);
  world.relay.onState('online');
  await world.settle();
  assert.deepEqual(world.published, ['01', '02', '03']);
  assert.equal(world.relay.counts.up, 3);
});

test('what could not be published is tried again after a pause, first in its order', async () => {
  const world = new World({ maximumUnderWay: 1 });
  world.relay.onState('online');
  world.reachable = false;
  await world.hear('01');
  await world.hear('02');
  assert.equal(world.attempts, 1, 'nothing is tried in the pause');
  world.reachable = true;
  await world.time.pass(1_000);
  await world.settle();
  assert.deepEqual(world.published, ['01', '02']);
});

test('a gateway that is switched off while the server is away is done: no attempt, no timer', async () => {
  const world = new World();
  world.relay.onState('online');
  world.reachable = false;
  await world.hear('01');
  world.relay.stop();
  assert.equal(await world.time.step(), false, 'a timer would keep the process alive');
  assert.equal(world.attempts, 1);
});

test('a frame that was under way at the end is not tried again', async () => {
  const world = new World();
  world.relay.onState('online');
  world.reachable = false;
  const heard = world.hear('01');
  world.relay.stop();
  await heard;
  assert.equal(await world.time.step(), false);
  world.relay.onState('online');
  await world.hear('02');
  assert.deepEqual(world.published, []);
});

test('what no radio of this kind sends, and what comes too often, goes no further', async () => {
  const world = new World({ rate: { burst: 2, perSecond: 1 }, maximumQueued: 2 });
  await world.hear('');
  await world.hear('01', new Uint8Array(0));
  await world.hear('00'.repeat(52));
  for (const frame of ['01', '02', '03']) await world.hear(frame);
  await world.hear('04', fromHex('0807060504030201'));
  const { dropped } = world.relay.counts;
  assert.deepEqual(dropped, { tooLong: 1, tooOften: 1, queueFull: 1, malformed: 2, radio: 0 });
  world.relay.onState('online');
  await world.settle();
  assert.deepEqual(world.published, ['02', '04'], 'the oldest makes room');
});

test('envelopes go down to their address; others are counted and dropped', async () => {
  const world = new World();
  const down = (frame: Uint8Array): Promise<void> =>
    world.relay.onDown(writeEnvelope({ linkAddress: sensor, frame }));
  await down(fromHex('0aff'));
  await down(new Uint8Array(52));
  await world.relay.onDown(fromHex('ff'));
  world.radioWorks = false;
  await down(fromHex('0b'));
  assert.deepEqual(world.sent, [`${toHex(sensor)} 0aff`]);
  const { down: carried, dropped } = world.relay.counts;
  assert.equal(carried, 1);
  assert.deepEqual(dropped, { tooLong: 1, tooOften: 0, queueFull: 0, malformed: 1, radio: 1 });
});
