/**
 * A station dies at every named point, before and after the act, and at random ones; what a new one makes
 * of it is judged by the checker, which reads the authority's ledger and the elements themselves.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../sim/radio/random.ts';
import { checkAlways, checkFinished } from '../support/line/checker.ts';
import { CrashSwitch, type Flavour } from '../support/line/crash.ts';
import { LineBench } from '../support/line/lineBench.ts';
import { firstSeed, isNightly } from '../support/nightly.ts';

const points = [
  'next',
  'find',
  'journal met',
  'generate sign',
  'generate agree',
  'journal requested',
  'endorse',
  'write',
  'journal locking',
  'lock',
  'journal locked',
  'bin',
  'report',
  'journal locked reported',
  'open',
] as const;
const flavours: readonly Flavour[] = ['before', 'after'];
const elements = 6;

for (const point of points) {
  test(`killed at "${point}", before and after, early and late: resumed without loss`, async () => {
    for (const flavour of flavours) {
      await killAndResume(point, flavour, 1, 1);
      // With several in flight a point that a run passes once only has no fourth time.
      const nth = ['open', 'endorse', 'report'].includes(point) ? 1 : 4;
      await killAndResume(point, flavour, nth, 3);
    }
  });
}

async function killAndResume(
  point: string,
  flavour: Flavour,
  nth: number,
  inFlight: number,
): Promise<void> {
  const bench = await LineBench.create(elements);
  let passes = 0;
  const crash = new CrashSwitch((here, when) => {
    if (here === point && when === flavour) passes += 1;
    return passes === nth;
  });
  const where = `${flavour} ${point}, ${nth}, ${inFlight} in flight`;
  const killed = await bench.run({ crash, inFlight });
  assert.equal(killed.summary, 'crashed', where);
  await checkAlways(bench.world);
  const { summary } = await bench.run({ inFlight });
  assert.ok(summary !== 'crashed' && summary.halted === undefined, where);
  assert.equal(summary.counts.held, 0, where);
  const findings = await checkFinished(bench.world);
  assert.deepEqual(
    findings,
    { issued: elements, lockedElements: elements, released: elements, scrapped: 0, open: 0 },
    where,
  );
}

test('every point that was named is passed by an ordinary run', async () => {
  const bench = await LineBench.create(2);
  const crash = new CrashSwitch(() => false);
  await bench.run({ crash });
  for (const point of points) {
    for (const flavour of flavours) {
      assert.ok(crash.passed.includes(`${flavour} ${point}`), `${flavour} ${point}`);
    }
  }
});

const seeds = isNightly ? 1_000 : 20;
for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
  test(`random kills, seed ${seed}: nothing lost, nothing twice, quota kept`, async () => {
    const random = seededRandom(seed);
    // Fewer identities than elements in every third run: the quota is what must hold then.
    const quota = seed % 3 === 0 ? 17 : 24;
    const bench = await LineBench.create(24, quota);
    for (let kills = 1 + random.below(4); kills > 0; kills--) {
      let steps = random.below(220);
      const crash = new CrashSwitch(() => {
        steps -= 1;
        return steps < 0;
      });
      await bench.run({ crash, inFlight: 1 + random.below(12) });
      await checkAlways(bench.world);
    }
    const { summary } = await bench.run({ inFlight: 1 + random.below(12) });
    assert.ok(summary !== 'crashed' && summary.halted === undefined);
    const findings = await checkFinished(bench.world);
    assert.equal(findings.issued, quota);
    assert.equal(findings.released, quota);
  });
}
