/** The station's run against an authority that errs, refuses, lies, or cannot be reached. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LineEvent, LineSummary } from '../../../../src/trust/line/station.ts';
import { EnvironmentError } from '../../../../src/trust/ports/faults.ts';
import type { LineStep, LineTransport } from '../../../../src/trust/ports/lineTransport.ts';
import type { EndorsedUnit } from '../../../../src/wire/line/endorsement.ts';
import { toHex } from '../../../../src/wire/bytes/hex.ts';
import { checkAlways, checkFinished } from '../../../support/line/checker.ts';
import { LineBench } from '../../../support/line/lineBench.ts';
import { testPki } from '../../../support/pki.ts';

async function runOf(bench: LineBench): Promise<LineSummary & { events: readonly LineEvent[] }> {
  const { summary, events } = await bench.run({ inFlight: 2 });
  assert.ok(summary !== 'crashed');
  return { ...summary, events };
}

const foreign = testPki().idevid('0000000000000000').certificate.der;

const lies: Readonly<Record<string, (unit: EndorsedUnit) => EndorsedUnit>> = {
  'the certificate has another key': (unit) => ({ ...unit, certificate: foreign }),
  'the certificate names another device': (unit) => ({ ...unit, deviceId: 'zzzzzzzzzzzzzzzz' }),
  'the certificate is not of its issuer': (unit) => ({
    ...unit,
    certificate: Uint8Array.from(unit.certificate, (byte, index) =>
      index === unit.certificate.length - 1 ? byte ^ 1 : byte,
    ),
  }),
  'the certificate is malformed': (unit) => ({ ...unit, certificate: Uint8Array.of(0x30, 0) }),
  'the EUI-64 is missing': (unit) => ({ ...unit, eui64: undefined }),
  "is outside the order's range": (unit) => ({ ...unit, eui64: new Uint8Array(8) }),
};

for (const [fault, lie] of Object.entries(lies)) {
  test(`an answer in which ${fault} is written into no element and stops the line`, async () => {
    const bench = await LineBench.create(3);
    bench.authority.spoilUnit = (unit) => ('certificate' in unit ? lie(unit) : unit);
    const { halted, counts } = await runOf(bench);
    assert.equal(halted?.refused, 'wrong-answer');
    assert.ok(halted?.reason.includes(fault), halted?.reason);
    assert.equal(counts.verified, 0);
    for (const name of await bench.folder.names()) {
      assert.equal(await (await bench.folder.open(name)).readCertificate('idevid'), undefined);
    }
    bench.authority.spoilUnit = (unit) => unit;
    assert.equal((await runOf(bench)).halted, undefined);
    await checkFinished(bench.world);
  });
}

test('an EUI-64 without a range is no answer', async () => {
  const bench = await LineBench.create(1);
  bench.authority.spoilOpening = (opening) => ({ ...opening, eui64Range: undefined });
  assert.match((await runOf(bench)).halted?.reason ?? '', /EUI-64 without a range/);
});

test('answers about other units than were asked for are refused', async () => {
  const bench = await LineBench.create(2);
  bench.authority.spoilUnit = (unit) => ({ ...unit, uid: Uint8Array.of(9, 9, 9) });
  const { halted } = await runOf(bench);
  assert.equal(halted?.refused, 'wrong-answer');
});

test('an opening of another ticket, or with a key off its curve, is refused', async () => {
  const bench = await LineBench.create(1);
  bench.authority.spoilOpening = (opening) => ({ ...opening, ticketId: new Uint8Array(16) });
  assert.match((await runOf(bench)).halted?.reason ?? '', /another ticket/);
  const offCurve = new Uint8Array(65).fill(1);
  offCurve[0] = 4;
  bench.authority.spoilOpening = (opening) => ({ ...opening, agreeKey: offCurve });
  assert.match((await runOf(bench)).halted?.reason ?? '', /not on its curve/);
});

for (const step of ['open', 'endorse', 'report'] as const) {
  test(`an altered, replayed or foreign answer to ${step} is forged, whoever relayed it`, async () => {
    for (const forge of [
      (message: Uint8Array) => message.map((byte, index) => (index === 40 ? byte ^ 1 : byte)),
      (message: Uint8Array) => message.subarray(0, message.length - 1),
      () => new Uint8Array(0),
    ]) {
      const bench = await LineBench.create(2);
      bench.authority.spoilMessage = (message, here) => (here === step ? forge(message) : message);
      const { halted } = await runOf(bench);
      assert.equal(halted?.refused, 'forged-answer');
      bench.authority.spoilMessage = (message) => message;
      assert.equal((await runOf(bench)).halted, undefined);
      await checkFinished(bench.world);
    }
  });
}

test('an earlier answer does not pass as the answer to a later request', async () => {
  const bench = await LineBench.create(4);
  let earlier: Uint8Array | undefined;
  bench.authority.spoilMessage = (message, step) => {
    if (step !== 'endorse') return message;
    const answer = earlier ?? message;
    earlier = message;
    return answer;
  };
  const { summary } = await bench.run({ inFlight: 1 });
  assert.ok(summary !== 'crashed');
  assert.equal(summary.halted?.refused, 'forged-answer');
  assert.equal(summary.counts.verified, 1);
  bench.authority.spoilMessage = (message) => message;
  await bench.run();
  assert.equal((await checkFinished(bench.world)).released, 4);
});

test('the authority refuses the ticket: the line stops with its words', async () => {
  const bench = await LineBench.create(2);
  bench.authority.refuseAll = { code: 'ticket-expired', reason: 'The ticket ended yesterday.' };
  const { halted, counts } = await runOf(bench);
  assert.deepEqual(halted, { refused: 'ticket-expired', reason: 'The ticket ended yesterday.' });
  assert.equal(counts.presented, 0);
});

test('a unit that is refused is held with the reason, and asks again in the next run', async () => {
  const bench = await LineBench.create(3);
  const refusal = { code: 'busy', reason: 'Not now.' };
  let refusals = 0;
  bench.authority.spoilUnit = (unit) => {
    refusals += 1;
    return refusals === 2 ? { uid: unit.uid, ...refusal } : unit;
  };
  const { counts, events, halted } = await runOf(bench);
  assert.equal(halted, undefined);
  assert.deepEqual([counts.verified, counts.held], [2, 1]);
  const reasons = events.flatMap((event) =>
    event.event === 'unit' && event.outcome.result === 'held' ? [event.outcome.reason] : [],
  );
  assert.deepEqual(reasons, ['refused by the authority: Not now. [busy]']);
  const { ticketId } = bench.authority.ticket;
  assert.equal((await bench.journal.counts(ticketId)).refused, 1);
  assert.equal((await runOf(bench)).counts.verified, 1);
  await checkFinished(bench.world);
});

test('a unit whose identity is being made asks again at once', async () => {
  const bench = await LineBench.create(2);
  const asked = new Map<string, number>();
  bench.authority.spoilUnit = (unit) => {
    const times = (asked.get(toHex(unit.uid)) ?? 0) + 1;
    asked.set(toHex(unit.uid), times);
    return times === 3 ? unit : { uid: unit.uid, code: 'in-progress', reason: 'Soon.' };
  };
  const { counts } = await runOf(bench);
  assert.deepEqual([counts.verified, counts.held], [2, 0]);
  bench.authority.spoilUnit = (unit) => ({ uid: unit.uid, code: 'try-again', reason: 'Soon.' });
  const other = await LineBench.create(1);
  other.authority.spoilUnit = bench.authority.spoilUnit;
  assert.equal((await runOf(other)).counts.held, 1);
});

test('what is due is reported even when the ticket is over', async () => {
  const bench = await LineBench.create(1, 2);
  await bench.run();
  const [entry] = bench.authority.ledger.values();
  assert.ok(entry !== undefined);
  const record = await bench.journal.find('software', entry.uid);
  assert.ok(record?.stage === 'locked');
  await bench.journal.put({ ...record, report: 'due' });
  bench.authority.steps.length = 0;
  await runOf(bench);
  assert.deepEqual(bench.authority.steps.slice(0, 2), ['report', 'open']);
});

test('an authority that counts more than the station stops it at the first refusal', async () => {
  const bench = await LineBench.create(12, 12);
  bench.authority.spoilUnit = (unit) => ({
    uid: unit.uid,
    code: 'quota-exhausted',
    reason: 'All identities are taken.',
  });
  const { summary } = await bench.run({ inFlight: 1 });
  assert.ok(summary !== 'crashed');
  // Without that, every element of the tray would have made keys for nothing.
  assert.equal(summary.counts.presented, 1);
});

test('a station that lost its journal does not exceed the ticket and touches nothing finished', async () => {
  const bench = await LineBench.create(5, 3);
  await bench.run();
  const other = await LineBench.create(0, 3);
  const { summary } = await bench.run({ ports: { journal: other.journal } });
  assert.ok(summary !== 'crashed');
  assert.equal(bench.authority.ledger.size, 3);
  assert.equal(summary.counts.verified, 0);
  await checkFinished(bench.world);
});

/** A network that fails so many times at that step, before or after the request arrived. */
function flaky(
  transport: LineTransport,
  failures: Partial<Record<LineStep, number>>,
  arrives: boolean,
): LineTransport & { readonly sent: Map<LineStep, Uint8Array[]> } {
  const left = { ...failures };
  const sent = new Map<LineStep, Uint8Array[]>();
  return {
    sent,
    async post(step: LineStep, message: Uint8Array): Promise<Uint8Array> {
      sent.set(step, [...(sent.get(step) ?? []), message]);
      const remaining = left[step] ?? 0;
      if (remaining > 0 && !arrives) {
        left[step] = remaining - 1;
        throw new EnvironmentError('the line is dead', { retryable: true });
      }
      const answer = await transport.post(step, message);
      if (remaining === 0) return answer;
      left[step] = remaining - 1;
      throw new EnvironmentError('the answer was lost', { retryable: true });
    },
  };
}

