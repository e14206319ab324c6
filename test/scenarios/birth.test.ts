/**
 * The birth of a batch with both real halves of the line: the station's decisions and journal, the
 * authority's issuance and database. Killed at random, judged from the authority's database.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { seededRandom } from '../../sim/radio/random.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { closeTicket } from '../../src/trust/line/close.ts';
import { readOwnTicket } from '../../src/trust/line/ownTicket.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import type { LineTransport } from '../../src/trust/ports/lineTransport.ts';
import { checkAlways, checkFinished, type LineWorld } from '../support/line/checker.ts';
import { CrashSwitch } from '../support/line/crash.ts';
import { LineBench } from '../support/line/lineBench.ts';
import { issuingDatabase, RealAuthority } from '../support/line/realAuthority.ts';

const folder = mkdtempSync(join(tmpdir(), 'birthmark-birth-'));
const closers: Array<() => void> = [];
after(() => {
  for (const close of closers) close();
  rmSync(folder, { recursive: true, force: true });
});

async function newWorld(
  name: string,
  elements: number,
  quota: number,
): Promise<{ bench: LineBench; authority: RealAuthority; world: () => Promise<LineWorld> }> {
  const database = issuingDatabase(join(folder, `${name}.sqlite`));
  closers.push(() => database.close());
  const plain = await LineBench.create(elements, quota);
  const authority = await RealAuthority.create(database, plain.signer, quota);
  const ticket = readOwnTicket(nodeCrypto, authority.ticket.signed, {
    orderKey: authority.orderKey,
    stationKeySpki: plain.signer.publicKeySpki,
    family: 'software',
  });
  assert.ok(!isRefusal(ticket));
  const { orderKey } = authority;
  const bench = plain.with({
    ticket,
    ticketBytes: authority.ticket.signed,
    orderKey,
    transport: authority,
  });
  const world = async (): Promise<LineWorld> => ({
    ledger: await authority.ledger(),
    quota,
    folder: bench.folder,
  });
  return { bench, authority, world };
}

test('a batch of forty, killed four times, closes with every identity accounted for', async () => {
  const { bench, world } = await newWorld('killed', 40, 40);
  for (const steps of [60, 130, 210, 300]) {
    let left = steps;
    const crash = new CrashSwitch(() => {
      left -= 1;
      return left < 0;
    });
    assert.equal((await bench.run({ crash, inFlight: 8 })).summary, 'crashed');
    await checkAlways(await world());
  }
  const { summary } = await bench.run({ inFlight: 8 });
  assert.ok(summary !== 'crashed' && summary.halted === undefined);
  const findings = await checkFinished(await world());
  assert.deepEqual([findings.issued, findings.released], [40, 40]);
  const { ticket, ticketBytes } = bench.source;
  const run = { ticket, ticketBytes, scrapUnfinished: undefined };
  const closed = await closeTicket(await bench.ports(), run, () => undefined);
  assert.deepEqual(closed, {
    counts: { issued: 40, released: 40, scrapped: 0, returned: 0 },
    void: 0,
  });
  const { summary: late } = await bench.run();
  assert.ok(late !== 'crashed');
  assert.equal(late.halted?.refused, 'ticket-closed');
});

for (const seed of [1, 2, 3, 4]) {
  test(`kills and a network that loses requests and answers, seed ${seed}`, async () => {
    const random = seededRandom(seed);
    const { bench, authority, world } = await newWorld(`network-${seed}`, 16, 14);
    const lossy: LineTransport = {
      post: async (step, message) => {
        const fate = random.below(10);
        if (fate < 2) throw new EnvironmentError('request lost', { retryable: true });
        const answer = await authority.post(step, message);
        if (fate < 4) throw new EnvironmentError('answer lost', { retryable: true });
        return answer;
      },
    };
    for (let kills = 3; kills > 0; kills--) {
      let left = 20 + random.below(120);
      const crash = new CrashSwitch(() => {
        left -= 1;
        return left < 0;
      });
      await bench.run({ crash, inFlight: 1 + random.below(6), ports: { transport: lossy } });
      await checkAlways(await world());
    }
    await bench.run({ inFlight: 4, ports: { transport: lossy } });
    const findings = await checkFinished(await world());
    assert.deepEqual([findings.issued, findings.released], [14, 14]);
  });
}

test('more elements than the ticket allows: the quota holds on both sides', async () => {
  const { bench, world } = await newWorld('quota', 12, 7);
  await bench.run({ inFlight: 12 });
  const findings = await checkFinished(await world());
  assert.equal(findings.issued, 7);
});

test('units given up are scrapped there, and the ticket closes', async () => {
  const { bench, world } = await newWorld('scrap', 5, 5);
  const crash = new CrashSwitch((point, flavour) => point === 'lock' && flavour === 'before');
  await bench.run({ crash, inFlight: 3 });
  const { ticket, ticketBytes } = bench.source;
  const run = { ticket, ticketBytes, scrapUnfinished: 'lost' };
  const closed = await closeTicket(await bench.ports(), run, () => undefined);
  assert.ok(!isRefusal(closed));
  const { issued, scrapped } = closed.counts;
  assert.ok(issued > 0 && issued === scrapped);
  assert.equal((await checkFinished(await world())).scrapped, scrapped);
});
