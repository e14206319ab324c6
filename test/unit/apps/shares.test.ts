/** Shares of a root's secret: any threshold of them opens it, and every kind of wrong handful says which file. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { atRoot, createRoot, signListAtRoot } from '../../../src/apps/authority/offlineRoot.ts';
import {
  faultOfPlan,
  newSharedSecret,
  openShares,
  type SharePlan,
  type ShareText,
  writeShares,
} from '../../../src/apps/authority/shares.ts';
import { EnvironmentError } from '../../../src/trust/ports/faults.ts';

const plan: SharePlan = { shares: 5, threshold: 3, key: '00'.repeat(32) };

async function made(changes: Partial<SharePlan> = {}): Promise<{
  readonly secret: string;
  readonly files: readonly ShareText[];
}> {
  const secret = newSharedSecret();
  const texts = await writeShares(secret, { ...plan, ...changes });
  return { secret, files: texts.map((text, at) => ({ name: `share-${at + 1}.json`, text })) };
}

const nobody = (): Promise<string> => Promise.reject(new TypeError('no passphrase was set'));

function refusal(reason: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof EnvironmentError && reason.test(error.message);
}

test('each handful of three of five opens it, in any order, and all five do', async () => {
  const { secret, files } = await made();
  for (let bits = 0; bits < 32; bits++) {
    const handful = files.filter((_, at) => ((bits >> at) & 1) === 1).toReversed();
    if (handful.length < 3) continue;
    const opened = await openShares(handful, nobody);
    assert.deepEqual(opened, { secret, key: plan.key });
  }
  assert.ok(files.every(({ text }) => !text.includes(secret)));
});

test('too few, twice the same, of another set, damaged, altered, none: each is said by file', async () => {
  const { files } = await made();
  const [one, two, three] = files;
  const { files: others } = await made();
  const [, , stranger] = others;
  assert.ok(one && two && three && stranger);
  const damaged = { ...three, text: three.text.replace('"index": 3', '"index": 4') };
  // Whoever alters a share can mend its checksum; what they cannot mend is the secret.
  const [share] = /"share": "[^"]*"/.exec(two.text) ?? [];
  const members: unknown = JSON.parse(
    three.text.replace(/"share": "[^"]*"/, share ?? '').replace(/,\s*"checksum": "\w*"/, ''),
  );
  const other = Object.fromEntries(Object.entries(members ?? {}));
  const digest = createHash('sha256').update(JSON.stringify(other)).digest('hex').slice(0, 32);
  const forged = { ...three, text: JSON.stringify({ ...other, checksum: digest }) };
  const cases: ReadonlyArray<readonly [readonly ShareText[], RegExp]> = [
    [[], /no share was given/],
    [[one, two], /^3 shares open the root: 2 given$/],
    [[one, two, { ...two, name: 'copy.json' }], /copy.json and share-2.json are the same share/],
    [[one, two, stranger], /share-3.json and share-1.json are not shares of one secret/],
    [[one, two, damaged], /^share-3.json is damaged$/],
    [[one, two, { ...three, text: three.text.slice(0, -9) }], /^share-3.json is no share$/],
    [[one, two, { name: 'note.txt', text: 'remember' }], /^note.txt is no share$/],
    [[one, two, { name: 'null', text: 'null' }], /^null is no share$/],
    [[one, two, forged], /one of them was altered/],
  ];
  for (const [handful, reason] of cases) {
    await assert.rejects(openShares(handful, nobody), refusal(reason), String(reason));
  }
});

test('a share may have a passphrase of its own', async () => {
  const passphraseOf = (index: number): Promise<string> => Promise.resolve(`passphrase ${index}`);
  const { secret, files } = await made({ passphraseOf, costLog2: 4 });
  assert.equal((await openShares(files.slice(1, 4), passphraseOf)).secret, secret);
  await assert.rejects(
    openShares(files.slice(1, 4), () => Promise.resolve('passphrase 2')),
    refusal(/^share-3.json: the passphrase is wrong$/),
  );
});

test('how many shares there may be', async () => {
  const faulty = [
    [1, 1],
    [17, 2],
    [5, 1],
    [5, 6],
    [2.5, 2],
    [5, Number.NaN],
  ] as const;
  for (const [shares, threshold] of faulty) {
    assert.notEqual(faultOfPlan({ shares, threshold }), undefined);
    await assert.rejects(writeShares(newSharedSecret(), { ...plan, shares, threshold }), TypeError);
  }
  assert.equal(faultOfPlan({ shares: 2, threshold: 2 }), undefined);
});

test('a root opens with its shares, and not with those of another one', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-shares-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const { secret, files } = await made();
  const root = { folder, clock: { nowMs: Date.now }, costLog2: 4 };
  await createRoot(
    { ...root, passphrase: secret },
    { organization: 'Maker', algorithm: 'ecdsa-with-SHA256' },
  );
  const opened = await openShares(files.slice(0, 3), nobody);
  await atRoot({ ...root, passphrase: opened.secret }, signListAtRoot);
  const others = await openShares((await made()).files.slice(0, 3), nobody);
  await assert.rejects(
    atRoot({ ...root, passphrase: others.secret }, signListAtRoot),
    refusal(/does not open/),
  );
  // Nothing in the folder says the secret.
  for (const file of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    assert.ok(!readFileSync(join(file.parentPath, file.name)).includes(secret), file.name);
  }
});
