/** A sensor on a bad radio keeps its LDevID in force, in virtual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  SessionEnroller,
  type SessionEnrollerEvent,
} from '../../../src/device/enrolment/sessionEnroller.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { decompressPoint } from '../../../src/drivers/keys/software/points.ts';
import { EnvironmentError, refuse } from '../../../src/trust/ports/faults.ts';
import { Field, type FieldDevice, roughAir } from '../../support/field.ts';
import { testNowMs } from '../../support/pki.ts';
import { SessionEnrolmentWorld } from '../../support/sessionEnrolment.ts';

const dayMs = 86_400_000;

class Story {
  readonly world = new SessionEnrolmentWorld();
  readonly field: Field;
  readonly device: FieldDevice;
  readonly events: SessionEnrollerEvent[] = [];
  enroller: SessionEnroller | undefined;

  constructor() {
    this.field = new Field({ air: roughAir, seed: 5, serve: this.world.resource });
    this.device = this.field.addDevice(1, { transmissions: 10 });
  }

  get kinds(): string {
    return this.events.map(({ kind }) => kind).join(' ');
  }

  async begin(): Promise<void> {
    const { field, device, world } = this;
    await world.add(device, 1);
    const sensor = await device.switchOn();
    const ports = {
      element: device.element,
      crypto: nodeCrypto,
      clock: { nowMs: () => testNowMs + field.time.nowMs() },
      timer: field.time,
      decompress: decompressPoint,
      exchange: (request: Parameters<typeof sensor.exchange>[0]) => sensor.exchange(request),
    };
    const retry = { firstMs: 60_000, longestMs: 10 * dayMs };
    this.enroller = SessionEnroller.start(ports, { blockBytes: 16, retry }, (event) =>
      this.events.push(event),
    );
  }

  /** Lets time pass until that many events were told; promises settle between two steps. */
  async until(count: number): Promise<void> {
    for (let steps = 0; this.events.length < count; steps += 1) {
      assert.ok(steps < 20_000, this.kinds);
      await this.field.time.step();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async end(): Promise<void> {
    await this.device.cutPower();
    await this.enroller?.stop();
  }
}

test('the first certificate, and the next one when two thirds of its life have passed', async () => {
  const story = new Story();
  const { world } = story;
  world.changes = { notBeforeMs: testNowMs - dayMs, notAfterMs: testNowMs + 8 * dayMs };
  await story.begin();
  await story.until(1);
  assert.equal(story.kinds, 'enrolled');
  while (world.requests.length < 2) await story.until(story.events.length + 1);
  const passedMs = story.field.time.nowMs();
  assert.ok(passedMs >= 4.9 * dayMs && passedMs < 6.2 * dayMs, `${passedMs / dayMs} days`);
  assert.match(story.kinds, /^enrolled( in-force)+ enrolled$/);
  await story.end();
  const told = story.events.length;
  await story.field.time.pass(30 * dayMs);
  assert.equal(story.events.length, told);
});

test('an authority that is away, patience, a no, and a session that ends', async () => {
  const story = new Story();
  const { world, field, device } = story;
  world.answer = async () => {
    throw new EnvironmentError('away', { retryable: true });
  };
  await story.begin();
  await story.until(1);
  assert.deepEqual(story.events[0], { kind: 'later', retryAfterMs: 30_000 });
  world.answer = async () => ({ retryAfterS: 60 });
  await story.until(2);
  assert.deepEqual(story.events[1], { kind: 'later', retryAfterMs: 60_000 });
  world.answer = async () => refuse('rejected', 'no');
  await story.until(3);
  assert.deepEqual(story.events[2], { kind: 'refused', code: 128 });
  const refusedMs = field.time.nowMs();
  world.answer = undefined;
  // What the sensor has open is given back; the enroller comes again by itself.
  await field.relay.kill(device.deviceId);
  while (!story.kinds.includes('enrolled')) await story.until(story.events.length + 1);
  assert.ok(field.time.nowMs() - refusedMs >= 10 * dayMs);
  await story.end();
});

test('an element that cannot help ends it', async () => {
  const story = new Story();
  story.device.element.sign = () => Promise.reject(new TypeError('no such slot'));
  await story.begin();
  await story.until(1);
  assert.equal(story.kinds, 'failed');
  await story.end();
});
