/** `birthmark store` as people run it: from a backup to an installation that issues again, and what is refused. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { authorityPaths } from '../../../src/apps/authority/authorityFolder.ts';
import { openAuthoritySnapshot } from '../../../src/apps/authority/stores.ts';
import { beginTwoPersons } from '../../../src/apps/authority/twoPersons.ts';
import { openStores } from '../../../src/apps/provisioner/stores.ts';
import { firstRow } from '../../../src/drivers/store/snapshot.ts';
import { readAuditEntry } from '../../../src/trust/audit/entry.ts';
import type { EndorsedUnit } from '../../../src/wire/line/endorsement.ts';
import { parseCertificate } from '../../../src/wire/x509/certificate.ts';
import { toHex } from '../../../src/wire/bytes/hex.ts';
import { operatorFolder, type Ran, run } from '../../support/commands.ts';
import { Installation, passphrase } from '../../support/installation.ts';
import { testElement, unitRequest } from '../../support/issuing/station.ts';
import { importedDevice } from '../../support/registrySamples.ts';
import { seedDevices } from '../../support/seedDevices.ts';

// No command here opens a key: what would start in spite of a recovery ends at this one.
process.env['BIRTHMARK_PASSPHRASE'] = `not ${passphrase}`;

const persons = ['--requested-by', 'A. Adams', '--approved-by', 'B. Brown'];
const status = { baseUrl: 'http://status.example', shards: 1, birth: true };
const idle = async (): Promise<void> => undefined;

function elsewhere(context: TestContext): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-store-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return (name) => join(folder, name);
}

/** What the command line says, on a data folder. */
function terminal(data: string) {
  const on = (...words: readonly string[]): Promise<Ran> => run(...words, '--data', data);
  return {
    done: async (...words: readonly string[]): Promise<Record<string, unknown>> => {
      const { code, document, said } = await on(...words);
      assert.equal(code, 0, `${words.join(' ')}: ${said}`);
      return document;
    },
    refused: async (code: number, message: RegExp, ...words: readonly string[]): Promise<void> => {
      const ended = await on(...words);
      assert.match(ended.said, message, words.join(' '));
      assert.equal(ended.code, code, words.join(' '));
      assert.deepEqual(ended.document, {}, words.join(' '));
    },
  };
}

const serialsOf = (born: readonly EndorsedUnit[]): readonly string[] =>
  born.map(({ certificate }) => toHex(parseCertificate(certificate).serialNumber));

/** Serial numbers on the list of birth certificates. */
async function listed(folder: string): Promise<ReadonlySet<string>> {
  const { entries } = await terminal(folder).done('crl', 'show', 'factory', '0');
  const serials = JSON.stringify(entries).matchAll(/"serialNumber":"([0-9a-f]+)"/g);
  return new Set([...serials].map(([, serial = '']) => serial));
}

