/**
 * Lists under crashes, a failing store and a full disk. After each the same must hold: numbers only grow
 * and none is on two lists, a published list never loses somebody who is revoked, and once everything
 * works again the lists show exactly what the authority knows, and the checker agrees.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { seededRandom } from '../../sim/radio/random.ts';
import { EnvironmentError } from '../../src/trust/ports/faults.ts';
import type { SignedList, StatusStore } from '../../src/trust/ports/statusStore.ts';
import type { RevocationReason } from '../../src/wire/crl/reason.ts';
import { toHex } from '../../src/wire/bytes/hex.ts';
import { entriesOf, type OpenStatus, published, shardOf4, StatusWorld } from '../support/status.ts';
import { firstSeed, isNightly } from '../support/nightly.ts';

const device = '0123456789abcdef';
const hourMs = 3_600_000;

/** Where a call fails, and whether its write happened all the same. */
const faults = [
  'failTakeNumberAndNotPersist',
  'failTakeNumberAndPersist',
  'failSaveListAndNotPersist',
  'failSaveListAndPersist',
  'failEntries',
] as const;

type Fault = (typeof faults)[number];

class FaultyStore {
  next: Fault | undefined;
  /** Every number with the bytes that were stored under it. */
  readonly saved = new Map<string, string>();

  wrap(store: StatusStore): StatusStore {
    const failing = async <Value>(
      point: 'TakeNumber' | 'SaveList' | 'Entries',
      call: () => Promise<Value>,
    ): Promise<Value> => {
      const fault = this.next;
      if (fault?.startsWith(`fail${point}`) !== true) return call();
      this.next = undefined;
      if (fault.endsWith('AndPersist')) await call();
      throw new EnvironmentError(fault, { retryable: true });
    };
    const wrapped: Partial<StatusStore> = {
      takeNumber: (id) => failing('TakeNumber', () => store.takeNumber(id)),
      entries: (id, after, limit) => failing('Entries', () => store.entries(id, after, limit)),
      saveList: (list) =>
        failing('SaveList', () => {
          this.#note(list);
          return store.saveList(list);
        }),
    };
    return new Proxy(store, {
      get: (target, name) => {
        const own: unknown = Reflect.get(wrapped, name);
        if (own !== undefined) return own;
        const member: unknown = Reflect.get(target, name);
        const bound: unknown = typeof member === 'function' ? member.bind(target) : member;
        return bound;
      },
    });
  }

  #note({ id, number, der }: SignedList): void {
    const key = `${id} ${number}`;
    assert.ok(!this.saved.has(key), `number ${key} is on two lists`);
    this.saved.set(key, toHex(der).slice(0, 64));
  }
}

async function create(context: TestContext) {
  const store = new FaultyStore();
  const world = await StatusWorld.create(context, { store: (real) => store.wrap(real) });
  return { store, world, open: await world.open() };
}

/** What all lists of the authority say, and their numbers. */
async function everything(
  open: OpenStatus,
): Promise<{ readonly numbers: readonly number[]; readonly entries: readonly string[] }> {
  const lists = [];
  for (const shard of [0, 1, 2, 3]) lists.push(await published(open, shard));
  return {
    numbers: lists.map(({ number }) => number),
    entries: lists.flatMap(entriesOf).sort((left, right) => (left < right ? -1 : 1)),
  };
}

for (const fault of faults) {
  for (const crash of [false, true]) {
    test(`${fault}, ${crash ? 'then a crash' : 'then it goes on'}`, async (context) => {
      const { store, world, open } = await create(context);
      await open.lists.advance();
      const one = await world.issue(open, device);
      await world.change(open, one.serialNumber, 'keyCompromise');
      const before = await everything(open);
      store.next = fault;
      await assert.rejects(open.lists.advance(), { name: 'EnvironmentError', message: fault });
      const now = crash ? await world.open() : open;
      const between = await everything(now);
      // A list that got through although nobody heard of it counts; else the old one stays.
      const through = fault === 'failSaveListAndPersist';
      assert.deepEqual(between.entries.length, through ? 1 : 0);
      assert.deepEqual((await world.world.fsck()).faults, []);
      world.nowMs += 1_000;
      assert.equal(await now.lists.advance(), through ? 0 : 1);
      const after = await everything(now);
      assert.deepEqual(after.entries, [`${toHex(one.serialNumber)} keyCompromise`]);
      const shard = shardOf4(one.serialNumber);
      assert.ok((after.numbers[shard] ?? 0) > (before.numbers[shard] ?? 0));
      assert.deepEqual((await world.world.fsck()).faults, []);
    });
  }
}

