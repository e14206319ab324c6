/** The checker on revocations and their lists: what happened in order adds up, what was changed is found. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { deviceIdOf } from '../../support/registrySamples.ts';
import { type Issued, type OpenStatus, StatusWorld } from '../../support/status.ts';

const dayMs = 86_400_000;

interface House {
  readonly world: StatusWorld;
  readonly open: OpenStatus;
  readonly issued: readonly Issued[];
}

/** Good, revoked, held, reinstated and expired, on one list and on no other. */
async function house(context: { after(done: () => void): void }): Promise<House> {
  const world = await StatusWorld.create(context, { shards: 1 });
  const open = await world.open();
  const issued: Issued[] = [];
  for (let number = 0; number < 4; number++) {
    issued.push(await world.issue(open, deviceIdOf(number)));
  }
  const short = await world.issue(open, deviceIdOf(9), 'ldevid-short');
  const [, revoked, held, back] = issued;
  assert.ok(revoked && held && back);
  await world.change(open, short.serialNumber, 'superseded');
  await world.change(open, back.serialNumber, 'certificateHold');
  await open.lists.advance();
  world.nowMs += 8 * dayMs;
  // On one regular list behind its end, and then on none.
  await open.lists.advance();
  world.nowMs += 2 * dayMs;
  await world.change(open, revoked.serialNumber, 'keyCompromise');
  await world.change(open, held.serialNumber, 'certificateHold');
  await world.change(open, back.serialNumber, 'removeFromCRL');
  await open.lists.advance();
  return { world, open, issued };
}

const faultsIn = async ({ world }: House): Promise<readonly string[]> =>
  (await world.world.fsck()).faults;

test('what was revoked, held, taken back and expired adds up', async (context) => {
  const it = await house(context);
  const report = await it.world.world.fsck();
  assert.deepEqual(report.faults, []);
  assert.equal(report.lists, 3);
});

test('a list that is behind is no fault until its key has signed others long after', async (context) => {
  const world = await StatusWorld.create(context, { shards: 4 });
  const open = await world.open();
  const { serialNumber } = await world.issue(open, deviceIdOf(1));
  await open.lists.advance();
  await world.change(open, serialNumber, 'keyCompromise');
  const it = { world, open, issued: [] };
  assert.deepEqual(await faultsIn(it), []);
  // Somebody tells the authority that there is nothing to sign.
  const database = new DatabaseSync(world.world.path);
  const list = 'WHERE id = (SELECT list FROM list_entries)';
  database.exec(`UPDATE lists SET listed_revision = revision, due_ms = ${2 ** 52} ${list}`);
  assert.match((await faultsIn(it)).join('\n'), /revoked, and not on the list/);
  database.exec(`UPDATE lists SET revision = revision + 1 ${list}`);
  assert.deepEqual(await faultsIn(it), []);
  database.exec(`UPDATE lists SET listed_revision = revision ${list}`);
  for (let round = 0; round < 2; round++) {
    world.nowMs += 2 * dayMs;
    await open.lists.advance();
  }
  database.exec(`UPDATE lists SET revision = revision + 1 ${list}`);
  database.close();
  assert.match((await faultsIn(it)).join('\n'), /revoked, and not on the list/);
});

const ofIt = "(SELECT id FROM lists WHERE authority = 'operational')";
const firstEntry = `(SELECT min(certificate) FROM list_entries WHERE code = 1)`;

/** What somebody did to the file, and what the checker says of it. */
const tampering: ReadonlyArray<readonly [sql: string, fault: RegExp]> = [
  [`DELETE FROM list_entries WHERE certificate = ${firstEntry}`, /revoked, and of no list/],
  [`DELETE FROM list_entries WHERE certificate = ${firstEntry}`, /nothing is recorded of it/],
  [`DELETE FROM revocations WHERE id = ${firstEntry}`, /listed and not revoked/],
  [
    `UPDATE list_entries SET code = NULL, listed = 0 WHERE certificate = ${firstEntry}`,
    /revoked, and its list does not know/,
  ],
  [
    `UPDATE list_entries SET listed = 0 WHERE certificate = ${firstEntry}`,
    /taken off the list before its end/,
  ],
  [`UPDATE list_entries SET listed = 1 WHERE code = 4`, /revoked, and not on the list/],
  [`UPDATE list_entries SET code = 5 WHERE certificate = ${firstEntry}`, /another time or reason/],
  [`UPDATE list_entries SET at_ms = 0 WHERE certificate = ${firstEntry}`, /another time or reason/],
  [`UPDATE list_entries SET not_after_ms = 0 WHERE certificate = ${firstEntry}`, /another end/],
  [
    `UPDATE list_entries SET list = (SELECT id FROM lists WHERE authority = 'server')
     WHERE certificate = ${firstEntry}`,
    /issued by another key/,
  ],
  ["UPDATE authorities SET shards = 1024 WHERE name = 'operational'", /of another shard/],
  [
    `INSERT INTO list_entries
     SELECT ${ofIt}, min(id), 99, 6, 0, not_after_ms, 0, NULL FROM issuances WHERE profile = 'ldevid@1'`,
    /the log does not say so/,
  ],
  [`UPDATE signed_lists SET number = 9 WHERE list = ${ofIt}`, /number 3 was not taken/],
  [`UPDATE lists SET number = 1 WHERE id = ${ofIt}`, /number 3 was not taken/],
  [`UPDATE signed_lists SET entries = 9 WHERE list = ${ofIt}`, /not those that were recorded/],
  [`UPDATE signed_lists SET next_update_ms = 9 WHERE list = ${ofIt}`, /not those that were/],
  [`UPDATE signed_lists SET der = x'3000' WHERE list = ${ofIt}`, /list 0 of operational: der/],
  [
    `UPDATE signed_lists SET der = (SELECT der FROM signed_lists WHERE list <> ${ofIt} LIMIT 1)
     WHERE list = ${ofIt}`,
    /signature is not that of the operational authority/,
  ],
  [
    `DELETE FROM audit_leaves WHERE id = (SELECT max(id) FROM audit_leaves)`,
    /is not what was logged last/,
  ],
];

test('what was changed behind the program’s back is found', async (context) => {
  const it = await house(context);
  const { path } = it.world.world;
  it.open.authority.database.close();
  const whole = readFileSync(path);
  for (const [sql, fault] of tampering) {
    const database = new DatabaseSync(path, { enableForeignKeyConstraints: false });
    database.exec('PRAGMA ignore_check_constraints = ON');
    database.exec(sql);
    database.close();
    assert.match((await faultsIn(it)).join('\n'), fault, sql);
    writeFileSync(path, whole);
  }
  assert.deepEqual(await faultsIn(it), []);
});
