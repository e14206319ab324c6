/** Orders about everything that has something in common, here and at the authority. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRefusal, type Refusal, refuse } from '../../../src/trust/ports/faults.ts';
import type { AuthorityNotice } from '../../../src/trust/ports/registryStore.ts';
import type {
  StatusOrder,
  StatusScope,
  StatusStep,
} from '../../../src/trust/ports/statusOrders.ts';
import type { UnitSelection } from '../../../src/trust/ports/statusStore.ts';
import { Registry } from '../../../src/trust/registry/registry.ts';
import { Revocation } from '../../../src/trust/revocation/revocation.ts';
import { parseFingerprint, StatusOrders } from '../../../src/trust/revocation/statusOrders.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { MemoryRegistryStore } from '../../support/memoryRegistryStore.ts';
import { deviceIdOf, importedDevice, sha256Of } from '../../support/registrySamples.ts';

const clock = { nowMs: () => 1000 };
const elsewhere = 'zzzzzzzzzzzzzzzz';

async function setUp(
  pages: Readonly<Record<string, ReadonlyArray<readonly string[]>>> = {},
  { waiting = [], refused }: { waiting?: readonly number[]; refused?: Refusal<string> } = {},
) {
  const ordered: string[] = [];
  const store = new MemoryRegistryStore();
  await store.importDevices(
    [1, 2, 3, 4].map((n) => importedDevice(n)),
    1,
  );
  const station = { kind: 'station', holder: 'line-7', notAfterMs: undefined } as const;
  await store.addCertificate({ ...station, sha256: sha256Of('line-7') }, 1);
  await store.addCertificate({ ...station, sha256: sha256Of('line-7 again') }, 1);
  const dropped: string[] = [];
  const told: AuthorityNotice[] = [];
  const asked: UnitSelection[] = [];
  const revocation = new Revocation({
    store,
    clock,
    monotonicMs: () => 0,
    live: [
      {
        name: 'tls',
        drop: async (holders) => {
          dropped.push(...holders);
          return holders.size;
        },
        dropCertificate: async (_sha256, holder) => {
          dropped.push(`certificate of ${holder}`);
          return 1;
        },
      },
    ],
  });
  const orders = new StatusOrders({
    store,
    registry: new Registry(store, clock),
    revocation,
    selection: {
      devicesOf: async (selection, after) => {
        asked.push(selection);
        const all = pages[selection.by] ?? [];
        const index = Number(after ?? 0);
        const next = index + 1 < all.length ? String(index + 1) : undefined;
        return { deviceIds: all[index] ?? [], next };
      },
      isKnown: async (selection) => pages[selection.by] !== undefined,
    },
    authority: {
      recordRevocations: async (notices) => {
        told.push(...notices);
        return waiting;
      },
      recordOrdered: async (notices) => {
        ordered.push(...notices.map(({ subject }) => subject));
        return refused;
      },
    },
    clock,
  });
  return { store, orders, dropped, told, asked, ordered };
}

function order(scope: StatusScope, changes: Partial<StatusOrder> = {}): StatusOrder {
  return { act: 'revoke', scope, code: 'keyCompromise', reason: 'test', dryRun: false, ...changes };
}

/** All steps together. */
async function carryOut(orders: StatusOrders, wanted: StatusOrder): Promise<StatusStep> {
  let after: string | undefined;
  let total: StatusStep | undefined;
  do {
    const step: StatusStep | Refusal<string> = await orders.step(wanted, after);
    assert.ok(!isRefusal(step));
    after = step.next;
    total =
      total === undefined
        ? step
        : {
            devices: total.devices + step.devices,
            changed: total.changed + step.changed,
            certificates: total.certificates + step.certificates,
            notHere: total.notHere + step.notHere,
            ended: total.ended + step.ended,
            next: step.next,
          };
  } while (after !== undefined);
  return total;
}

