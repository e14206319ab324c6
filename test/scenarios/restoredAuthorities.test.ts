/**
 * A backup of before a key was lost brings the lost authority back as active: it must sign nothing, and there
 * is a way out.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { authorityPaths, readCertificateFile } from '../../src/apps/authority/authorityFolder.ts';
import { readBook } from '../../src/apps/authority/book.ts';
import { withCasesAtRest } from '../../src/apps/authority/caseOffice.ts';
import type { LossOptions } from '../../src/apps/authority/lostKeys.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { announce } from '../../src/apps/authority/rollover.ts';
import { backUp, restore } from '../../src/apps/store/backup.ts';
import { recover, releaseRecovery } from '../../src/apps/store/recover.ts';
import { serialMagnitude } from '../../src/trust/issuance/certification.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { changeOf } from '../../src/trust/status/notices.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { begunAlone } from '../support/alone.ts';
import { replaceLost, replaceLostLog } from '../support/lostAuthority.ts';
import { Installation, passphrase } from '../support/installation.ts';
import { pki } from '../support/peers.ts';
import { testKey, testRequest } from '../support/pki.ts';

const idle = async (): Promise<void> => undefined;

function lossOf({ folder, clock }: Installation): LossOptions {
  return { dataFolder: folder, passphrase, clock, reason: 'a backup was stolen' };
}

async function compromise(installation: Installation, line: string): Promise<void> {
  const { waitsFor } = await replaceLost(lossOf(installation), line);
  assert.equal(waitsFor, undefined);
}

interface Restoring {
  readonly authorities?: readonly Uint8Array[];
  readonly logKey?: (installation: Installation) => string;
  readonly until?: 'ready' | 'released';
}

/** Backed up, then `meanwhile`, then restored from the backup and the newest copy of the log. */
async function restoredAfter(
  context: TestContext,
  meanwhile: (installation: Installation) => Promise<void>,
  { until = 'released', logKey, ...more }: Restoring = {},
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
    logKey: logKey?.(installation),
    ...more,
  });
  if (until === 'ready') return restored;
  await releaseRecovery(
    { dataFolder: restored.folder },
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
    await withCasesAtRest(lossOf(installation), (desk) => desk.closeCase('operational', 1));
    await installation.serve(idle);
  });
  assert.ok((await statesOf(restored)).includes('operational active'));
  await assert.rejects(restored.serve(idle), /operational is lost.*ca compromise operational/);
  // Nor does its key vouch for a next one.
  const rollover = await begunAlone('authority.announce', { role: 'operational' });
  await assert.rejects(announce(lossOf(restored), rollover), /operational is revoked/);
  await compromise(restored, 'operational');
  await restored.serve(idle);
  assert.ok((await statesOf(restored)).includes('operational removed'));
  assert.deepEqual((await restored.fsck()).faults, []);
});

test('one that is revoked, and of which no case tells, does not issue either', async (context) => {
  const installation = await Installation.create(context);
  await installation.serve(idle);
  const paths = authorityPaths(installation.folder);
  const { serialNumber } = parseCertificate(await readCertificateFile(paths, 'operational'));
  const magnitude = serialMagnitude(serialNumber);
  assert.ok(magnitude !== undefined);
  const stores = await openAuthorityStores(paths, undefined);
  const said = { code: 'cACompromise', reason: 'stolen', atMs: Date.now() } as const;
  await stores.issuance.revoke([changeOf(magnitude, said)]);
  await stores.close();
  await assert.rejects(installation.serve(idle), /operational is revoked.*compromise operational/);
  await compromise(installation, 'operational');
  await installation.serve(idle);
  assert.deepEqual((await installation.fsck()).faults, []);
});

test('what a later authority gave needs its certificate, which nobody believes', async (context) => {
  const certificates: Uint8Array[] = [];
  const meanwhile = async (installation: Installation): Promise<void> => {
    await compromise(installation, 'server');
    const paths = authorityPaths(installation.folder);
    certificates.push(await readCertificateFile(paths, 'server-2'));
    await installation.serve(async ({ client }) => {
      assert.ok(!isRefusal(await client.issueServer(testRequest(testKey()), ['localhost'])));
    });
  };
  await assert.rejects(restoredAfter(context, meanwhile), /not here: give its certificate/);
  const foreign = [pki.factory.certificate.der];
  await assert.rejects(
    restoredAfter(context, meanwhile, { authorities: foreign }),
    /the log does not speak of/,
  );
  certificates.length = 0;
  const restored = await restoredAfter(context, meanwhile, { authorities: certificates });
  const states = await statesOf(restored);
  assert.ok(states.includes('server active') && states.includes('server-2 removed'));
  await compromise(restored, 'server');
  await restored.serve(idle);
  assert.ok((await statesOf(restored)).includes('server-3 active'));
  assert.deepEqual((await restored.fsck()).faults, []);
});

test('a log whose key was lost after the backup is believed under its next one', async (context) => {
  const meanwhile = async (installation: Installation): Promise<void> => {
    await replaceLostLog(lossOf(installation));
    await installation.serve(idle);
  };
  await assert.rejects(restoredAfter(context, meanwhile), EnvironmentError);
  const logKey = ({ folder }: Installation): string =>
    readFileSync(join(authorityPaths(folder).log, 'key'), 'utf8').trim();
  const restored = await restoredAfter(context, meanwhile, { logKey });
  await restored.serve(idle);
  assert.deepEqual((await restored.fsck()).faults, []);
});

test('a recovery that is ended past the log is a fault, and so is what is issued in it', async (context) => {
  const restored = await restoredAfter(context, idleIn, { until: 'ready' });
  const { database: path, folder } = authorityPaths(restored.folder);
  assert.deepEqual((await restored.fsck()).faults, []);
  // Neither the file nor the row is enough to go on.
  rmSync(join(folder, 'recovery.json'));
  await assert.rejects(restored.serve(idle), /put back to an earlier state/);
  const database = new DatabaseSync(path);
  database.exec("DELETE FROM settings WHERE name = 'recovery'");
  database.close();
  assert.deepEqual((await restored.fsck()).faults, ['recovery: ended, and nobody has released it']);
  await restored.serve(async (house) => {
    await house.ticket('order-9', 1);
  });
  const [fault] = (await restored.fsck()).faults;
  assert.match(fault ?? '', /^recovery: .* before it was released$/);
});

async function idleIn(installation: Installation): Promise<void> {
  await installation.serve(idle);
}

test('a backup says of itself that it is one', async (context) => {
  const installation = await Installation.create(context);
  await installation.serve(idle);
  const backup = join(installation.folder, 'backup');
  await backUp(installation.folder, backup, undefined);
  cpSync(join(backup, 'authority/issuing.sqlite'), authorityPaths(installation.folder).database);
  await assert.rejects(installation.serve(idle), /put back to an earlier state/);
});
