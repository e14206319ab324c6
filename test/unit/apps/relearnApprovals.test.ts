/** A backup is put back: roles that were taken away stay away, approvals that were used stay used. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { approvalLessons } from '../../../src/apps/store/relearnApprovals.ts';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { SqliteApprovalStore } from '../../../src/drivers/store/sqlite/approvalStore.ts';
import { SqliteDatabase } from '../../../src/drivers/store/sqlite/database.ts';
import { issuingMigrations } from '../../../src/drivers/store/sqlite/issuingTables.ts';
import { SqliteRecoveryStore } from '../../../src/drivers/store/sqlite/recoveryStore.ts';
import { encodeAuditEntry, readAuditEntry } from '../../../src/trust/audit/entry.ts';
import { EnvironmentError, isRefusal } from '../../../src/trust/ports/faults.ts';
import { reportedAct } from '../../../src/trust/status/notices.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { reopened, type TwoPersonHouse, twoPersonHouse } from '../../support/twoPersons.ts';

/** Replays everything from leaf `from` on into the database, as `store recover` does. */
async function replayed(
  context: TestContext,
  { authority, world }: TwoPersonHouse,
  path: string,
  from: number,
  certificates: readonly Uint8Array[] = [],
): Promise<SqliteApprovalStore> {
  const leaves = await authority.auditStore.leaves(from, 1_000);
  const database = new SqliteDatabase({ path, migrations: issuingMigrations });
  context.after(() => database.close());
  const known = certificates.map((der) => [toHex(nodeCrypto.hash('SHA-256', der)), der] as const);
  const lessons = leaves.flatMap((leaf) => approvalLessons(readAuditEntry(leaf), new Map(known)));
  const { nowMs } = world;
  const nobody = new Set<string>();
  const closing = encodeAuditEntry({
    kind: 'decision',
    atMs: nowMs,
    act: 'new-log',
    subject: 'log',
    detail: '',
  });
  const ending = { nowMs, roots: nobody, offline: nobody, closing };
  await new SqliteRecoveryStore(database).learn(() => lessons, ending);
  return new SqliteApprovalStore(database);
}

test('nothing that was taken away or used comes back with a backup', async (context) => {
  let house = await twoPersonHouse(context);
  const close = { batch: 'reel-7' };
  const used = await house.approved('batch.close', close);
  const open = await house.approved('batch.close', close);
  const backup = join(house.world.folder, 'backup.sqlite');
  house.authority.database.close();
  copyFileSync(house.world.path, backup);
  house = reopened(house);

  const from = await house.authority.auditStore.countLeaves();
  const approved = await house.permissions.allow('batch.close', close, used);
  assert.ok(!isRefusal(approved));
  const begun = await house.permissions.begin(approved);
  assert.ok(!isRefusal(begun));
  const gone = { name: 'kim', role: 'operator' } as const;
  const asked = await house.ask('ada', 'operator.withdraw', gone);
  assert.ok(!isRefusal(asked));
  const withdraw = await house.permissions.allow('operator.withdraw', gone, asked.id);
  assert.ok(!isRefusal(withdraw));
  assert.equal(await house.operators.changeRole(withdraw), undefined);
  const { nowMs } = house.world;
  const said = { act: reportedAct, subject: 'revoked', detail: 'one two three', atMs: nowMs };
  const entry = encodeAuditEntry({ kind: 'decision', ...said });
  assert.equal(await house.store.takeSoleChanges(3, nowMs, [entry]), true);
  const late = await house.ask('eve', 'batch.close', close);
  assert.ok(!isRefusal(late));

  const store = await replayed(context, house, backup, from);
  assert.equal(await store.soleChangesLeft(nowMs), 97);
  assert.deepEqual((await store.operators()).find(({ name }) => name === 'kim')?.roles, []);
  assert.equal((await store.request(used))?.doneMs, nowMs);
  assert.equal((await store.request(asked.id))?.doneMs, nowMs);
  for (const id of [open, late.id]) assert.equal((await store.request(id))?.expiresMs, nowMs);
});

test('two persons stay two, also for a backup of when one was enough', async (context) => {
  const house = await twoPersonHouse(context);
  const empty = (name: string): string => join(house.world.folder, `${name}.sqlite`);
  await assert.rejects(replayed(context, house, empty('none'), 0), (error: unknown) => {
    return error instanceof EnvironmentError && /--operator/.test(error.message);
  });
  const admins = (await house.store.operators()).filter(({ name }) =>
    ['ada', 'bob'].includes(name),
  );
  const kept = admins.map(({ certificate }) => certificate);
  const store = await replayed(context, house, empty('two'), 0, kept);
  assert.deepEqual(await store.mode(), await house.store.mode());
  const states = (await store.operators()).map(({ name, roles, revokedMs }) => {
    return [name, roles.map(({ role }) => role).join(), revokedMs !== undefined];
  });
  assert.deepEqual(states, [
    ['ada', 'admin', false],
    ['bob', 'admin', false],
    ['eve', 'operator', true],
    ['kim', 'operator', true],
  ]);
});