test('a batch: what is here is ended, what never came here is told to the authority', async () => {
  const { orders, store, dropped, told } = await setUp({
    batch: [[deviceIdOf(1), elsewhere], [deviceIdOf(2)]],
  });
  const wanted = order({ by: 'batch', name: 'reel-7' });
  const dry = await carryOut(orders, { ...wanted, dryRun: true });
  assert.deepEqual(dry, {
    devices: 3,
    changed: 2,
    certificates: 2,
    notHere: 1,
    ended: 0,
    next: undefined,
  });
  assert.equal((await store.device(deviceIdOf(1)))?.state, 'released');
  assert.deepEqual([dropped, told, await store.pendingNotices(9)], [[], [], []]);
  const done = await carryOut(orders, wanted);
  assert.deepEqual(done, { ...dry, ended: 2 });
  assert.equal((await store.device(deviceIdOf(1)))?.state, 'revoked');
  assert.equal((await store.device(deviceIdOf(3)))?.state, 'released');
  assert.deepEqual(dropped, [deviceIdOf(1), deviceIdOf(2)]);
  assert.deepEqual(
    told.map(({ subject, code, act }) => [subject, code, act]),
    [[elsewhere, 'keyCompromise', 'revoke-device']],
  );
  assert.deepEqual(
    (await store.pendingNotices(9)).map(({ holder, code }) => [holder, code]),
    [
      [deviceIdOf(1), 'keyCompromise'],
      [deviceIdOf(2), 'keyCompromise'],
    ],
  );
  // Ordered again it changes nothing more.
  assert.equal((await carryOut(orders, wanted)).changed, 0);
});

test('a product: the registry first, then what only the authority knows', async () => {
  const { product } = importedDevice(1).identity;
  const { orders, told, asked } = await setUp({
    product: [[deviceIdOf(1), elsewhere]],
  });
  const done = await carryOut(orders, order({ by: 'product', name: product }, { act: 'hold' }));
  assert.deepEqual([done.devices, done.changed, done.notHere], [5, 4, 1]);
  assert.deepEqual(asked, [{ by: 'product', name: product }]);
  assert.deepEqual(
    told.map(({ subject, code }) => [subject, code]),
    [[elsewhere, 'certificateHold']],
  );
  const back = await carryOut(
    orders,
    order({ by: 'product', name: product }, { act: 'reinstate' }),
  );
  assert.equal(back.changed, 4);
  assert.equal(told.at(-1)?.code, 'removeFromCRL');
});

test('a family is asked of both, a firmware of the authority, which alone knows it', async () => {
  const { family } = importedDevice(1).identity;
  const { orders, asked } = await setUp({ family: [[deviceIdOf(2)]] });
  const scope = { by: 'family', name: family, firmware: undefined } as const;
  assert.equal((await carryOut(orders, order(scope, { dryRun: true }))).devices, 4);
  const old = { ...scope, firmware: '1.0' };
  assert.equal((await carryOut(orders, order(old, { dryRun: true }))).devices, 1);
  assert.deepEqual(asked, [scope, old]);
});

test('a station: its certificates, and what it made when asked to', async () => {
  const { orders, store, dropped } = await setUp({ station: [[deviceIdOf(4)]] });
  const alone = await carryOut(
    orders,
    order({ by: 'station', name: 'line-7', withDevices: false }, { act: 'hold' }),
  );
  assert.deepEqual([alone.certificates, alone.changed, alone.devices], [2, 2, 0]);
  assert.equal((await store.certificate(sha256Of('line-7')))?.state, 'held');
  assert.deepEqual(dropped, ['certificate of line-7', 'certificate of line-7']);
  const all = await carryOut(orders, order({ by: 'station', name: 'line-7', withDevices: true }));
  assert.deepEqual([all.certificates, all.changed, all.devices], [3, 3, 1]);
  assert.equal((await store.device(deviceIdOf(4)))?.state, 'revoked');
  // What is revoked cannot be reinstated: passed over.
  const back = await carryOut(
    orders,
    order({ by: 'station', name: 'line-7', withDevices: false }, { act: 'reinstate' }),
  );
  assert.equal(back.certificates, 0);
  const scope = { by: 'station', name: 'line-7', withDevices: false } as const;
  const counted = await carryOut(orders, order(scope, { act: 'reinstate', dryRun: true }));
  assert.deepEqual(counted, back);
});

