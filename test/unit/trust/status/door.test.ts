/** What stands at the door follows the authority: lists, answers, and an authority that went back in time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EnvironmentError } from '../../../../src/trust/ports/faults.ts';
import type { NewsCursor, StatusNews } from '../../../../src/trust/ports/statusAuthority.ts';
import type { ListName } from '../../../../src/trust/ports/statusStore.ts';
import { Answers } from '../../../../src/trust/status/answers.ts';
import { StatusDesk } from '../../../../src/trust/status/desk.ts';
import { StatusFollower } from '../../../../src/trust/status/follower.ts';
import { PublishedLists } from '../../../../src/trust/status/publishedLists.ts';
import { toBase64 } from '../../../../src/wire/bytes/base64.ts';
import { encodeOcspRequest } from '../../../../src/wire/ocsp/request.ts';
import { TestStation, testElement, unitRequest } from '../../../support/issuing/station.ts';
import { type OpenStatus, shardOf4, StatusWorld } from '../../../support/status.ts';

const device = '0123456789abcdef';

async function setUp(context: { after(done: () => void): void }) {
  const world = await StatusWorld.create(context);
  const open = await world.open();
  const desk = new StatusDesk(open.store, open.responder);
  let away = false;
  const fetched: string[] = [];
  const reach = (): void => {
    if (away) throw new EnvironmentError('away', { retryable: true });
  };
  const authority = {
    ocsp: async (name: string, request: Uint8Array) => {
      reach();
      return desk.ocsp(name, request);
    },
    list: async (name: ListName) => {
      reach();
      fetched.push(`${name.authority} ${name.shard}`);
      return desk.list(name);
    },
    statusNews: async (cursor: NewsCursor | undefined) => {
      reach();
      return desk.statusNews(cursor);
    },
  };
  const answers = new Answers({ authority, clock: world.world.clock });
  const lists = new PublishedLists(authority);
  const follower = new StatusFollower({ authority, answers, lists });
  const setAway = (value: boolean): void => {
    away = value;
  };
  return { world, open, answers, lists, follower, fetched, setAway };
}

test('a list is fetched once, again when a newer one is out, and serves on while the authority is away', async (context) => {
  const { world, open, lists, follower, fetched, setAway } = await setUp(context);
  await open.lists.advance();
  await follower.advance();
  const { serialNumber } = await world.issue(open, device);
  const name = { authority: 'operational', shard: shardOf4(serialNumber) };
  const [first, same] = await Promise.all([lists.list(name), lists.list(name)]);
  assert.equal(await lists.list(name), first);
  assert.equal(same, first);
  assert.equal(fetched.length, 1);
  world.nowMs += 5_000;
  await world.change(open, serialNumber, 'superseded');
  await open.lists.advance();
  assert.equal(await lists.list(name), first);
  setAway(true);
  await assert.rejects(follower.advance(), { name: 'EnvironmentError' });
  setAway(false);
  await follower.advance();
  setAway(true);
  assert.equal(await lists.list(name), first);
  const other = { ...name, shard: name.shard ^ 1 };
  await assert.rejects(lists.list(other), { name: 'EnvironmentError' });
  setAway(false);
  const second = await lists.list(name);
  assert.equal(second?.thisUpdateMs, world.nowMs);
  assert.equal(await lists.list({ authority: 'operational', shard: 99 }), undefined);
  assert.equal(await lists.list({ authority: 'nobody', shard: 0 }), undefined);
});

test('a revocation at the authority alone drops the answer at the next round', async (context) => {
  const { world, open, answers, follower } = await setUp(context);
  await follower.advance();
  const { serialNumber } = await world.issue(open, device);
  const request = toBase64(encodeOcspRequest(world.certId('operational', serialNumber, 'SHA-256')));
  const asked = await answers.answer('operational', request);
  assert.ok(typeof asked !== 'string');
  await world.change(open, serialNumber, 'cessationOfOperation');
  assert.equal(answers.kept('operational', request)?.answer, asked.answer);
  await follower.advance();
  assert.equal(answers.kept('operational', request), undefined);
});

test('news come in pages, and an authority that went back makes everything old', async () => {
  const pages: StatusNews[] = [
    { cursor: { change: 5, publication: 5 }, holders: [], lists: [], more: false },
    {
      cursor: { change: 7, publication: 5 },
      holders: ['a'],
      lists: [{ authority: 'x', shard: 1 }],
      more: true,
    },
    { cursor: { change: 8, publication: 6 }, holders: ['b'], lists: [], more: false },
    { cursor: { change: 2, publication: 2 }, holders: [], lists: [], more: false },
    { cursor: { change: 2, publication: 2 }, holders: [], lists: [], more: false },
  ];
  const cursors: Array<NewsCursor | undefined> = [];
  const forgotten: string[] = [];
  let replacedAll = 0;
  const follower = new StatusFollower({
    authority: {
      statusNews: async (cursor) => {
        cursors.push(cursor);
        const page = pages.shift();
        assert.ok(page);
        return page;
      },
    },
    answers: Object.assign(
      new Answers({
        authority: { ocsp: async () => 'tryLater' },
        clock: { nowMs: () => 0 },
      }),
      {
        forget: (holders: ReadonlySet<string>) => forgotten.push(...holders),
        forgetAll: () => forgotten.push('all'),
      },
    ),
    lists: Object.assign(new PublishedLists({ list: async () => undefined }), {
      replacedAll: () => {
        replacedAll += 1;
      },
    }),
  });
  await follower.advance();
  await follower.advance();
  assert.deepEqual(forgotten, ['all', 'a', 'b']);
  await follower.advance();
  assert.deepEqual(forgotten, ['all', 'a', 'b', 'all', 'all']);
  assert.equal(replacedAll, 3);
  assert.deepEqual(
    cursors.map((cursor) => cursor?.change),
    [undefined, 5, 7, 8, undefined],
  );
});

test('selections: by batch, product, station and family with firmware, in pages', async (context) => {
  const { world, open } = await setUp(context);
  const all = async (selection: Parameters<typeof open.store.devicesOf>[0]) => {
    const found: string[] = [];
    let after: string | undefined;
    do {
      const page = await open.store.devicesOf(selection, after, 3);
      found.push(...page.deviceIds);
      after = page.next;
    } while (after !== undefined);
    return found;
  };
  const { devices } = await bearDevices(world, open);
  const [one, two] = devices;
  assert.deepEqual(await all({ by: 'batch', name: 'order-1' }), one);
  assert.deepEqual(await all({ by: 'batch', name: 'order-2' }), two);
  assert.deepEqual(await all({ by: 'batch', name: 'order-3' }), []);
  const both = [...(one ?? []), ...(two ?? [])];
  assert.deepEqual(await all({ by: 'product', name: 'sensor' }), both);
  assert.deepEqual(await all({ by: 'family', name: 'software', firmware: undefined }), both);
  assert.deepEqual(await all({ by: 'family', name: 'software', firmware: '1.0' }), both);
  assert.deepEqual(await all({ by: 'family', name: 'software', firmware: '9.9' }), []);
  assert.deepEqual(await all({ by: 'station', name: 'station-2' }), two);
  assert.deepEqual(await all({ by: 'station', name: 'nobody' }), []);
  await assert.rejects(open.store.devicesOf({ by: 'batch', name: 'order-1' }, 'x', 3), TypeError);
});

/** Seven devices under one order and station, two under another. */
async function bearDevices(
  { world }: StatusWorld,
  { authority }: OpenStatus,
): Promise<{ readonly devices: ReadonlyArray<readonly string[]> }> {
  const devices: string[][] = [];
  for (const [number, count] of [
    [1, 7],
    [2, 2],
  ] as const) {
    const station = new TestStation(authority.line, world.keys.order, new Uint8Array(0));
    const ticket = await world.ticket(authority, station.signer, count, `order-${number}`);
    const { publicKeySpki: spki } = station.signer;
    const content = { spki, name: `station-${number}` };
    await authority.issuance.issue([{ profile: 'station', content }]);
    const working = new TestStation(
      authority.line,
      world.keys.order,
      ticket.signed,
      station.signer,
    );
    const opening = await working.open();
    const units = [];
    for (let unit = 0; unit < count; unit++) {
      units.push(await unitRequest(testElement(`uid-${number}-${unit}`), opening));
    }
    const answers = await working.endorse(units);
    devices.push(answers.flatMap((answer) => ('deviceId' in answer ? [answer.deviceId] : [])));
    assert.equal(devices.at(-1)?.length, count);
  }
  return { devices };
}
