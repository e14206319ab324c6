/**
 * A real station process, killed by the system in the middle of its work and started again; the other
 * side of the wire decides when. Files, journal and elements are real, and judged by the checker.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { checkAlways, checkFinished, type LineWorld } from '../support/line/checker.ts';
import { StationRig } from '../support/line/stationProcess.ts';
import { isNightly } from '../support/nightly.ts';

const rigs: StationRig[] = [];
after(() => {
  for (const rig of rigs) rig.close();
});

async function newRig(elements: number, quota?: number): Promise<StationRig> {
  const rig = await StationRig.create(elements, quota);
  rigs.push(rig);
  return rig;
}

function worldOf(rig: StationRig): LineWorld {
  const { ledger, ticket } = rig.authority;
  return { ledger, quota: ticket.count, folder: rig.elements };
}

const everyDeath = [
  ['endorse', 'decided', 3],
  ['endorse', 'arrived', 5],
  ['report', 'decided', 1],
] as const;

/** Real kills are dear: the suite has ten in all, the nightly campaign more. */
const deaths = isNightly ? everyDeath : everyDeath.slice(0, 1);

test('killed, a batch comes out whole, and closes', async () => {
  const rig = await newRig(40);
  for (const [step, when, nth] of deaths) {
    let passes = 0;
    rig.onRequest = (here, now) => {
      if (here === step && now === when) passes += 1;
      if (passes === nth) rig.kill();
    };
    const killed = await rig.line('run', '--in-flight', '4');
    assert.equal(killed.signal, 'SIGKILL', killed.stderr);
    await checkAlways(worldOf(rig));
  }
  rig.onRequest = () => undefined;
  const { exitCode, documents, stderr } = await rig.line('run');
  assert.equal(exitCode, 0, stderr);
  const last = documents.at(-1) ?? {};
  assert.equal(last['event'], 'finished');
  assert.equal(Number(last['verified']) + Number(last['passed']), 40);
  const findings = await checkFinished(worldOf(rig));
  assert.deepEqual([findings.issued, findings.released], [40, 40]);
  const closed = await rig.line('close');
  assert.deepEqual(closed.documents, [
    { event: 'closed', issued: 40, released: 40, scrapped: 0, returned: 0, void: 0 },
  ]);
});

test('a second station on the same folder says so and exits; status is read while it runs', async () => {
  const rig = await newRig(6);
  let asked = false;
  rig.onRequest = async (step) => {
    if (step !== 'endorse' || asked) return;
    asked = true;
    const [second, status] = await Promise.all([rig.line('run'), rig.status()]);
    assert.equal(second.exitCode, 3);
    assert.match(second.stderr, /in use by process \d+/);
    assert.equal(status.exitCode, 0, status.stderr);
    assert.ok(Array.isArray(status.documents[0]?.['tickets']));
  };
  const first = await rig.line('run', '--in-flight', '1');
  assert.equal(first.exitCode, 0, first.stderr);
  assert.ok(asked);
  assert.equal((await checkFinished(worldOf(rig))).released, 6);
});

test('a station that is told to end finishes what it holds', async () => {
  const rig = await newRig(30);
  let told = false;
  rig.onRequest = (step) => {
    if (step !== 'endorse' || told) return;
    told = true;
    rig.terminate();
  };
  const { exitCode, documents, stderr } = await rig.line('run', '--in-flight', '3');
  assert.equal(exitCode, 0, stderr);
  const findings = await checkFinished(worldOf(rig));
  assert.equal(findings.released, documents.at(-1)?.['verified']);
  assert.ok(findings.released < 30);
});

test('a dry run says what would happen and asks nobody', async () => {
  const rig = await newRig(3);
  const { exitCode, documents } = await rig.line('run', '--dry-run');
  assert.equal(exitCode, 0);
  assert.equal(documents[0]?.['blank'], 3);
  assert.equal(documents[0]?.['dryRun'], true);
  assert.deepEqual(rig.authority.steps, []);
});
