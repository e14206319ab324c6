/** How fast devices come back that all lost their certificate at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReenrolmentPace } from '../../../src/trust/issuance/reenrolment.ts';

test('whoever comes when told to is let in, and nobody is told the same moment', () => {
  let nowMs = 1_000_000;
  const pace = new ReenrolmentPace(2, { nowMs: () => nowMs });
  const told: number[] = [];
  let admitted = 0;
  for (let device = 0; device < 20; device++) {
    const waitS = pace.retryAfterS();
    if (waitS === undefined) admitted += 1;
    else told.push(nowMs + waitS * 1000);
  }
  assert.equal(admitted, 2, 'one, and one that was saved up');
  assert.deepEqual(
    told,
    told.toSorted((left, right) => left - right),
  );
  // Two a second, in whole seconds: no second has more than two.
  for (const atMs of told) assert.ok(told.filter((other) => other === atMs).length <= 2);
  for (const atMs of told) {
    nowMs = Math.max(nowMs, atMs);
    assert.equal(pace.retryAfterS(), undefined);
  }
});

test('never more than the rate and one, however they come; and nobody waits for more than an hour', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.integer({ min: 0, max: 2_000 }), { minLength: 1, maxLength: 300 }),
      (perSecond, gapsMs) => {
        let nowMs = 0;
        const pace = new ReenrolmentPace(perSecond, { nowMs: () => nowMs });
        let admitted = 0;
        for (const gapMs of gapsMs) {
          nowMs += gapMs;
          const waitS = pace.retryAfterS();
          if (waitS === undefined) admitted += 1;
          else assert.ok(waitS >= 1 && waitS <= 3_600);
        }
        assert.ok(admitted <= (nowMs / 1000) * perSecond + 2);
      },
    ),
  );
});

test('a pace of nobody is a mistake', () => {
  for (const rate of [0, -1, Number.NaN]) {
    assert.throws(() => new ReenrolmentPace(rate, { nowMs: () => 0 }), TypeError);
  }
});
