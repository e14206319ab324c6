/** Status of certificates and their lists on SQLite, and databases of before there were any. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { DatabaseSync } from 'node:sqlite';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { issuingMigrations } from '../../../src/drivers/store/sqlite/issuingTables.ts';
import { migrate } from '../../../src/drivers/store/sqlite/migrations.ts';
import { SqliteStatusStore } from '../../../src/drivers/store/sqlite/statusStore.ts';
import { isRefusal } from '../../../src/trust/ports/faults.ts';
import type { SignedList } from '../../../src/trust/ports/statusStore.ts';
import { changeOf } from '../../../src/trust/status/notices.ts';
import { concat } from '../../../src/wire/bytes/bytes.ts';
import { fromHex } from '../../../src/wire/bytes/hex.ts';
import { encodeRevokedEntry } from '../../../src/wire/crl/certificateList.ts';
import type { RevocationReason } from '../../../src/wire/crl/reason.ts';
import { startMs, World, type OpenAuthority } from '../../support/issuing/world.ts';
import { testKey } from '../../support/pki.ts';

const lists = {
  authority: 'operational',
  shards: 4,
  baseUrl: 'http://status.maker.example',
} as const;

async function open(context: TestContext) {
  const world = await World.create(context);
  const authority = world.open();
  const store = new SqliteStatusStore(authority.database);
  return { world, authority, store };
}

async function issue(authority: OpenAuthority, name: string): Promise<Uint8Array> {
  const content = { spki: testKey().spki, name };
  const [issued] = await authority.issuance.issue([{ profile: 'ldevid', content }]);
  assert.ok(issued !== undefined && !isRefusal(issued));
  return issued.serialNumber;
}

function change(
  { issuanceStore }: OpenAuthority,
  serialNumber: Uint8Array,
  code: RevocationReason,
  atMs: number = startMs,
): Promise<number> {
  return issuanceStore.revoke([changeOf(serialNumber, { code, reason: 'test', atMs })]);
}

const device = '0123456789abcdef';

test('lists are made once: a second call says how they are', async (context) => {
  const { store } = await open(context);
  assert.deepEqual(await store.createLists(lists), lists);
  assert.deepEqual(await store.createLists({ ...lists, shards: 8 }), lists);
  assert.deepEqual(await store.authorityLists(), [lists]);
  const pending = await store.pendingLists(['operational'], 0);
  assert.deepEqual(
    pending.map(({ shard, regular, revision }) => [shard, regular, revision]),
    [0, 1, 2, 3].map((shard) => [shard, true, 0]),
  );
  assert.deepEqual(await store.pendingLists(['factory'], 0), []);
});

test('an authority that was never given lists has one', async (context) => {
  const { store, authority } = await open(context);
  await change(authority, await issue(authority, device), 'unspecified');
  assert.deepEqual(await store.authorityLists(), [
    { authority: 'operational', shards: 1, baseUrl: undefined },
  ]);
});

test('what may follow what', async (context) => {
  const { store, authority } = await open(context);
  const serial = await issue(authority, device);
  const status = async (): Promise<string> => {
    const found = await store.statusOf(serial);
    assert.equal(found?.authority, 'operational');
    assert.equal(found.holder, device);
    const { status: now } = found;
    return now.kind === 'revoked' ? `${now.reason} ${now.revokedAtMs - startMs}` : now.kind;
  };
  assert.equal(await status(), 'good');
  assert.equal(await change(authority, serial, 'removeFromCRL'), 0);
  assert.equal(await change(authority, serial, 'certificateHold', startMs + 1), 1);
  assert.equal(await change(authority, serial, 'certificateHold', startMs + 2), 0);
  assert.equal(await status(), 'certificateHold 1');
  assert.equal((await authority.issuanceStore.certificatesOf(device))[0]?.held, true);
  assert.equal(await change(authority, serial, 'removeFromCRL', startMs + 3), 1);
  assert.equal(await status(), 'good');
  assert.equal(await change(authority, serial, 'certificateHold', startMs + 4), 1);
  assert.equal(await change(authority, serial, 'keyCompromise', startMs + 5), 1);
  assert.equal(await status(), 'keyCompromise 5');
  for (const code of ['certificateHold', 'removeFromCRL', 'superseded'] as const) {
    assert.equal(await change(authority, serial, code, startMs + 6), 0);
  }
  assert.equal(await status(), 'keyCompromise 5');
  const [known] = await authority.issuanceStore.certificatesOf(device);
  assert.deepEqual([known?.held, known?.revokedMs], [false, startMs + 5]);
  assert.equal(await store.statusOf(new Uint8Array(16)), undefined);
  await assert.rejects(change(authority, new Uint8Array(16), 'unspecified'), /never issued/);
});

test('entries, in pages, of the list of each serial number', async (context) => {
  const { store, authority } = await open(context);
  await store.createLists(lists);
  const serials: Uint8Array[] = [];
  for (let count = 0; count < 20; count++) serials.push(await issue(authority, device));
  for (const serial of serials) await change(authority, serial, 'superseded');
  const seen: string[] = [];
  const pending = await store.pendingLists(['operational'], 0);
  for (const { id, shard } of pending) {
    let after: number | undefined = 0;
    while (after !== undefined) {
      const page = await store.entries(id, after, 3);
      assert.ok(page.count <= 3);
      const width = encoded(serials[0]).length;
      // Serial numbers that begin with zeros or a high bit differ in length: the walk is by content.
      const expected = serials.filter((serial) => ((serial[15] ?? 0) & 3) === shard);
      for (const serial of expected) {
        const text = Buffer.from(encoded(serial)).toString('hex');
        if (Buffer.from(page.entries).toString('hex').includes(text)) seen.push(text);
      }
      assert.ok(page.entries.length >= page.count * (width - 8));
      after = page.next;
    }
  }
  assert.deepEqual(
    seen.sort(),
    serials.map((serial) => Buffer.from(encoded(serial)).toString('hex')).sort(),
  );
});

test('entries come out byte for byte, whatever would end or break a text among them', async (context) => {
  const { store, authority } = await open(context);
  const rows = [
    Uint8Array.from({ length: 256 }, (_, byte) => byte),
    Uint8Array.from({ length: 256 }, (_, byte) => 255 - byte),
    fromHex('00'),
    fromHex('0000edbfbfeda080f4908080c080fffeefbbbf00'),
  ];
  const serials: Uint8Array[] = [];
  for (const _ of rows) serials.push(await issue(authority, device));
  for (const serial of serials) await change(authority, serial, 'superseded');
  await authority.database.transact((connection) => {
    const update = connection.prepare('UPDATE list_entries SET entry = ? WHERE change = ?');
    for (const [index, bytes] of rows.entries()) update.run(bytes, index + 1);
  });
  const [list] = await store.pendingLists(['operational'], 0);
  const page = await store.entries(list?.id ?? 0, 0, 10);
  assert.deepEqual(page, { entries: concat(...rows), count: rows.length, next: undefined });
});

function encoded(serialNumber: Uint8Array | undefined): Uint8Array {
  assert.ok(serialNumber);
  return encodeRevokedEntry({ serialNumber, revokedAtMs: startMs, reason: 'superseded' });
}

function signed(id: number, fields: Partial<SignedList>): SignedList {
  return {
    id,
    revision: 0,
    number: 1,
    thisUpdateMs: startMs,
    nextUpdateMs: startMs + 10,
    nextRegularMs: undefined,
    lastChange: 0,
    count: 0,
    der: Uint8Array.of(1, 2, 3),
    entry: Uint8Array.of(0),
    ...fields,
  };
}

test('a saved list is what is published, its number grows, and the change it missed stays due', async (context) => {
  const { store, authority } = await open(context);
  await store.createLists({ ...lists, shards: 1 });
  const serial = await issue(authority, device);
  await change(authority, serial, 'superseded');
  const [pending] = await store.pendingLists(['operational'], startMs);
  assert.ok(pending);
  const { id, revision } = pending;
  assert.deepEqual([await store.takeNumber(id), await store.takeNumber(id)], [1, 2]);
  assert.equal(await store.list({ authority: 'operational', shard: 0 }), undefined);
  await change(authority, await issue(authority, device), 'superseded');
  await store.saveList(signed(id, { revision, number: 2, nextRegularMs: startMs + 100 }));
  const published = await store.list({ authority: 'operational', shard: 0 });
  assert.deepEqual(published?.der, Uint8Array.of(1, 2, 3));
  assert.deepEqual([published.number, published.publication], [2, 1]);
  const again = await store.pendingLists(['operational'], startMs + 50);
  assert.deepEqual(
    again.map((list) => [list.revision, list.regular]),
    [[2, false]],
  );
  await assert.rejects(store.saveList(signed(id, { revision: 2, number: 2 })), /not above/);
  await store.saveList(signed(id, { revision: 2, number: 3 }));
  assert.deepEqual(await store.pendingLists(['operational'], startMs + 99), []);
  const [due] = await store.pendingLists(['operational'], startMs + 100);
  assert.equal(due?.regular, true);
  assert.deepEqual(
    (await store.listsAfter(1, 10)).map(({ publication, number }) => [publication, number]),
    [[2, 3]],
  );
});

test('changes are followed by number, with their holders', async (context) => {
  const { store, authority } = await open(context);
  const [one, two] = [await issue(authority, device), await issue(authority, 'fedcba9876543210')];
  assert.equal(await store.lastChange(), 0);
  await change(authority, one, 'certificateHold');
  await change(authority, two, 'superseded');
  await change(authority, one, 'removeFromCRL');
  assert.deepEqual(await store.changesAfter(0, 10), [
    { change: 2, holder: 'fedcba9876543210' },
    { change: 3, holder: device },
  ]);
  assert.deepEqual(await store.changesAfter(3, 10), []);
  assert.equal(await store.lastChange(), 3);
});

test('a database of before there were lists: its revocations are on the first one', async (context) => {
  const world = await World.create(context);
  const authority = world.open();
  const serial = await issue(authority, device);
  await change(authority, serial, 'superseded');
  authority.database.close();
  // Back to how version 2 left it.
  const old = new DatabaseSync(world.path);
  for (const table of ['list_entries', 'signed_lists', 'lists', 'authorities']) {
    old.exec(`DROP TABLE ${table}`);
  }
  const later = issuingMigrations.length > 3;
  old.exec('PRAGMA user_version = 2');
  migrate(old, later ? issuingMigrations.slice(0, 3) : issuingMigrations);
  old.exec(`PRAGMA user_version = ${issuingMigrations.length}`);
  old.close();
  const database = new SqliteDatabase({ path: world.path, migrations: issuingMigrations });
  context.after(() => database.close());
  const store = new SqliteStatusStore(database);
  const pending = await store.pendingLists(['operational', 'root', 'factory', 'server'], 0);
  assert.deepEqual(
    new Set(pending.map(({ authority: name, shard }) => `${name} ${shard}`)),
    new Set(['operational 0', 'root 0', 'server 0']),
  );
  const list = pending.find(({ authority: name }) => name === 'operational');
  const { entries, count } = await store.entries(list?.id ?? 0, 0, 10);
  assert.equal(count, 1);
  // The reason was words only then.
  assert.deepEqual(entries, encodeRevokedEntry({ serialNumber: serial, revokedAtMs: startMs }));
  const status = await store.statusOf(serial);
  assert.deepEqual(status?.status, {
    kind: 'revoked',
    revokedAtMs: startMs,
    reason: 'unspecified',
  });
});
