/** The station's run without crashes: what becomes of good, bad and strange elements, answers and networks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LineSummary } from '../../../../src/trust/line/station.ts';
import { checkFinished } from '../../../support/line/checker.ts';
import { LineBench } from '../../../support/line/lineBench.ts';

function finished(summary: LineSummary | 'crashed'): LineSummary {
  assert.ok(summary !== 'crashed');
  return summary;
}

test('a batch is personalized, verified, locked and reported', async () => {
  const bench = await LineBench.create(25);
  const { counts, halted } = finished((await bench.run()).summary);
  assert.equal(halted, undefined);
  assert.deepEqual(counts, {
    presented: 25,
    inFlight: 0,
    verified: 25,
    scrapped: 0,
    held: 0,
    passed: 0,
    unreadable: 0,
    reported: 25,
  });
  const findings = await checkFinished(bench.world);
  assert.deepEqual([findings.issued, findings.released], [25, 25]);
});
