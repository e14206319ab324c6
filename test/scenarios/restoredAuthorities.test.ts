/**
 * A backup of before a key was lost brings the lost authority back as active: it must sign nothing, and there
 * is a way out.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { readBook } from '../../src/apps/authority/book.ts';
import type { LossOptions } from '../../src/apps/authority/lostKeys.ts';
import { announce } from '../../src/apps/authority/rollover.ts';
import { backUp, restore } from '../../src/apps/store/backup.ts';
import { recover, releaseRecovery } from '../../src/apps/store/recover.ts';
import { begunAlone } from '../support/alone.ts';
import { replaceLost } from '../support/lostAuthority.ts';
import { Installation, passphrase } from '../support/installation.ts';

const idle = async (): Promise<void> => undefined;

function lossOf({ folder, clock }: Installation): LossOptions {
  return { dataFolder: folder, passphrase, clock, reason: 'a backup was stolen' };
}

async function compromise(installation: Installation, line: string): Promise<void> {
  const { waitsFor } = await replaceLost(lossOf(installation), line);
  assert.equal(waitsFor, undefined);
}

/** Backed up, then `meanwhile`, then restored from the backup and the newest copy of the log. */
async function restoredAfter(
  context: TestContext,
  meanwhile: (installation: Installation) => Promise<void>,
): Promise<Installation> {
  const elsewhere = mkdtempSync(join(tmpdir(), 'birthmark-elsewhere-'));
  context.after(() => rmSync(elsewhere, { recursive: true, force: true }));
  const status = { baseUrl: 'http://status.example', shards: 1 };
  const installation = await Installation.create(context, { status });
  await installation.serve(idle);
  await backUp(installation.folder, join(elsewhere, 'backup'), undefined);
  await meanwhile(installation);
  const { log } = authorityPaths(installation.folder);
  cpSync(log, join(elsewhere, 'log'), { recursive: true });
  const restored = installation.at(join(elsewhere, 'restored'));
  await restore(join(elsewhere, 'backup'), restored.folder);
  await recover({
    dataFolder: restored.folder,
    log: join(elsewhere, 'log'),
    witnesses: [],
    checkpoints: [join(log, 'checkpoint')],
    ledger: undefined,
    skippedAddresses: 10,
    lists: [],
    nowMs: Date.now(),
  });
  await releaseRecovery(
    restored.folder,
    { requestedBy: 'A', approvedBy: 'B', atMs: Date.now() },
    await begunAlone('store.release', { report: {} }),
  );
  return restored;
}

async function statesOf({ folder }: Installation): Promise<readonly string[]> {
  const book = await readBook(authorityPaths(folder));
  return book.map(({ name, state }) => `${name} ${state}`);
}

test('a lost authority that a backup brings back does not issue, and is replaced once more', async (context) => {
  const restored = await restoredAfter(context, async (installation) => {
    await compromise(installation, 'operational');
    await installation.serve(idle);
  });
  assert.ok((await statesOf(restored)).includes('operational active'));
  await assert.rejects(restored.serve(idle), /operational is revoked.*ca compromise operational/);
  // Nor does its key vouch for a next one.
  const rollover = await begunAlone('authority.announce', { role: 'operational' });
  await assert.rejects(announce(lossOf(restored), rollover), /operational is revoked/);
  await compromise(restored, 'operational');
  await restored.serve(idle);
  const states = await statesOf(restored);
  assert.ok(states.includes('operational removed'), states.join());
  assert.deepEqual((await restored.fsck()).faults, []);
});
