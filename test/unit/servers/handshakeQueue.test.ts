/** Places for handshakes: never more than there are, never one left empty that somebody waits for, in turns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HandshakeQueue } from '../../../src/servers/tls/handshakeQueue.ts';

const limits = { handshakes: 3, handshakesPerAddress: 2, waiting: 6, waitingPerAddress: 3 };

test('addresses take turns, however many wait behind each', () => {
  const begun: string[] = [];
  const roomy = { handshakes: 2, handshakesPerAddress: 1, waiting: 9, waitingPerAddress: 9 };
  const queue = new HandshakeQueue<string>(roomy, (item) => begun.push(item));
  for (const item of ['a1', 'b1', 'a2', 'a3', 'a4', 'c1', 'c2']) {
    assert.ok(queue.enter(item, item.slice(0, 1)));
  }
  assert.deepEqual(begun.splice(0), ['a1', 'b1']);
  for (const item of ['b1', 'c1', 'a1', 'a2', 'c2', 'a3', 'a4']) queue.leave(item);
  assert.deepEqual(begun, ['c1', 'c2', 'a2', 'a3', 'a4']);
  assert.deepEqual([queue.inFlight, queue.waiting], [0, 0]);
});

type Act = { readonly enter: boolean; readonly item: number; readonly address: string };

test('whatever comes and goes, the bounds hold and no place stays empty', () => {
  const act = fc.record({
    enter: fc.boolean(),
    item: fc.nat(30),
    address: fc.constantFrom('a', 'b', 'c', 'd'),
  });
  fc.assert(
    fc.property(fc.array(act, { maxLength: 200 }), (acts) => {
      run(acts);
    }),
    { numRuns: 500 },
  );
});

function run(acts: readonly Act[]): void {
  const present = new Map<number, string>();
  const begun = new Set<number>();
  const queue = new HandshakeQueue<number>(limits, (item) => {
    assert.ok(present.has(item) && !begun.has(item), 'begun once, while it is there');
    begun.add(item);
  });
  const of = (address: string, inFlight: boolean): number =>
    [...present].filter(([item, own]) => own === address && begun.has(item) === inFlight).length;
  for (const { enter, item, address } of acts) {
    if (enter && !present.has(item)) {
      const waiting = of(address, false);
      const all = queue.waiting;
      present.set(item, address);
      if (!queue.enter(item, address)) {
        present.delete(item);
        assert.ok(all === limits.waiting || waiting === limits.waitingPerAddress);
      }
    } else if (!enter) {
      present.delete(item);
      begun.delete(item);
      queue.leave(item);
    }
    const running = [...present.keys()].filter((one) => begun.has(one)).length;
    assert.deepEqual([queue.inFlight, queue.waiting], [running, present.size - running]);
    assert.ok(running <= limits.handshakes);
    for (const one of new Set(present.values())) {
      assert.ok(of(one, true) <= limits.handshakesPerAddress);
      assert.ok(of(one, false) <= limits.waitingPerAddress);
      const couldBegin = running < limits.handshakes && of(one, true) < limits.handshakesPerAddress;
      assert.ok(of(one, false) === 0 || !couldBegin, 'somebody waits for a place that is free');
    }
  }
}
