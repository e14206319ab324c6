/** `birthmark store` as a person and a script run it: from a backup to an installation that starts again. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Installation, passphrase } from '../../support/installation.ts';

const main = join(import.meta.dirname, '../../../src/apps/cli/main.ts');

interface Ended {
  readonly code: number;
  readonly document: unknown;
  readonly stderr: string;
}

function store(...words: readonly string[]): Promise<Ended> {
  const node = ['--disable-warning=ExperimentalWarning', main, 'store', ...words, '--json'];
  const env = { ...process.env, BIRTHMARK_PASSPHRASE: passphrase };
  return new Promise((resolve) => {
    execFile(process.execPath, node, { env }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code);
      const document: unknown = stdout === '' ? undefined : JSON.parse(stdout);
      resolve({ code, document, stderr });
    });
  });
}

function elsewhere(context: TestContext): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-store-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

test('backup, restore, recover, release', async (context) => {
  const place = elsewhere(context);
  const installation = await Installation.create(context);
  const { folder } = installation;
  await installation.serve(async (house) => {
    await house.births(await house.ticket('order-1', 10), ['a', 'b']);
  });
  const ledger = await store('ledger', place('ledger'), '--data', folder);
  assert.deepEqual(ledger.document, { folder: place('ledger'), known: 2 });
  const backup = await store('backup', '--to', place('backup'), '--data', folder);
  assert.equal(backup.code, 0, backup.stderr);
  assert.match(JSON.stringify(backup.document), /"units":2/);
  const twice = await store('restore', '--from', place('backup'), '--data', folder);
  assert.equal(twice.code, 3);
  assert.match(twice.stderr, /is there already/);
  const again = await store('backup', '--to', place('backup'), '--data', folder);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /is there already/);

  await installation.serve(async (house) => {
    await house.births(await house.ticket('order-2', 10), ['c']);
  });
  assert.match(readFileSync(join(place('ledger'), 'orders.jsonl'), 'utf8'), /order-2/);
  cpSync(join(folder, 'authority', 'log'), place('log'), { recursive: true });
  const restored = place('restored');
  const tried = await store('restore', '--from', place('backup'), '--data', restored, '--dry-run');
  // No provisioner was ever started here.
  const only = { name: 'authority', folder: join(restored, 'authority') };
  assert.deepEqual(tried.document, { wouldRestore: [only] });
  assert.equal(existsSync(restored), false, 'a dry run changes nothing');
  const restore = await store('restore', '--from', place('backup'), '--data', restored);
  assert.deepEqual([restore.code, restore.document], [0, { recovery: 'demanded' }]);
  const copy = ['--data', restored, '--log', place('log'), '--ledger', place('ledger')];
  const without = await store('recover', ...copy);
  assert.equal(without.code, 3);
  assert.match(without.stderr, /the newest checkpoint is missing/);
  const known = ['--checkpoint', join(place('log'), 'checkpoint')];
  const recover = await store('recover', ...copy, ...known);
  assert.equal(recover.code, 0, recover.stderr);
  assert.match(JSON.stringify(recover.document), /"lostCertificates":1,.*"lostOrders":1/);
  const ready = await store('release', '--data', restored, '--dry-run');
  assert.match(JSON.stringify(ready.document), /"wouldRelease":true.*"lostCertificates":1/);
  assert.ok(existsSync(join(restored, 'authority', 'recovery.json')), 'a dry run changes nothing');
  const persons = ['--requested-by', 'A', '--approved-by', 'B'];
  const release = await store('release', '--data', restored, ...persons);
  assert.equal(release.code, 0, release.stderr);
  assert.equal(existsSync(join(restored, 'authority', 'recovery.json')), false);
  await installation.at(restored).serve(async (house) => {
    await house.births(await house.ticket('order-3', 1), ['d']);
  });
});

test('a place that is none, and a move without a server', async (context) => {
  const { folder } = await Installation.create(context);
  for (const [words, code, message] of [
    [['migrate', '--to', 'mysql://somewhere'], 3, /A store is written postgres:/],
    [['migrate', '--to', 'sqlite'], 2, /tell with --store/],
    [['release', '--requested-by', 'A', '--approved-by', 'B'], 3, /is in no recovery/],
  ] as const) {
    const ended = await store(...words, '--data', folder);
    assert.equal(ended.code, code, ended.stderr);
    assert.match(ended.stderr, message);
  }
});

test('what is no backup is not restored', async (context) => {
  const place = elsewhere(context);
  mkdirSync(join(place('half'), 'provisioner'), { recursive: true });
  for (const from of [place('nowhere'), place('half')]) {
    for (const dryRun of [[], ['--dry-run']]) {
      const ended = await store('restore', '--from', from, '--data', place('new'), ...dryRun);
      assert.equal(ended.code, 3, ended.stderr);
      assert.match(ended.stderr, /is no backup: it has no .*issuing\.sqlite\.\n$/);
    }
  }
  assert.equal(existsSync(place('new')), false);
});

test('dry runs of the ledger, a move and a release that is not due', async (context) => {
  const place = elsewhere(context);
  const { folder } = await Installation.create(context);
  const data = ['--data', folder, '--dry-run'];
  const ledger = await store('ledger', place('ledger'), ...data);
  assert.deepEqual(ledger.document, { folder: place('ledger'), wouldWrite: 0 });
  assert.equal(existsSync(place('ledger')), false);
  const move = await store('migrate', '--to', 'postgres://birthmark@localhost/x', ...data);
  assert.equal(move.code, 0, move.stderr);
  assert.match(JSON.stringify(move.document), /"wouldMove":\["authority"/);
  const release = await store('release', ...data);
  assert.equal(release.code, 3);
  assert.match(release.stderr, /is in no recovery/);
});