test('backed up, restored, recovered, released: nothing returns', async (context) => {
  const place = elsewhere(context);
  const installation = await Installation.create(context, { status });
  const { folder } = installation;
  const here = terminal(folder);
  const [oldTicket, early] = await installation.serve(async (house) => {
    const ticket = await house.ticket('order-1', 10);
    return [ticket, await house.births(ticket, ['a', 'b', 'c'])] as const;
  });
  await seedDevices(
    join(folder, 'provisioner'),
    early.map(({ deviceId }, index) => importedDevice(index, { deviceId })),
  );
  assert.deepEqual(await here.done('store', 'ledger', place('ledger')), {
    folder: place('ledger'),
    known: 2,
  });
  await here.done('store', 'backup', '--to', place('backup'));
  await here.refused(3, /is there already/, 'store', 'backup', '--to', place('backup'));

  const ids = early.map(({ deviceId }) => deviceId);
  const late = await installation.serve(async (house) => {
    const born = [
      ...(await house.births(oldTicket, ['d'])),
      ...(await house.births(await house.ticket('order-2', 10), ['e'])),
    ];
    await house.revoke([ids[0] ?? '', born[0]?.deviceId ?? '']);
    return born;
  });
  cpSync(join(folder, 'authority', 'log'), place('log'), { recursive: true });
  // After the newest copy of the log: the published list alone tells it.
  await installation.serve((house) => house.revoke([ids[1] ?? '']));
  const revoked = await installation.serve(async () => {
    await here.done('crl', 'show', 'factory', '0', '--out', place('factory.pem'));
    return listed(folder);
  });
  assert.equal(revoked.size, 3);

  const restored = place('restored');
  const there = terminal(restored);
  const restore = ['store', 'restore', '--from', place('backup')];
  await here.refused(3, /is there already/, ...restore);
  const parts = ['authority', 'provisioner'].map((name) => ({
    name,
    folder: join(restored, name),
  }));
  assert.deepEqual(await there.done(...restore, '--dry-run'), { wouldRestore: parts });
  assert.equal(existsSync(restored), false, 'a dry run changes nothing');
  assert.deepEqual(await there.done(...restore), { recovery: 'demanded' });
  await there.refused(3, /is there already/, ...restore);
  const release = ['store', 'release', ...persons];
  await nothingStarts(there);
  await there.refused(3, /does not know enough: see birthmark store recover/, ...release);

  const recover = ['store', 'recover', '--log', place('log'), '--crl', place('factory.pem')];
  const checkpoint = ['--checkpoint', join(place('log'), 'checkpoint')];
  const ledger = ['--ledger', place('ledger')];
  const anything = join(folder, 'authority', 'factory.pem');
  await there.refused(2, /--log/, 'store', 'recover');
  await there.refused(3, /the newest checkpoint is missing/, ...recover, ...ledger);
  await there.refused(3, /ledger of orders is missing/, ...recover, ...checkpoint);
  await there.refused(2, /no list of revoked/, ...recover, ...checkpoint, '--crl', anything);
  await nothingStarts(there);
  const report = await there.done(...recover, ...checkpoint, ...ledger);
  const { lostCertificates, changesOfStatus, lostOrders, endedOrders, voidTickets } = report;
  assert.deepEqual([lostCertificates, changesOfStatus], [2, 3]);
  assert.deepEqual([lostOrders, endedOrders, voidTickets], [1, 2, 1]);
  // Whoever approves looks at it, however often.
  assert.deepEqual(await there.done(...recover, ...checkpoint, ...ledger), report);
  await nothingStarts(there);
  await there.refused(3, inRecovery, 'ca', 'rollover', 'announce', 'server');
  await there.refused(3, inRecovery, 'crl', 'sign-root');

  await releasedByTwo(there, restored);
  const found = await installation.at(restored).serve(async (house) => {
    const station = await house.station(oldTicket);
    const [answer] = await station.endorse([await unitRequest(testElement('again'))]);
    assert.match(JSON.stringify(answer), /ticket-closed/);
    return house.births(await house.ticket('order-3', 10), ['f', 'g']);
  });
  const given = [...early, ...late];
  assert.equal(new Set(serialsOf([...given, ...found])).size, 7);
  const addresses = [...given, ...found].map(({ eui64 }) => toHex(eui64 ?? new Uint8Array(0)));
  assert.equal(new Set(addresses).size, 7);
  assert.deepEqual(await installation.at(restored).serve(() => listed(restored)), revoked);
  const { faults, unfinished } = await there.done('audit', 'fsck');
  assert.deepEqual([faults, unfinished], [[], 0]);
  assert.deepEqual(await statesOf(restored, ids), ['revoked', 'revoked', 'released']);
});

type Terminal = ReturnType<typeof terminal>;

const inRecovery = /issues nothing: see birthmark store recover, then release/;

async function nothingStarts({ refused }: Terminal): Promise<void> {
  await refused(3, inRecovery, 'serve', '--role', 'authority');
  await refused(3, inRecovery, 'serve', '--role', 'provisioner');
}

/** One alone does not, and a release that is cut short has released nothing. */
async function releasedByTwo(there: Terminal, folder: string): Promise<void> {
  const by = (asks: string, approves: string): readonly string[] => {
    return ['store', 'release', '--requested-by', asks, '--approved-by', approves];
  };
  const tried = await there.done('store', 'release', '--dry-run');
  assert.equal(tried['wouldRelease'], true);
  await there.refused(2, /are needed/, 'store', 'release');
  await there.refused(2, /are needed/, 'store', 'release', '--requested-by', 'A. Adams');
  await there.refused(2, /printable characters/, ...by('A. Adams', ' '));
  await there.refused(4, /by two persons/, ...by('A. Adams', 'a. adams '));
  const [mark, other] = ['authority', 'provisioner'].map((name) =>
    join(folder, name, 'recovery.json'),
  );
  assert.ok(mark !== undefined && other !== undefined);
  rmSync(other);
  mkdirSync(other);
  await assert.rejects(there.done(...by('A. Adams', 'B. Brown')));
  await nothingStarts(there);
  rmSync(other, { recursive: true });
  const released = { released: true };
  assert.deepEqual(await there.done(...by('A. Adams', 'B. Brown')), released);
  assert.deepEqual([existsSync(mark), existsSync(other)], [false, false]);
  assert.match(await lastDecision(folder), /^released: asked by A\. Adams, approved by B\. Brown$/);
  await there.refused(3, /is in no recovery/, ...by('A. Adams', 'B. Brown'));
}