test('devices and certificates by name; one that is not known stops the order', async () => {
  const { orders, store } = await setUp();
  const named = order({ by: 'device', deviceIds: [deviceIdOf(1), deviceIdOf(1)] });
  assert.equal((await carryOut(orders, named)).changed, 1);
  const wrong = await orders.step(
    order({ by: 'device', deviceIds: [deviceIdOf(2), elsewhere] }),
    undefined,
  );
  assert.ok(isRefusal(wrong) && wrong.refused === 'unknown-device');
  assert.equal((await store.device(deviceIdOf(2)))?.state, 'released');
  const sha256 = sha256Of('line-7');
  const one = (act: StatusOrder['act'], dryRun = false) =>
    orders.step(order({ by: 'certificate', sha256 }, { act, dryRun }), undefined);
  const dry = await one('revoke', true);
  assert.ok(!isRefusal(dry) && dry.changed === 1);
  assert.equal((await store.certificate(sha256))?.state, 'active');
  for (const act of ['hold', 'reinstate', 'revoke'] as const) {
    const done = await one(act);
    assert.ok(!isRefusal(done) && done.changed === 1);
  }
  for (const act of ['reinstate', 'hold'] as const) {
    const [counted, forbidden] = [await one(act, true), await one(act)];
    assert.ok(isRefusal(forbidden) && forbidden.refused === 'forbidden');
    assert.deepEqual(counted, forbidden, 'what is final is so in a dry run, too');
  }
  const unknown = await orders.step(
    order({ by: 'certificate', sha256: sha256Of('nobody') }),
    undefined,
  );
  assert.ok(isRefusal(unknown) && unknown.refused === 'unknown-certificate');
});

test('a name that nobody knows is refused, counted or done; one with nothing left to do is not', async () => {
  const unknown: readonly StatusScope[] = [
    { by: 'batch', name: 'nob' },
    { by: 'product', name: 'nob' },
    { by: 'station', name: 'nob', withDevices: false },
    { by: 'family', name: 'nob', firmware: undefined },
    { by: 'family', name: importedDevice(1).identity.family, firmware: '9.9' },
  ];
  const { orders } = await setUp();
  for (const scope of unknown) {
    for (const dryRun of [true, false]) {
      const step = await orders.step(order(scope, { dryRun }), undefined);
      assert.equal(isRefusal(step) && step.refused, 'unknown-name', scope.by);
    }
  }
  // Known to the authority alone, which made nothing of it yet.
  const { orders: others } = await setUp({ batch: [], product: [], station: [], family: [] });
  for (const scope of unknown) assert.equal((await carryOut(others, order(scope))).changed, 0);
});

test('a step that nobody said', async () => {
  const { orders } = await setUp();
  const odd = await orders.step(order({ by: 'batch', name: 'x' }), 'q:1');
  assert.ok(isRefusal(odd) && odd.refused === 'malformed');
});

test('fingerprints as people write them', () => {
  const hex = toHex(sha256Of('x'));
  const colons = (hex.match(/../g) ?? []).join(':').toUpperCase();
  assert.deepEqual(parseFingerprint(colons), sha256Of('x'));
  assert.deepEqual(parseFingerprint(hex), sha256Of('x'));
  for (const text of ['', 'zz', hex.slice(2), `${hex}00`]) {
    assert.equal(parseFingerprint(text), undefined);
  }
});

test('under an approval the authority changes first, and what it refuses changes nothing here', async () => {
  const batch = [[deviceIdOf(1), elsewhere]];
  const wanted = order({ by: 'batch', name: 'reel-7' });
  const approval = sha256Of('approved');
  const allowed = await setUp({ batch });
  assert.ok(!isRefusal(await allowed.orders.step(wanted, undefined, approval)));
  assert.deepEqual(allowed.ordered, [deviceIdOf(1), elsewhere]);
  assert.deepEqual(allowed.told, [], 'what was ordered is not reported as well');
  assert.equal((await allowed.store.device(deviceIdOf(1)))?.state, 'revoked');
  const forbidden = await setUp({ batch }, { refused: refuse('not-ordered', 'another batch') });
  const step = await forbidden.orders.step(wanted, undefined, approval);
  assert.equal(isRefusal(step) && step.refused, 'not-ordered');
  assert.equal((await forbidden.store.device(deviceIdOf(1)))?.state, 'released');
});

test('an element that never came here and waits at the authority is no success', async () => {
  const { orders } = await setUp({ batch: [[elsewhere]] }, { waiting: [0] });
  const step = await orders.step(order({ by: 'batch', name: 'reel-7' }), undefined);
  assert.equal(isRefusal(step) && step.refused, 'approval-needed');
});
