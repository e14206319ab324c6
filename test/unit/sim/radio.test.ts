import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Air, type AirOptions, defaultAir } from '../../../sim/radio/air.ts';
import { MemoryAir } from '../../../sim/radio/memoryAir.ts';
import { seededRandom } from '../../../sim/radio/random.ts';
import { VirtualTime } from '../../../sim/radio/virtualTime.ts';
import { fromHex, toHex } from '../../../src/wire/bytes/hex.ts';

const linkAddress = fromHex('02005efffe000001');
const calm: AirOptions = { ...defaultAir, drop: 0, duplicate: 0, reorder: 0 };

test('the air loses, doubles and delays frames as often as it was told, the same way each time', () => {
  const options = { ...defaultAir, drop: 0.2, duplicate: 0.3, reorder: 0.1 };
  const story = (seed: number): { air: Air; fates: Array<readonly number[]> } => {
    const air = new Air(options, seededRandom(seed));
    const fates = Array.from({ length: 5000 }, () => air.fate(new Uint8Array(20)));
    return { air, fates };
  };
  const { air, fates } = story(7);
  assert.deepEqual(story(7).fates, fates);
  assert.notDeepEqual(story(8).fates, fates);
  const { counts } = air;
  assert.ok(Math.abs(counts.dropped / 5000 - 0.2) < 0.02, `${counts.dropped} dropped`);
  assert.ok(Math.abs(counts.duplicated / 4000 - 0.3) < 0.03, `${counts.duplicated} duplicated`);
  assert.ok(Math.abs(counts.reordered / 4000 - 0.1) < 0.02, `${counts.reordered} reordered`);
  assert.equal(fates.filter((arrivals) => arrivals.length === 0).length, counts.dropped);
});

test('a frame above 51 bytes is never delivered', () => {
  const air = new Air(calm, seededRandom(1));
  assert.equal(air.fate(new Uint8Array(51)).length, 1);
  assert.equal(air.fate(new Uint8Array(52)).length, 0);
  assert.equal(air.counts.tooLong, 1);
});

test('virtual time runs events in order, one after the other, and none that was cancelled', async () => {
  const time = new VirtualTime();
  const log: string[] = [];
  const note = (text: string) => async (): Promise<void> => {
    await Promise.resolve();
    log.push(`${time.nowMs()} ${text}`);
  };
  time.after(10, note('b'));
  time.after(5, async () => {
    time.after(5, note('c'));
    await note('a')();
  });
  time.after(7, note('never'))();
  await time.until(() => log.length === 3);
  assert.deepEqual(log, ['5 a', '10 b', '10 c']);
  await assert.rejects(
    time.until(() => false),
    /nothing left/,
  );
  await time.pass(90);
  assert.equal(time.nowMs(), 100);
});

test('in memory, frames go between a sensor and every gateway', async () => {
  const time = new VirtualTime();
  const air = new MemoryAir(time, calm, 1);
  const log: string[] = [];
  const sensor = air.link(linkAddress);
  sensor.onFrame((frame) => {
    log.push(`sensor ${toHex(frame)}`);
    return Promise.resolve();
  });
  for (const name of ['one', 'two']) {
    const gateway = air.gateway();
    gateway.onFrame(async (from, frame) => {
      log.push(`${name} ${toHex(from)} ${toHex(frame)}`);
      if (name === 'two') await gateway.send(from, fromHex('0102'));
    });
  }
  await sensor.send(fromHex('aabb'));
  await time.until(() => log.length === 3);
  assert.deepEqual(log, ['one 02005efffe000001 aabb', 'two 02005efffe000001 aabb', 'sensor 0102']);
  assert.deepEqual(
    air.heard.map(({ direction, frame }) => `${direction} ${toHex(frame)}`),
    ['up aabb', 'down 0102'],
  );
  air.silence(linkAddress);
  await sensor.send(fromHex('aabb'));
  await time.until(() => air.air.counts.unheard === 1);
});