/** Of the log in the database. */
async function lastDecision(folder: string): Promise<string> {
  const snapshot = await openAuthoritySnapshot(authorityPaths(folder), undefined);
  const sql = 'SELECT entry FROM audit_leaves ORDER BY id DESC LIMIT 1';
  const { entry } = await firstRow(snapshot, sql);
  await snapshot.close();
  assert.ok(entry instanceof Uint8Array);
  const read = readAuditEntry(entry);
  return read.kind === 'decision' ? `${read.act}: ${read.detail}` : read.kind;
}

async function statesOf(folder: string, ids: readonly string[]): Promise<readonly unknown[]> {
  const stores = await openStores(join(folder, 'provisioner'), 10);
  const devices = await stores.registry.devices({ limit: 10 });
  await stores.close();
  return ids.map((id) => devices.find(({ deviceId }) => deviceId === id)?.state);
}

test('where two persons are needed, two operators release it with their keys', async (context) => {
  const place = elsewhere(context);
  const installation = await Installation.create(context);
  const { folder, clock } = installation;
  const here = terminal(folder);
  const admins = await Promise.all(
    ['ada', 'bob'].map(async (name) => ({
      name,
      request: await operatorFolder(place(name), name),
    })),
  );
  await beginTwoPersons({ dataFolder: folder, passphrase, clock }, { admins, massLimit: 5 });
  await seedDevices(join(folder, 'provisioner'), []);
  await installation.serve(idle);
  await here.done('store', 'backup', '--to', place('backup'));
  cpSync(join(folder, 'authority', 'log'), place('log'), { recursive: true });
  const there = terminal(place('restored'));
  await there.done('store', 'restore', '--from', place('backup'));
  const checkpoint = join(place('log'), 'checkpoint');
  const copy = ['--log', place('log'), '--checkpoint', checkpoint];
  await there.refused(2, /a number up to/, 'store', 'recover', ...copy, '--skip-addresses', '-1');
  const report = await there.done('store', 'recover', ...copy, '--skip-addresses', '1000');
  assert.equal(report['lostOrders'], 1);

  const release = ['store', 'release'];
  await there.refused(4, /ask for it with --as/, ...release);
  await there.refused(4, /ask for it with --as/, ...release, ...persons);
  const asked = await run(...release, '--as', place('ada'), '--data', place('restored'));
  assert.deepEqual([asked.code, asked.document['act']], [4, 'store.release'], asked.said);
  const id = String(asked.document['approval']);
  await there.refused(1, /\[approval-missing\]/, ...release, '--approval', id);
  const approve = ['approval', 'approve', id, '--as'];
  await there.refused(1, /\[same-person\]/, ...approve, place('ada'));
  const approved = await there.done(...approve, place('bob'));
  assert.deepEqual(approved['parameters'], { report });
  await nothingStarts(there);
  assert.deepEqual(await there.done(...release, '--approval', id), { released: true });
  const said = 'released: asked by ada, approved by bob';
  assert.equal(await lastDecision(place('restored')), said);
  await there.refused(3, /is in no recovery/, ...release, '--approval', id);
  await installation.at(place('restored')).serve(idle);
  assert.deepEqual((await there.done('audit', 'fsck'))['faults'], []);
});

test('a place that is none, and a move without a server', async (context) => {
  const { folder } = await Installation.create(context);
  const { refused } = terminal(folder);
  const store = (...words: readonly string[]): readonly string[] => ['store', ...words];
  const elsewhere = store('migrate', '--to', 'mysql://somewhere');
  await refused(3, /A store is written postgres:/, ...elsewhere);
  await refused(2, /tell with --store/, ...store('migrate', '--to', 'sqlite'));
  await refused(3, /is in no recovery/, ...store('release', ...persons));
});

test('what is no backup is not restored', async (context) => {
  const place = elsewhere(context);
  mkdirSync(join(place('half'), 'provisioner'), { recursive: true });
  const { refused } = terminal(place('new'));
  for (const from of [place('nowhere'), place('half')]) {
    for (const dryRun of [[], ['--dry-run']]) {
      const restore = ['store', 'restore', '--from', from, ...dryRun];
      await refused(3, /is no backup: it has no .*issuing\.sqlite\.$/, ...restore);
    }
  }
  assert.equal(existsSync(place('new')), false);
});

test('dry runs of the ledger, a move and a release that is not due', async (context) => {
  const place = elsewhere(context);
  const { folder } = await Installation.create(context);
  const { done, refused } = terminal(folder);
  const ledger = await done('store', 'ledger', place('ledger'), '--dry-run');
  assert.deepEqual(ledger, { folder: place('ledger'), wouldWrite: 0 });
  assert.equal(existsSync(place('ledger')), false);
  const to = 'postgres://birthmark@localhost/x';
  const move = await done('store', 'migrate', '--to', to, '--dry-run');
  assert.match(JSON.stringify(move), /"wouldMove":\["authority"/);
  await refused(3, /is in no recovery/, 'store', 'release', '--dry-run');
});
