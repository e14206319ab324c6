/** The station's run without crashes: a batch, its limits, strange elements. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LineCounts, LineEvent, LineSummary } from '../../../../src/trust/line/station.ts';
import { type Element, ElementError } from '../../../../src/trust/ports/element.ts';
import type { LineTransport } from '../../../../src/trust/ports/lineTransport.ts';
import { checkAlways, checkFinished } from '../../../support/line/checker.ts';
import { LineBench } from '../../../support/line/lineBench.ts';
import { elementNameOf, uidOf } from '../../../support/line/memoryFolder.ts';
import {
  failing,
  type RecordingSocket,
  type Strangeness,
  strangeSocket,
} from '../../../support/line/strangeElements.ts';
import { toHex } from '../../../../src/wire/bytes/hex.ts';
import { utf8 } from '../../../../src/wire/bytes/utf8.ts';

function finished(summary: LineSummary | 'crashed'): LineSummary {
  assert.ok(summary !== 'crashed');
  return summary;
}

function reasonsOf(events: readonly LineEvent[]): readonly string[] {
  return events.flatMap((event) => {
    if (event.event === 'unreadable') return [event.reason];
    if (event.event !== 'unit') return [];
    const { outcome } = event;
    if (outcome.result === 'held') return [outcome.reason];
    return outcome.result === 'scrapped' ? [outcome.record.reason] : [];
  });
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

test('presented again, finished elements pass and nothing is asked for', async () => {
  const bench = await LineBench.create(3);
  await bench.run();
  const { steps } = bench.authority;
  steps.length = 0;
  // With room for more, or the station would not even look.
  const { summary } = await bench.run();
  assert.equal(finished(summary).counts.presented, 0);
  const roomier = await LineBench.create(3, 5);
  await roomier.run();
  const again = finished((await roomier.run()).summary);
  assert.deepEqual([again.counts.passed, again.counts.verified], [3, 0]);
  assert.deepEqual(steps, ['open']);
  await checkFinished(roomier.world);
});

test('requests gather: one element at once, many in few requests of at most a hundred', async () => {
  const single = await LineBench.create(3);
  await single.run({ inFlight: 1 });
  assert.deepEqual(single.authority.batches, [1, 1, 1]);
  const many = await LineBench.create(130);
  const transport: LineTransport = {
    post: async (step, message) => {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      return many.authority.post(step, message);
    },
  };
  await many.run({ ports: { transport }, inFlight: 130 });
  const { batches } = many.authority;
  assert.ok(batches.length < 30, `${batches.length} requests`);
  assert.ok(Math.max(...batches) <= 100);
  assert.equal(
    batches.reduce((sum, units) => sum + units),
    130,
  );
});

test('a ticket for fewer elements than there are is used up and not exceeded', async () => {
  const bench = await LineBench.create(10, 4);
  const { counts } = finished((await bench.run({ inFlight: 3 })).summary);
  assert.equal(counts.verified, 4);
  assert.equal(bench.authority.ledger.size, 4);
  await checkFinished(bench.world);
  for (const name of (await bench.folder.names()).slice(counts.presented)) {
    const element = await bench.folder.open(name);
    assert.equal(await element.lifecycle(), 'blank', 'made keys that nobody asked for');
  }
});

test('a run is limited to a count, and the next one goes on', async () => {
  const bench = await LineBench.create(10);
  assert.equal(finished((await bench.run({ count: 4, inFlight: 1 })).summary).counts.verified, 4);
  const { counts } = finished((await bench.run()).summary);
  assert.deepEqual([counts.passed, counts.verified], [4, 6]);
  await checkFinished(bench.world);
});

test('insane elements take nothing of the quota and are scrapped, one by one, with the reason', async () => {
  const constant: Strangeness = () => ({ random: async () => new Uint8Array(32) });
  const unlocked608: Strangeness = () => ({
    random: async () => Uint8Array.from({ length: 32 }, (_, index) => (index % 4 < 2 ? 0xff : 0)),
  });
  const stuck = Uint8Array.from({ length: 32 }, (_, index) => index * 7);
  const stuckSequence: Strangeness = () => ({ random: async () => stuck });
  const short: Strangeness = (element) => ({ random: () => element.random(31) });
  const unprogrammed: Strangeness = ({ identity }) => ({
    identity: { ...identity, uid: new Uint8Array(9).fill(0xff) },
  });
  const unspeakable: Strangeness = ({ identity }) => ({
    identity: { ...identity, firmware: '1.0\u001b[2J' },
  });
  const bench = await LineBench.create(9, 2);
  const strange = {
    1: constant,
    2: unlocked608,
    4: short,
    5: unprogrammed,
    6: unspeakable,
    7: stuckSequence,
    8: stuckSequence,
  };
  const socket = strangeSocket(bench.folder, [1, 2, 3, 4, 5, 6, 7, 8, 9], strange);
  const { summary, events } = await bench.run({ ports: { socket }, inFlight: 1 });
  assert.deepEqual(reasonsOf(events), [
    'random source is constant',
    'random source repeats itself',
    'random source gives another length than was asked for',
    `uid ${'ff'.repeat(9)} was never programmed`,
    'what it says of itself cannot be written into a request',
    'random source repeats itself',
    'random source repeats itself',
  ]);
  const { counts } = finished(summary);
  assert.deepEqual([counts.verified, counts.scrapped], [2, 7]);
  assert.equal(bench.authority.ledger.size, 2);
});

test('two elements with one random sequence: the second is found', async () => {
  const bench = await LineBench.create(2);
  const sequence = (): Strangeness => {
    let answer = 0;
    const byte = (index: number): number =>
      (index * 37 + answer * 11 + ((index * index) >> 3)) & 255;
    return () => ({
      random: async (length) => {
        answer += 1;
        return Uint8Array.from({ length }, (_, index) => byte(index));
      },
    });
  };
  const strange = { 1: sequence(), 2: sequence() };
  const socket = strangeSocket(bench.folder, [1, 2], strange);
  const { events } = await bench.run({ ports: { socket }, inFlight: 1 });
  assert.deepEqual(reasonsOf(events), ['random source repeats what was seen before']);
});

test('what was scrapped before its request gives its place in the quota to the next', async () => {
  const bench = await LineBench.create(6, 4);
  const constant: Strangeness = () => ({ random: async () => new Uint8Array(32) });
  const socket = strangeSocket(bench.folder, [1, 2, 3, 4, 5, 6], { 1: constant, 4: constant });
  // All six at once: the last two have to wait for what becomes of the others.
  const { counts } = finished((await bench.run({ ports: { socket }, inFlight: 6 })).summary);
  assert.deepEqual([counts.verified, counts.scrapped, counts.held], [4, 2, 0]);
});

test('elements that others wrote are held, not touched', async () => {
  const bench = await LineBench.create(3);
  const begun = await bench.folder.open(elementNameOf(1));
  await begun.write({ data: { state: utf8('foreign') } });
  const locked = await bench.folder.open(elementNameOf(2));
  await locked.generateKey('sign');
  await locked.lock();
  const { summary, events } = await bench.run();
  const { counts } = finished(summary);
  assert.deepEqual([counts.verified, counts.held], [1, 2]);
  assert.deepEqual([...reasonsOf(events)].sort(), [
    'holds something that this station did not write',
    'locked elsewhere',
  ]);
});

test('a second element of one uid is held, at the same time and later', async () => {
  const bench = await LineBench.create(1, 9);
  const twice = strangeSocket(bench.folder, [1, 1]);
  const first = await bench.run({ ports: { socket: twice }, inFlight: 2 });
  assert.deepEqual(reasonsOf(first.events), ['another element of this uid is being worked on']);
  const clone: Strangeness = () => ({ lifecycle: async () => 'blank' });
  const later = strangeSocket(bench.folder, [1], { 1: clone });
  const second = await bench.run({ ports: { socket: later } });
  assert.match(reasonsOf(second.events).join(), /two of one uid/);
  assert.equal(later.bins.get(toHex(uidOf(1))), 'held');
  assert.equal(bench.authority.ledger.size, 1);
  await checkFinished(bench.world);
});

test('two elements with one key: the second is scrapped before it asks', async () => {
  const bench = await LineBench.create(2);
  const original = await bench.folder.open(elementNameOf(1));
  const cloned: Strangeness = () => ({
    generateKey: async (slot) => (await original.publicKey(slot)) ?? original.generateKey(slot),
    sign: (slot, data) => original.sign(slot, data),
    agree: (slot, peer) => original.agree(slot, peer),
  });
  const socket = strangeSocket(bench.folder, [1, 2], {
    1: () => ({
      generateKey: (slot) => original.generateKey(slot),
      publicKey: (slot) => original.publicKey(slot),
      sign: (slot, data) => original.sign(slot, data),
      agree: (slot, peer) => original.agree(slot, peer),
      lifecycle: () => original.lifecycle(),
      write: (contents) => original.write(contents),
      readCertificate: (slot) => original.readCertificate(slot),
      readData: (slot) => original.readData(slot),
      lock: () => original.lock(),
    }),
    2: cloned,
  });
  const { summary, events } = await bench.run({ ports: { socket }, inFlight: 1 });
  assert.equal(finished(summary).counts.verified, 1);
  assert.deepEqual(reasonsOf(events), [
    'its sign-key is that of another unit: two elements of one identity',
  ]);
  assert.equal(bench.authority.ledger.size, 1);
});

const operations: ReadonlyArray<keyof Element> = [
  'lifecycle',
  'random',
  'generateKey',
  'publicKey',
  'sign',
  'agree',
  'write',
  'readCertificate',
  'readData',
  'lock',
];

for (const operation of operations) {
  test(`an element that does not answer to ${operation} is held, and finished later`, async () => {
    const bench = await LineBench.create(3);
    const silent: Strangeness = () => ({ [operation]: failing('unreachable') });
    const socket = strangeSocket(bench.folder, [1, 2, 3], { 2: silent });
    const { counts } = finished((await bench.run({ ports: { socket } })).summary);
    assert.deepEqual([counts.verified, counts.held, counts.scrapped], [2, 1, 0]);
    await checkAlways(bench.world);
    const again = finished((await bench.run()).summary);
    assert.deepEqual([again.counts.verified, again.counts.passed], [1, 2]);
    assert.equal((await checkFinished(bench.world)).released, 3);
  });

  test(`an element that is damaged at ${operation} is scrapped, its identity revoked`, async () => {
    const bench = await LineBench.create(3);
    const broken: Strangeness = () => ({ [operation]: failing('damaged') });
    const socket = strangeSocket(bench.folder, [1, 2, 3], { 2: broken });
    const { counts } = finished((await bench.run({ ports: { socket } })).summary);
    assert.deepEqual([counts.verified, counts.held, counts.scrapped], [2, 0, 1]);
    const findings = await checkFinished(bench.world);
    assert.equal(findings.issued - findings.scrapped, 2);
    assert.equal(socket.bins.get(toHex(uidOf(2))), 'scrapped');
    // Presented once more, it goes to the same bin and nothing is asked for.
    const later: RecordingSocket = strangeSocket(bench.folder, [2]);
    await bench.run({ ports: { socket: later } });
    assert.equal(later.bins.get(toHex(uidOf(2))) ?? 'scrapped', 'scrapped');
    await checkFinished(bench.world);
  });
}

test('a finished element that comes back damaged is not revoked by a station', async () => {
  const bench = await LineBench.create(1, 2);
  await bench.run();
  const socket = strangeSocket(bench.folder, [1], { 1: () => ({ lifecycle: failing('damaged') }) });
  const { events } = await bench.run({ ports: { socket } });
  assert.match(reasonsOf(events).join(), /finished or begun elsewhere/);
  assert.equal((await checkFinished(bench.world)).released, 1);
});

test('a slot that takes its value at the second writing is good, one that never does is scrap', async () => {
  const bench = await LineBench.create(2);
  const forgetful = (times: number): Strangeness => {
    let writes = 0;
    return (element) => ({
      write: async (contents) => {
        writes += 1;
        const { 'device-id': _, ...rest } = contents.data ?? {};
        await element.write(writes <= times ? { ...contents, data: rest } : contents);
      },
    });
  };
  const strange = { 1: forgetful(1), 2: forgetful(2) };
  const socket = strangeSocket(bench.folder, [1, 2], strange);
  const { summary, events } = await bench.run({ ports: { socket } });
  assert.deepEqual(reasonsOf(events), ['read back wrong: slot device-id differs']);
  assert.equal(finished(summary).counts.verified, 1);
  assert.deepEqual(bench.authority.counts, { issued: 2, released: 1, scrapped: 1, returned: 0 });
});

test('an element that says it locked and did not is scrap', async () => {
  const bench = await LineBench.create(1);
  const socket = strangeSocket(bench.folder, [1], { 1: () => ({ lock: async () => undefined }) });
  const { events } = await bench.run({ ports: { socket } });
  assert.deepEqual(reasonsOf(events), ['it does not lock']);
});

test('an element whose signature is not of its own key never gets to the authority', async () => {
  const bench = await LineBench.create(2);
  const other = await bench.folder.open(elementNameOf(2));
  await other.generateKey('sign');
  const socket = strangeSocket(bench.folder, [1], {
    1: () => ({ sign: (slot, data) => other.sign(slot, data) }),
  });
  const { events } = await bench.run({ ports: { socket } });
  assert.deepEqual(reasonsOf(events), ['its signature does not verify with its own key']);
  assert.equal(bench.authority.ledger.size, 0);
});

test('a family that cannot agree gets an identity without an agree key', async () => {
  const bench = await LineBench.create(1);
  const signsOnly: Strangeness = (element) => ({
    generateKey: (slot) =>
      slot === 'agree' ? failing('not-offered')() : element.generateKey(slot),
  });
  const socket = strangeSocket(bench.folder, [1], { 1: signsOnly });
  const { counts } = finished((await bench.run({ ports: { socket } })).summary);
  assert.equal(counts.verified, 1);
  assert.equal([...bench.authority.ledger.values()][0]?.agreeKey, undefined);
  await checkFinished(bench.world);
});

test('elements that cannot be contacted are counted, and many in a row stop the line', async () => {
  const bench = await LineBench.create(2, 4);
  const mute = new ElementError('unreachable', 'no answer');
  const some = strangeSocket(bench.folder, [mute, 1, mute, 2]);
  const { counts } = finished((await bench.run({ ports: { socket: some } })).summary);
  assert.deepEqual([counts.verified, counts.unreadable, counts.presented], [2, 2, 4]);
  const socket = strangeSocket(
    bench.folder,
    Array.from({ length: 40 }, () => mute),
  );
  const { halted } = finished((await bench.run({ ports: { socket } })).summary);
  assert.equal(halted?.refused, 'element-feed');
});

test('a station that is told to stop finishes what it holds and takes nothing more', async () => {
  const bench = await LineBench.create(20);
  const { summary } = await bench.run({
    inFlight: 2,
    prepare: (station) => {
      bench.authority.spoilUnit = (unit) => {
        station.stop();
        return unit;
      };
    },
  });
  const { counts, halted } = finished(summary);
  assert.equal(halted, undefined);
  assert.ok(counts.verified >= 1 && counts.verified <= 4, `${counts.verified}`);
  const findings = await checkFinished(bench.world);
  assert.equal(findings.released, counts.verified);
});

test('counts never disagree with each other', async () => {
  const bench = await LineBench.create(12);
  const seen: LineCounts[] = [];
  await bench.run({
    prepare: (station) => {
      bench.authority.spoilUnit = (unit) => {
        seen.push({ ...station.counts });
        return unit;
      };
    },
  });
  for (const counts of seen) {
    const { verified, scrapped, held, passed, unreadable, inFlight } = counts;
    const known = verified + scrapped + held + passed + unreadable;
    assert.ok(known + inFlight >= counts.presented && known <= counts.presented);
  }
});