for (const arrives of [false, true]) {
  test(`a network lost ${arrives ? 'behind' : 'before'} the authority is waited out, and said`, async () => {
    const bench = await LineBench.create(3);
    const transport = flaky(bench.authority, { open: 2, endorse: 8, report: 1 }, arrives);
    const { summary, events } = await bench.run({ ports: { transport }, inFlight: 3 });
    assert.ok(summary !== 'crashed');
    assert.equal(summary.counts.verified, 3);
    await checkFinished(bench.world);
    const troubles = events.flatMap((event) => (event.event === 'network' ? [event.trouble] : []));
    assert.ok(troubles.some((trouble) => trouble?.step === 'endorse'));
    assert.equal(troubles.at(-1), undefined, 'never said that the network is back');
    // The same request at every try, or the authority could not tell that it is the same.
    const [first, second] = transport.sent.get('open') ?? [];
    assert.deepEqual(first, second);
    assert.equal(Math.max(...bench.waitsMs) <= 37_500, true);
    assert.ok(Math.max(...bench.waitsMs) > 4 * Math.min(...bench.waitsMs), 'no backoff');
  });
}

test('a station that waits for the network can be stopped, and loses nothing', async () => {
  const bench = await LineBench.create(3);
  const transport: LineTransport = {
    post: (step, message) =>
      step === 'endorse'
        ? Promise.reject(new EnvironmentError('gone', { retryable: true }))
        : bench.authority.post(step, message),
  };
  const waiting: Array<() => void> = [];
  const { summary } = await bench.run({
    ports: {
      transport,
      pause: {
        wait: () => {
          const { promise, resolve } = Promise.withResolvers<void>();
          waiting.push(resolve);
          return { over: promise, cancel: resolve };
        },
      },
    },
    prepare: (station) => {
      const poll = (): void => {
        if (waiting.length > 0) station.stop();
        else setImmediate(poll);
      };
      setImmediate(poll);
    },
  });
  assert.ok(summary !== 'crashed');
  assert.equal(summary.halted?.refused, 'stopped');
  assert.equal(summary.counts.inFlight, 0);
  await checkAlways(bench.world);
  assert.equal((await runOf(bench)).counts.verified, 3);
  assert.equal((await checkFinished(bench.world)).released, 3);
});

