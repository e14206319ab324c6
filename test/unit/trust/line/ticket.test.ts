/** A ticket at its beginning and its end: what a station takes for one, and when it may be closed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nodeCrypto } from '../../../../src/drivers/keys/software/nodeCrypto.ts';
import { closeTicket } from '../../../../src/trust/line/close.ts';
import { readOwnTicket } from '../../../../src/trust/line/ownTicket.ts';
import { isRefusal } from '../../../../src/trust/ports/faults.ts';
import { checkFinished } from '../../../support/line/checker.ts';
import { CrashSwitch } from '../../../support/line/crash.ts';
import { LineBench } from '../../../support/line/lineBench.ts';
import { TestAuthority, testStationSigner } from '../../../support/line/testAuthority.ts';

const signer = testStationSigner();
const authority = new TestAuthority(signer, { count: 5 });
const own = {
  orderKey: authority.orderKey,
  stationKeySpki: signer.publicKeySpki,
  family: 'software',
};

test('a ticket for this station is read', () => {
  const ticket = readOwnTicket(nodeCrypto, authority.ticketBytes, own);
  assert.deepEqual(ticket, authority.ticket);
});

test('a ticket of another authority, station or family is refused, and so is what is none', () => {
  const other = testStationSigner();
  const refusals = [
    readOwnTicket(nodeCrypto, new TestAuthority(signer, { count: 5 }).ticketBytes, own),
    readOwnTicket(nodeCrypto, authority.ticketBytes, {
      ...own,
      stationKeySpki: other.publicKeySpki,
    }),
    readOwnTicket(nodeCrypto, authority.ticketBytes, { ...own, family: 'atecc608' }),
    readOwnTicket(nodeCrypto, Uint8Array.of(1, 2, 3), own),
    readOwnTicket(nodeCrypto, authority.ticketBytes.subarray(1), own),
  ];
  assert.deepEqual(
    refusals.map((refusal) => isRefusal(refusal) && refusal.refused),
    ['other-authority', 'other-station', 'other-family', 'not-a-ticket', 'not-a-ticket'],
  );
});

async function close(bench: LineBench, scrapUnfinished?: string): ReturnType<typeof closeTicket> {
  const { ticket, ticketBytes } = bench.authority;
  const run = { ticket, ticketBytes, scrapUnfinished };
  return closeTicket(await bench.ports(), run, () => undefined);
}

test('everything locked: the ticket closes and what is left of it is void', async () => {
  const bench = await LineBench.create(3, 5);
  await bench.run();
  assert.deepEqual(await close(bench), {
    counts: { issued: 3, released: 3, scrapped: 0, returned: 0 },
    void: 2,
  });
});

test('an unfinished unit keeps the ticket open until it is finished or scrapped', async () => {
  const bench = await LineBench.create(4);
  const killed = new CrashSwitch((point, flavour) => point === 'lock' && flavour === 'before');
  await bench.run({ crash: killed, inFlight: 1 });
  const refusal = await close(bench);
  assert.ok(isRefusal(refusal) && refusal.refused === 'unfinished');
  assert.match(refusal.reason, /ee0001/);
  const answer = await close(bench, 'taken out of the machine');
  assert.ok(!isRefusal(answer));
  assert.deepEqual(answer.counts, { issued: 1, released: 0, scrapped: 1, returned: 0 });
  assert.equal((await checkFinished(bench.world)).scrapped, 1);
});

test('a unit that asked and never got an identity is no issued one', async () => {
  const bench = await LineBench.create(2);
  const killed = new CrashSwitch((point, flavour) => point === 'endorse' && flavour === 'before');
  await bench.run({ crash: killed, inFlight: 1 });
  const answer = await close(bench, 'lost');
  assert.ok(!isRefusal(answer));
  assert.deepEqual(answer, {
    counts: { issued: 0, released: 0, scrapped: 0, returned: 0 },
    void: 2,
  });
});

test('reports that were due are made first; a dispute keeps the ticket open', async () => {
  const bench = await LineBench.create(2);
  const killed = new CrashSwitch((point, flavour) => point === 'report' && flavour === 'before');
  await bench.run({ crash: killed, inFlight: 1 });
  const [entry] = bench.authority.ledger.values();
  assert.ok(entry !== undefined);
  entry.outcome = 'scrapped';
  const disputed = await close(bench);
  assert.ok(isRefusal(disputed) && disputed.refused === 'disputed');
  entry.outcome = 'issued';
  assert.ok(!isRefusal(await close(bench)));
  assert.equal(entry.outcome, 'locked');
});

test('an authority that counts otherwise refuses in its own words', async () => {
  const bench = await LineBench.create(1);
  await bench.run();
  bench.authority.refuseAll = { code: 'counts-differ', reason: 'One more here.' };
  assert.deepEqual(await close(bench), { refused: 'counts-differ', reason: 'One more here.' });
});
