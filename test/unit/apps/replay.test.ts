/** What a restored database learns again, in its corners: addresses, anchors of other makers, open approvals. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { type Learnt, replay } from '../../../src/apps/store/replay.ts';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { SqliteForeignStore } from '../../../src/drivers/store/sqlite/foreignStore.ts';
import { issuingMigrations } from '../../../src/drivers/store/sqlite/issuingTables.ts';
import { SqliteOrderStore } from '../../../src/drivers/store/sqlite/orderStore.ts';
import { encodeAuditEntry } from '../../../src/trust/audit/entry.ts';
import { twoPersonHouse } from '../../support/twoPersons.ts';

const base = Uint8Array.of(2, 0, 0, 1, 0, 0, 0, 0);
const sha256 = new Uint8Array(32).fill(7);

function learnt(changes: Partial<Learnt>): Learnt {
  const closing = {
    kind: 'decision',
    atMs: 1,
    act: 'new-log',
    subject: 'log',
    detail: '',
  } as const;
  return {
    nowMs: 1_000,
    leaves: [],
    authorities: new Map(),
    roots: new Set(),
    ledger: [],
    skippedAddresses: 0,
    eui64Base: base,

    lists: [],
    operators: new Map(),
    closing: encodeAuditEntry(closing),
    ...changes,
  };
}

function empty(context: TestContext): SqliteDatabase {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-replay-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return opened(context, join(folder, 'issuing.sqlite'));
}

function opened(context: TestContext, path: string): SqliteDatabase {
  const database = new SqliteDatabase({ path, migrations: issuingMigrations });
  context.after(() => database.close());
  return database;
}

test('without a ledger addresses are left out, also for a backup of before the first order', async (context) => {
  const database = empty(context);
  await database.transact((connection) => replay(connection, learnt({ skippedAddresses: 1_000 })));
  const next = await new SqliteOrderStore(database).eui64After();
  assert.deepEqual(next, Uint8Array.of(2, 0, 0, 1, 0, 0, 0x03, 0xe8));
});

test('addresses that cannot all be left out are refused, not left out in part', async (context) => {
  const database = empty(context);
  const last = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe);
  await assert.rejects(
    database.transact((connection) =>
      replay(connection, learnt({ skippedAddresses: 1_000, eui64Base: last })),
    ),
    /leave the address space/,
  );
  assert.equal(await new SqliteOrderStore(database).eui64After(), undefined);
});

test('an anchor that was retired after the backup stays retired, and a count what it became', async (context) => {
  const database = empty(context);
  const store = new SqliteForeignStore(database);
  const leaf = (product: string, count: number): Uint8Array =>
    encodeAuditEntry({
      kind: 'foreign-anchor',
      product,
      certificateSha256: sha256,
      count,
      atMs: 500,
    });
  for (const product of ['gone', 'more']) {
    const anchor = { product, certificate: Uint8Array.of(1), sha256, count: 10, pinnedMs: 1 };
    await store.pin(anchor, leaf(product, 10));
  }
  const leaves = [leaf('gone', 0), leaf('more', 20)];
  await database.transact((connection) => replay(connection, learnt({ leaves })));
  assert.deepEqual(
    (await store.anchors()).map(({ product, count, retiredMs }) => [product, count, retiredMs]),
    [
      ['gone', 10, 500],
      ['more', 20, undefined],
    ],
  );
});

test('the report counts the approvals that are void', async (context) => {
  const house = await twoPersonHouse(context);
  await house.approved('batch.close', { batch: 'reel-7' });
  house.authority.database.close();
  const database = opened(context, house.world.path);
  const nowMs = house.world.nowMs + 1;
  const report = await database.transact((connection) => replay(connection, learnt({ nowMs })));
  assert.equal(report.voidApprovals, 1);
});
