/** Lost keys of lines that have several: the one that was named is answered for, and no other. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import {
  authorityPaths,
  certificatePath,
  readCertificateFile,
} from '../../src/apps/authority/authorityFolder.ts';
import { readBook } from '../../src/apps/authority/book.ts';
import { assessCompromise } from '../../src/apps/authority/compromise.ts';
import { withCasesAtRest } from '../../src/apps/authority/caseOffice.ts';
import { lostAuthority } from '../../src/apps/authority/lostAuthority.ts';
import type { LossOptions } from '../../src/apps/authority/lostKeys.ts';
import { addAuthority, announce, remove, switchOver } from '../../src/apps/authority/rollover.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { isDone, type LossCase } from '../../src/trust/ports/lossCase.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { begunAlone } from '../support/alone.ts';
import { Installation, passphrase } from '../support/installation.ts';
import { replaceLost } from '../support/lostAuthority.ts';
import { testKey, testRequest } from '../support/pki.ts';

function lossOf({ folder, clock }: Installation): LossOptions {
  return { dataFolder: folder, passphrase, clock, reason: 'a backup was stolen' };
}

async function created(context: TestContext): Promise<Installation> {
  const status = { baseUrl: 'http://status.example', shards: 1 };
  return Installation.create(context, { status });
}

/** LDevIDs by secrets, from whoever issues now. */
async function enrol(installation: Installation, count: number): Promise<readonly Uint8Array[]> {
  return installation.serve(async ({ client }) => {
    const desk = new DeskClient(socketPathFor(installation.folder, 'authority'));
    const issued: Uint8Array[] = [];
    while (issued.length < count) {
      const order = { product: 'meter', profile: 'ldevid', lifetimeMs: 60_000 };
      const made = await desk.createSecret(order);
      assert.ok(!isRefusal(made));
      const { secret } = made;
      const request = testRequest(testKey());
      const outcome = await client.issueBySecret({ secret, request, profile: 'ldevid' });
      assert.ok('certificate' in outcome, JSON.stringify(outcome));
      issued.push(outcome.certificate);
    }
    desk.close();
    return issued;
  });
}

async function rollOver(installation: Installation, role: string): Promise<void> {
  const options = lossOf(installation);
  await announce(options, await begunAlone('authority.announce', { role }));
  await switchOver(options, await begunAlone('authority.switch', { role }));
}

async function add(installation: Installation, role: string, adds: string): Promise<void> {
  const added = { role, adds };
  await addAuthority(lossOf(installation), await begunAlone('authority.announce', added));
}

async function removeRetired(installation: Installation, role: string): Promise<void> {
  await remove(lossOf(installation), await begunAlone('authority.remove', { role }));
}

async function statesOf({ folder }: Installation, role: string): Promise<readonly string[]> {
  const book = await readBook(authorityPaths(folder));
  return book.filter((one) => one.role === role).map(({ name, state }) => `${name} ${state}`);
}

async function casesOf(installation: Installation): Promise<readonly LossCase[]> {
  return withCasesAtRest(lossOf(installation), (desk) => desk.cases());
}

async function revokedOf(
  { folder }: Installation,
  certificates: readonly Uint8Array[],
): Promise<readonly boolean[]> {
  const stores = await openAuthorityStores(authorityPaths(folder), undefined);
  const kinds: boolean[] = [];
  for (const certificate of certificates) {
    const { serialNumber } = parseCertificate(certificate);
    kinds.push((await stores.status.statusOf(serialNumber))?.status.kind === 'revoked');
  }
  await stores.close();
  return kinds;
}

test('a retired key that is lost is ended, and the one that followed it goes on', async (context) => {
  const installation = await created(context);
  const old = await enrol(installation, 3);
  await rollOver(installation, 'operational');
  const fresh = await enrol(installation, 2);
  const { case: one, waitsFor } = await replaceLost(lossOf(installation), 'operational');
  assert.equal(waitsFor, undefined);
  assert.deepEqual(
    one.steps.map(({ name }) => [name, isDone(one, name)]),
    ['removed', 'revoked', 'listed'].map((name) => [name, true]),
  );
  assert.deepEqual(await statesOf(installation, 'operational'), [
    'operational removed',
    'operational-2 active',
  ]);
  assert.deepEqual(await revokedOf(installation, old), [true, true, true]);
  assert.deepEqual(await revokedOf(installation, fresh), [false, false]);
  const paths = authorityPaths(installation.folder);
  const authorities = await Promise.all(
    ['operational', 'operational-2'].map((name) => readCertificateFile(paths, name)),
  );
  assert.deepEqual(await revokedOf(installation, authorities), [true, false]);
  // Given again it finds its case, and touches nobody else.
  const again = await replaceLost(lossOf(installation), 'operational');
  assert.deepEqual(again.case, one);
  assert.deepEqual((await enrol(installation, 1)).length, 1);
  assert.deepEqual((await installation.fsck()).faults, []);
});

