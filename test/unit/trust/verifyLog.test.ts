import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { nodeCrypto } from '../../../src/drivers/keys/software/nodeCrypto.ts';
import { LogFolder } from '../../../src/drivers/store/files/tileFolder.ts';
import { logKey } from '../../../src/trust/audit/publication.ts';
import {
  type SeenCheckpoint,
  verifyLog,
  type VerifyReport,
} from '../../../src/trust/audit/verify.ts';
import { encodeNoteKey } from '../../../src/wire/tlog/noteKey.ts';
import { encodeEntries, parseEntries } from '../../../src/wire/tlog/tile.ts';
import { LogWorld } from '../../support/auditLog.ts';
import { verifyFiles } from '../../support/thirdParty.ts';

/** A log with checkpoints at 100 and 6,000 leaves and at its end; every test breaks a copy of it. */
const folder = mkdtempSync(join(tmpdir(), 'birthmark-verify-'));
const size = 12_000;
let world: LogWorld;
let checkpoints: readonly Uint8Array[] = [];
let rows: readonly Uint8Array[] = [];
let cleanUp: () => void = () => undefined;

before(async () => {
  world = LogWorld.create({ after: (done) => (cleanUp = done) });
  const log = await world.open();
  const notes: Uint8Array[] = [];
  for (const count of [100, 5_900, size - 6_000]) {
    await world.append(count);
    await log.advance();
    notes.push(readFileSync(join(world.logFolder, 'checkpoint')));
  }
  checkpoints = notes;
  rows = await world.store.leaves(0, size);
});

after(() => {
  cleanUp();
  rmSync(folder, { recursive: true });
});

interface Given {
  readonly seen?: readonly SeenCheckpoint[];
  readonly withRows?: boolean;
}

/** What is found after `damage`, by us and by the third party. */
async function found(damage: (log: string) => void, given: Given = {}): Promise<VerifyReport> {
  const copy = join(folder, 'copy');
  rmSync(copy, { recursive: true, force: true });
  cpSync(world.logFolder, copy, { recursive: true });
  damage(copy);
  const key = logKey(nodeCrypto, world.signer);
  const report = await verifyLog({
    files: new LogFolder(copy),
    hash: (data) => nodeCrypto.hash('SHA-256', data),
    verifier: world.verifier,
    key,
    seen: given.seen ?? [],
    ...(given.withRows === true
      ? { rows: async (from, limit) => rows.slice(from, from + limit) }
      : {}),
  });
  const thirdParty = (): unknown => verifyFiles(copy, encodeNoteKey(key));
  if (report.ok || (given.seen ?? []).length > 0) return report;
  assert.throws(thirdParty, Error, 'the third party sees nothing');
  return report;
}

const seenAll = (): readonly SeenCheckpoint[] =>
  checkpoints.map((note, at) => ({ source: `witness ${at}`, note }));

function edit(path: string, change: (content: Buffer) => Buffer): void {
  assert.ok(existsSync(path), path);
  writeFileSync(path, change(readFileSync(path)));
}

function editEntries(path: string, change: (entries: Uint8Array[]) => Uint8Array[]): void {
  edit(path, (content) => Buffer.from(encodeEntries(change(parseEntries(content)))));
}

const flip = (at: number) => (content: Buffer) => {
  content[at] = (content[at] ?? 0) ^ 1;
  return content;
};

test('a whole log: every witness agrees', async () => {
  const report = await found(() => undefined, { seen: seenAll(), withRows: true });
  assert.deepEqual(report.faults, []);
  assert.equal(report.treeSize, size);
  assert.deepEqual(
    report.witnessed.map(({ treeSize }) => treeSize),
    [100, 6_000, size],
  );
});

for (const [what, leaf, damage] of [
  ['changed', 40 * 256 + 17, (entries) => entries.with(17, Uint8Array.of(1, 2, 3))],
  ['removed', 40 * 256 + 200, (entries) => entries.toSpliced(200, 1)],
  ['put in', 40 * 256 + 3, (entries) => entries.toSpliced(3, 0, Uint8Array.of(9))],
  [
    'exchanged',
    40 * 256 + 7,
    (entries) => entries.with(7, entries[9] ?? entry).with(9, entries[7] ?? entry),
  ],
] as ReadonlyArray<[string, number, (entries: Uint8Array[]) => Uint8Array[]]>) {
  test(`an entry was ${what}: its leaf is named`, async () => {
    const report = await found((log) => editEntries(join(log, 'tile/entries/040'), damage));
    assert.equal(report.firstLeaf, leaf);
    assert.match(report.faults[0]?.text ?? '', new RegExp(`${leaf}|from ${40 * 256} on`));
  });
}

const entry = Uint8Array.of(0);

