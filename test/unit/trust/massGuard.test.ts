/** Orders about more devices than one person may change: asked for at every step, ended with the last. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal, type Refusal, refuse } from '../../../src/trust/ports/faults.ts';
import type { StatusOrder, StatusStep } from '../../../src/trust/ports/statusOrders.ts';
import { MassGuard } from '../../../src/trust/revocation/massGuard.ts';

const order: StatusOrder = {
  act: 'revoke',
  scope: { by: 'product', name: 'sensor' },
  code: 'keyCompromise',
  reason: 'recalled',
  dryRun: false,
};
const approval = new Uint8Array(32).fill(1);

/** Three steps of two devices. */
function house(left: number | undefined, answer?: Refusal<string>) {
  const done: string[] = [];
  const asked: Array<readonly [approval: Uint8Array | undefined, done: boolean]> = [];
  const guard = new MassGuard({
    turns: { take: (act) => act(left) },
    orders: {
      step: async ({ dryRun }, after, id): Promise<StatusStep> => {
        const at = Number(after ?? 0);
        if (!dryRun) done.push(id === undefined ? `step ${at}` : `approved step ${at}`);
        const next = at < 2 ? String(at + 1) : undefined;
        return { devices: 2, changed: 2, certificates: 2, notHere: 0, ended: 0, next };
      },
    },
    authority: {
      soleChangesLeft: async () => left,
      permitStatusOrder: async (_order, id, isDone) => {
        asked.push([id, isDone]);
        return answer;
      },
    },
  });
  const carryOut = async (id: Uint8Array | undefined): Promise<string> => {
    let after: string | undefined;
    do {
      const step = await guard.step(order, after, id);
      if (isRefusal(step)) return step.refused;
      after = step.next;
    } while (after !== undefined);
    return 'done';
  };
  return { guard, carryOut, done, asked };
}

test('one person is enough for as many as the limit says, and where there is none', async () => {
  for (const limit of [undefined, 6, 1_000]) {
    const { carryOut, done, asked } = house(limit);
    assert.equal(await carryOut(undefined), 'done');
    assert.deepEqual([done.length, asked], [3, []]);
  }
});

test('beyond it every step is permitted, and the last one ends the approval', async () => {
  const { carryOut, done, asked } = house(5);
  assert.equal(await carryOut(approval), 'done');
  assert.deepEqual(done, ['approved step 0', 'approved step 1', 'approved step 2']);
  assert.deepEqual(
    asked.map(([id, isDone]) => [id === approval, isDone]),
    [
      [true, false],
      [true, false],
      [true, false],
      [true, true],
    ],
  );
});

test('what is not permitted changes nothing, wherever the order is taken up', async () => {
  const { guard, carryOut, done } = house(3, refuse('approval-needed', 'two persons'));
  assert.equal(await carryOut(undefined), 'approval-needed');
  const middle = await guard.step(order, '1', undefined);
  assert.ok(isRefusal(middle));
  assert.deepEqual(done, []);
  const dry = await guard.step({ ...order, dryRun: true }, undefined, undefined);
  assert.ok(!isRefusal(dry), 'counting is free');
});

test('an approval that was given is used to the end, however little is left of its order', async () => {
  const { guard, asked } = house(5);
  const last = await guard.step(order, '2', approval);
  assert.ok(!isRefusal(last));
  assert.deepEqual(
    asked.map(([, isDone]) => isDone),
    [false, true],
  );
});

test('a certificate that is named is one of somebody', async () => {
  const { guard, done } = house(2, refuse('approval-needed', 'two persons'));
  const scope = { by: 'certificate', sha256: approval } as const;
  assert.ok(isRefusal(await guard.step({ ...order, scope }, '2', undefined)));
  assert.deepEqual(done, []);
});