test('to name a key that was removed changes nothing', async (context) => {
  const installation = await created(context);
  for (let generation = 0; generation < 2; generation += 1) {
    await rollOver(installation, 'operational');
    await removeRetired(installation, 'operational');
  }
  const states = await statesOf(installation, 'operational');
  assert.equal(states.at(-1), 'operational-3 active');
  const loss = lossOf(installation);
  for (const name of ['operational', 'operational-2']) {
    await assert.rejects(
      replaceLost(loss, name),
      new RegExp(`${name} is believed no more.*believed: operational-3 \\(active\\)`),
    );
  }
  await assert.rejects(replaceLost(loss, 'operational-9'), /no authority is called operational-9/);
  assert.deepEqual(await statesOf(installation, 'operational'), states);
  assert.deepEqual(await casesOf(installation), []);
  const { case: one } = await replaceLost(loss, 'operational-3');
  assert.equal(one.successor, 'operational-4');
});

test('an announced key that is lost is taken back, and another one can be announced', async (context) => {
  const installation = await created(context);
  const loss = lossOf(installation);
  await announce(loss, await begunAlone('authority.announce', { role: 'factory' }));
  const { database, ...paths } = authorityPaths(installation.folder);
  const book = await readBook({ database, ...paths });
  const steps = async (name: string): Promise<readonly string[]> => {
    const snapshot = openSqliteSnapshot(database);
    return (await assessCompromise(snapshot, book, lostAuthority(book, name), Date.now())).steps;
  };
  // What the command would refuse is the first thing that its dry run says.
  await assert.rejects(replaceLost(loss, 'factory'), /factory-2 is announced/);
  assert.match((await steps('factory'))[0] ?? '', /factory-2 is announced/);
  assert.doesNotMatch((await steps('factory-2'))[0] ?? '', /announced/);
  await replaceLost(loss, 'factory-2');
  const next = await announce(loss, await begunAlone('authority.announce', { role: 'factory' }));
  assert.equal(next.name, 'factory-3');
  assert.deepEqual(await statesOf(installation, 'factory'), [
    'factory active',
    'factory-3 announced',
    'factory-2 removed',
  ]);
  await installation.serve(async () => undefined);
});

test('the retired authority of servers stays believed, and a retired root does not', async (context) => {
  const installation = await created(context);
  const loss = lossOf(installation);
  for (const role of ['server', 'root']) await rollOver(installation, role);
  const { case: servers } = await replaceLost(loss, 'server');
  assert.deepEqual(
    servers.steps.map(({ name }) => name),
    ['revoked', 'listed'],
  );
  assert.deepEqual(await statesOf(installation, 'server'), ['server retired', 'server-2 active']);
  const { case: root } = await replaceLost(loss, 'root');
  assert.deepEqual(
    root.steps.map(({ name }) => name),
    ['removed'],
  );
  assert.deepEqual(await statesOf(installation, 'root'), ['root removed', 'root-2 active']);
  const paths = authorityPaths(installation.folder);
  const above = new X509Certificate(await readCertificateFile(paths, 'root-2'));
  const below = new X509Certificate(await readCertificateFile(paths, 'factory'));
  assert.ok(below.verify(above.publicKey), 'certified by the root that is left');
  assert.ok(!existsSync(certificatePath(paths, 'factory.under-root-2')));
  await installation.serve(async () => undefined);
});

test('a dry run is about the key that was named', async (context) => {
  const installation = await created(context);
  await enrol(installation, 3);
  await rollOver(installation, 'operational');
  await enrol(installation, 1);
  const { database, ...paths } = authorityPaths(installation.folder);
  const book = await readBook({ database, ...paths });
  for (const [name, count] of [
    ['operational', 3],
    ['operational-2', 1],
  ] as const) {
    const lost = lostAuthority(book, name);
    const report = await assessCompromise(openSqliteSnapshot(database), book, lost, Date.now());
    // No link between the two, and nobody's responder.
    assert.deepEqual(report.live, [{ profile: 'ldevid', count }]);
    assert.deepEqual([report.canFollow, report.cannotFollow], [0, count]);
    assert.ok(report.steps.some((step) => step.includes(`ca compromise ${name} `)));
  }
  // And it counts what is revoked then.
  const { case: one } = await replaceLost(lossOf(installation), 'operational');
  const revoked = one.steps.find(({ name }) => name === 'revoked');
  assert.equal(revoked?.detail, '3 certificates');
});

test('a role that is no key’s name is answered with the names', async (context) => {
  const installation = await created(context);
  const loss = lossOf(installation);
  await add(installation, 'chip-signer-00a1', 'chip-signer');
  await assert.rejects(
    replaceLost(loss, 'chip-signer'),
    /say which key is lost: chip-signer-00a1 \(active\)/,
  );
  assert.deepEqual(await casesOf(installation), []);
  const { case: one } = await replaceLost(loss, 'chip-signer-00a1');
  assert.equal(one.successor, 'chip-signer-0002');
});

test('a PAA that is lost takes its PAIs along, and no root', async (context) => {
  const installation = await created(context);
  for (const name of ['matter-paa', 'matter-pai']) await add(installation, name, name);
  const { database, ...paths } = authorityPaths(installation.folder);
  const book = await readBook({ database, ...paths });
  const lost = lostAuthority(book, 'matter-paa');
  const report = await assessCompromise(openSqliteSnapshot(database), book, lost, Date.now());
  assert.deepEqual(report.live, [{ profile: 'matter-pai', count: 1 }]);
});