/** Enough to fill up what is free within pages. */
const certificates = 200;

test('a full disk: the revocation is refused, the lists stay, and it goes on by itself', async (context) => {
  const world = await StatusWorld.create(context, { shards: 1 });
  const open = await world.open();
  const issued = [];
  for (let count = 0; count < certificates; count++) issued.push(await world.issue(open, device));
  const [first, ...others] = issued;
  assert.ok(first);
  await world.change(open, first.serialNumber, 'superseded');
  await open.lists.advance();
  const pages = (limit: number): void => {
    open.authority.database.prepare(`PRAGMA max_page_count = ${limit}`).run();
  };
  const { page_count: used } = open.authority.database.prepare('PRAGMA page_count').get() ?? {};
  assert.ok(typeof used === 'number');
  pages(used);
  let refused: unknown;
  let changed = 0;
  for (const { serialNumber } of others) {
    try {
      await world.change(open, serialNumber, 'superseded');
      changed += 1;
    } catch (error) {
      refused = error;
      break;
    }
  }
  assert.ok(refused instanceof EnvironmentError && refused.retryable, String(refused));
  assert.match(refused.message, /disk is full/);
  const before = await open.store.list({ authority: 'operational', shard: 0 });
  world.nowMs += 25 * hourMs;
  // Whether a list still fits is a matter of pages; that the old one is there until then is not.
  await open.lists.advance().catch((error: unknown) => {
    assert.ok(error instanceof EnvironmentError);
  });
  const between = await open.store.list({ authority: 'operational', shard: 0 });
  assert.ok(before !== undefined && between !== undefined && between.number >= before.number);
  pages(1_000_000);
  await open.lists.advance();
  assert.equal(entriesOf(await published(open, 0)).length, changed + 1);
  for (const { serialNumber } of others) await world.change(open, serialNumber, 'superseded');
  await open.lists.advance();
  assert.equal(entriesOf(await published(open, 0)).length, certificates);
});

test(`random acts, faults and crashes, ${isNightly ? 400 : 12} seeds`, async (context) => {
  for (let seed = firstSeed; seed < firstSeed + (isNightly ? 400 : 12); seed++) {
    await schedule(context, seed);
  }
});

async function schedule(context: TestContext, seed: number): Promise<void> {
  const random = seededRandom(seed);
  const { store, world, open: first } = await create(context);
  let open = first;
  await open.lists.advance();
  const serials: Uint8Array[] = [];
  const known = new Map<string, RevocationReason>();
  let numbers = (await everything(open)).numbers;
  for (let step = 0; step < 40; step++) {
    world.nowMs += random.below(3 * hourMs);
    const act = random.below(10);
    if (act < 3) serials.push((await world.issue(open, device)).serialNumber);
    const serial = serials[random.below(Math.max(1, serials.length))];
    if (act >= 3 && act < 7 && serial !== undefined) {
      const codes = ['superseded', 'certificateHold', 'removeFromCRL'] as const;
      const code = codes[random.below(3)] ?? 'superseded';
      if (await world.change(open, serial, code)) {
        if (code === 'removeFromCRL') known.delete(toHex(serial));
        else known.set(toHex(serial), code);
      }
    }
    store.next = random.below(3) === 0 ? faults[random.below(faults.length)] : undefined;
    if (act >= 5) await open.lists.advance().catch(() => undefined);
    store.next = undefined;
    if (act === 9) open = await world.open();
    const now = await everything(open);
    for (const [shard, number] of now.numbers.entries()) {
      assert.ok(number >= (numbers[shard] ?? 0), `seed ${seed}: a number went back`);
    }
    numbers = now.numbers;
  }
  await open.lists.advance();
  const { entries } = await everything(open);
  assert.deepEqual((await world.world.fsck()).faults, [], `seed ${seed}`);
  const expected = [...known].map(([serial, code]) => `${serial} ${code}`);
  assert.deepEqual(
    entries,
    expected.sort((left, right) => (left < right ? -1 : 1)),
    `seed ${seed}`,
  );
}