test('a network that will never work ends the run as the environment', async () => {
  const bench = await LineBench.create(2);
  const transport: LineTransport = {
    post: () => Promise.reject(new EnvironmentError('not let in', { retryable: false })),
  };
  await assert.rejects(bench.run({ ports: { transport } }), { message: 'not let in' });
});

test('a journal that cannot be written stops the line before anything is asked for', async () => {
  const bench = await LineBench.create(4);
  const full = new EnvironmentError('the disk is full', { retryable: true });
  const { journal } = bench;
  const failing = {
    find: journal.find.bind(journal),
    put: () => Promise.reject(full),
    counts: journal.counts.bind(journal),
    reportsDue: journal.reportsDue.bind(journal),
    unfinished: journal.unfinished.bind(journal),
  };
  await assert.rejects(bench.run({ ports: { journal: failing }, inFlight: 4 }), full);
  assert.equal(bench.authority.ledger.size, 0);
  assert.equal((await runOf(bench)).counts.verified, 4);
});

test('what the authority disputes stays due and is said', async () => {
  const bench = await LineBench.create(1, 2);
  await bench.run();
  const [entry] = bench.authority.ledger.values();
  assert.ok(entry !== undefined);
  const record = await bench.journal.find('software', entry.uid);
  assert.ok(record?.stage === 'locked');
  await bench.journal.put({ ...record, report: 'due' });
  entry.outcome = 'scrapped';
  const { events } = await runOf(bench);
  const disputed = events.flatMap((event) => (event.event === 'disputed' ? [event] : []));
  assert.equal(disputed.length, 1);
  assert.equal(toHex(disputed[0]?.uid ?? new Uint8Array(0)), toHex(entry.uid));
  assert.equal((await bench.journal.counts(record.ticketId)).reportsDue, 1);
});