test('a bundle, a tile or the checkpoint is missing', async () => {
  const bundle = await found((log) => rmSync(join(log, 'tile/entries/030')));
  assert.equal(bundle.firstLeaf, 30 * 256);
  const tile = await found((log) => rmSync(join(log, 'tile/0/030')));
  assert.equal(tile.firstLeaf, 30 * 256);
  const both = await found((log) => {
    rmSync(join(log, 'tile/0/030'));
    rmSync(join(log, 'tile/entries/030'));
  });
  assert.equal(both.firstLeaf, 30 * 256);
  const upper = await found((log) => rmSync(join(log, 'tile/1'), { recursive: true }));
  assert.equal(upper.firstLeaf, 0);
  const checkpoint = await found((log) => rmSync(join(log, 'checkpoint')));
  assert.deepEqual(checkpoint.faults, [{ text: 'the checkpoint is missing', leaf: undefined }]);
});

test('a hash in a tile was changed, at any level', async () => {
  const zero = await found((log) => edit(join(log, 'tile/0/003'), flip(32 * 5)));
  assert.equal(zero.firstLeaf, 3 * 256 + 5);
  assert.equal(zero.faults.length, 1);
  const one = await found((log) => edit(join(log, 'tile/1/000.p/46'), flip(32 * 9 + 31)));
  assert.deepEqual(
    one.faults.map(({ leaf }) => leaf),
    [9 * 256],
  );
  const cut = await found((log) => edit(join(log, 'tile/0/003'), (content) => content.subarray(1)));
  assert.equal(cut.firstLeaf, 3 * 256);
});

test('two tiles were exchanged', async () => {
  const report = await found((log) => {
    const [one, two] = [join(log, 'tile/entries/003'), join(log, 'tile/entries/004')];
    const first = readFileSync(one);
    writeFileSync(one, readFileSync(two));
    writeFileSync(two, first);
  });
  assert.equal(report.firstLeaf, 3 * 256);
});

/** Whoever changes an entry and everything above it, but has no key. */
function forge(log: string, leaf: number): void {
  const bundle = Math.floor(leaf / 256);
  const name = String(bundle).padStart(3, '0');
  editEntries(join(log, `tile/entries/${name}`), (entries) => entries.with(leaf % 256, entry));
  const hash = Buffer.from(nodeCrypto.hash('SHA-256', Buffer.of(0, ...entry)));
  edit(join(log, `tile/0/${name}`), (content) => {
    hash.copy(content, (leaf % 256) * 32);
    return content;
  });
}

test('an entry and its hash were changed together: the tile above and the witnesses tell', async () => {
  const alone = await found((log) => forge(log, 9_000));
  assert.equal(alone.firstLeaf, Math.floor(9_000 / 256) * 256);
  const exact = await found((log) => forge(log, 9_000), { withRows: true });
  assert.deepEqual(exact.faults[0], {
    text: 'leaf 9000 is not the one of the database',
    leaf: 9_000,
  });
});

test('the checkpoint was changed, or an older one put back', async () => {
  const changed = await found((log) =>
    edit(join(log, 'checkpoint'), (note) => Buffer.from(String(note).replace('12000', '11999'))),
  );
  assert.match(changed.faults[0]?.text ?? '', /signature of the log is wrong/);
  const nonsense = await found((log) => writeFileSync(join(log, 'checkpoint'), 'x'));
  assert.match(nonsense.faults[0]?.text ?? '', /no checkpoint/);
  const stranger = await found((log) =>
    edit(join(log, 'checkpoint'), (note) => Buffer.from(String(note).replace('birthmark', 'b'))),
  );
  assert.match(stranger.faults[0]?.text ?? '', /another log/);
  const old = await found((log) => writeFileSync(join(log, 'checkpoint'), checkpoints[1] ?? ''), {
    seen: seenAll(),
  });
  assert.deepEqual(old.faults, [
    {
      text: 'witness 2: it saw 12000 leaves, the log has 6000: its end was cut off',
      leaf: 6_000,
    },
  ]);
});

test('a log that was made anew, with its key: the witnesses say from where on', async (context) => {
  const other = LogWorld.create(context);
  Object.assign(other, { signer: world.signer });
  await other.store.append(rows.slice(0, 300));
  await other.append(1);
  await other.store.append(rows.slice(301, 500));
  await (await other.open()).advance();
  const early = await world.store.rootAt(100);
  assert.ok(early);
  const report = await verifyLog({
    files: other.tiles,
    hash: (data) => nodeCrypto.hash('SHA-256', data),
    verifier: world.verifier,
    key: logKey(nodeCrypto, world.signer),
    seen: seenAll(),
  });
  assert.deepEqual(
    report.witnessed.map(({ treeSize }) => treeSize),
    [100],
  );
  assert.equal(report.firstLeaf, 500);
  assert.ok(!report.ok);
});

test('a witness that did not sign its copy counts for nothing', async () => {
  const [note = new Uint8Array(0)] = checkpoints;
  const key = { ...logKey(nodeCrypto, world.signer), kind: 'witness' as const };
  const report = await found(() => undefined, { seen: [{ source: 'w', note, witness: key }] });
  assert.deepEqual(report.faults, [
    { text: 'w: the signature of the witness is wrong', leaf: undefined },
  ]);
});
