/** Several factory authorities: births go to the one for their batch or product, and each rolls over by itself. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { type AuthorityRecord, defaultBook, parseBook } from '../../src/apps/authority/book.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { withCasesAtRest } from '../../src/apps/authority/caseOffice.ts';
import { answerLostHolder } from '../../src/apps/authority/lostHolders.ts';
import { addAuthority, announce, switchOver } from '../../src/apps/authority/rollover.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { issuerFor } from '../../src/trust/issuance/issuer.ts';
import { MalformedError } from '../../src/wire/bytes/malformed.ts';
import { begunAlone } from '../support/alone.ts';
import { replaceLost } from '../support/lostAuthority.ts';
import { assembled, birth } from '../support/issuing/assembled.ts';

const clock = { nowMs: Date.now };
const serves = { products: ['pump'], batches: ['special'] };
const pumps: AuthorityRecord = {
  name: 'factory-pumps',
  role: 'factory',
  algorithm: 'ecdsa-with-SHA256',
  serves,
  state: 'active',
};

test('births, a rollover and a lost key of one of them; the others go on as they are', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-factories-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const options = { dataFolder, passphrase: 'correct horse', clock };
  const authorities = [...defaultBook, pumps];
  await initializeAuthority({ ...options, authorities, organization: 'Maker', costLog2: 4 });
  const paths = authorityPaths(dataFolder);
  const read = (name: string): X509Certificate =>
    new X509Certificate(readFileSync(join(paths.folder, `${name}.pem`)));
  assert.match(read('factory-pumps').subject, /CN=Maker Factory pumps/);
  /** The authority above a new element of that product, by its own signature. */
  const bornUnder = async (product: string, batch: string): Promise<string> =>
    assembled(options, async (parts) => {
      const [certificate, above] = await birth(parts, product, batch);
      const names = [
        'factory',
        'factory-pumps',
        'factory-pumps-2',
        'factory-pumps-3',
        'factory-wells',
      ];
      const issuer = names.find((name) => {
        try {
          return new X509Certificate(certificate).verify(read(name).publicKey);
        } catch {
          return false;
        }
      });
      assert.deepEqual(above, [new Uint8Array(read(issuer ?? '').raw)]);
      return issuer ?? '';
    });
  assert.equal(await bornUnder('meter', 'm-1'), 'factory');
  assert.equal(await bornUnder('pump', 'p-1'), 'factory-pumps');
  assert.equal(await bornUnder('meter', 'special'), 'factory-pumps');

  const line = { role: 'factory-pumps' };
  const next = await announce(options, await begunAlone('authority.announce', line));
  assert.deepEqual([next.name, next.serves], ['factory-pumps-2', serves]);
  assert.equal(await bornUnder('pump', 'p-2'), 'factory-pumps');
  await switchOver(options, await begunAlone('authority.switch', line));
  assert.equal(await bornUnder('pump', 'p-3'), 'factory-pumps-2');
  assert.equal(await bornUnder('meter', 'm-2'), 'factory');
  await replaceLost({ ...options, reason: 'stolen' }, 'factory-pumps-2');
  assert.equal(await bornUnder('pump', 'p-4'), 'factory-pumps-3');

  // One more, later; its name and its births are nobody else's.
  const wells = {
    role: 'factory-wells',
    adds: 'factory',
    serves: { products: ['well'], batches: [] },
  };
  assert.equal(await bornUnder('well', 'w-1'), 'factory');
  const added = await addAuthority(options, await begunAlone('authority.announce', wells));
  assert.equal(added.state, 'active');
  assert.deepEqual(
    await addAuthority(options, await begunAlone('authority.announce', wells)),
    added,
  );
  assert.equal(await bornUnder('well', 'w-2'), 'factory-wells');
  for (const [role, product, reason] of [
    ['factory-wells', 'spring', /is there already/],
    ['factory-springs', 'well', /are for the same devices/],
    ['springs', 'spring', /called factory-/],
  ] as const) {
    const other = { role, adds: 'factory', serves: { products: [product], batches: [] } };
    await assert.rejects(
      addAuthority(options, await begunAlone('authority.announce', other)),
      reason,
    );
  }

  // Elements whose keys are lost get no identity while the case is open.
  const loss = { kind: 'family', subject: 'software', firmware: '1.0' } as const;
  await withCasesAtRest(options, (desk) =>
    answerLostHolder(desk, { ...options, reason: 'weak random' }, loss, () =>
      Promise.resolve('none'),
    ),
  );
  await assert.rejects(bornUnder('meter', 'm-3'), /family-lost/);
  await withCasesAtRest(options, (desk) =>
    desk.closeCase('family-software-1.0', options.clock.nowMs()),
  );
  assert.equal(await bornUnder('meter', 'm-4'), 'factory');
  const names = [...defaultBook.map(({ name }) => name), 'factory-pumps', next.name];
  const issuers = new Map(
    [...names, 'factory-pumps-3', 'factory-wells'].map(
      (name) => [name, new Uint8Array(read(name).raw)] as const,
    ),
  );
  const report = await fsck({ snapshot: openSqliteSnapshot(paths.database), issuers });
  assert.deepEqual(report.faults, []);
  assert.equal(report.units, 10);
});

test('the batch counts before the product, and what nobody is for goes to the one for everything', () => {
  const everything = { name: 'factory', serves: undefined };
  const pump = { name: 'pump', serves: { products: ['pump'], batches: [] } };
  const one = { name: 'one', serves: { products: [], batches: ['b-1'] } };
  const all = [everything, pump, one];
  assert.equal(issuerFor(all, { product: 'pump', batch: 'b-1' }), one);
  assert.equal(issuerFor(all, { product: 'pump', batch: 'b-2' }), pump);
  assert.equal(issuerFor(all, { product: 'meter', batch: 'b-2' }), everything);
  assert.equal(issuerFor(all, undefined), everything);
  assert.equal(issuerFor([pump], { product: 'meter', batch: 'b-2' }), undefined);
});

test('a book that would leave births without an authority, or with two, is refused', () => {
  const [root, factory, ...others] = defaultBook;
  const slips: readonly unknown[] = [
    [root, { ...pumps }, ...others],
    [...defaultBook, { ...pumps, name: 'pumps' }],
    [...defaultBook, { ...pumps, role: 'server', name: 'server-pumps' }],
    [...defaultBook, { ...pumps, serves: {} }],
    [...defaultBook, { ...pumps, serves: { products: 'pump' } }],
    [...defaultBook, { ...pumps, serves: { products: [1] } }],
    [...defaultBook, { ...pumps, state: 'retired' }],
    [...defaultBook, pumps, { ...pumps, name: 'factory-pumps-2', sharesNameOf: pumps.name }],
    [...defaultBook, { ...factory, name: 'factory-other' }],
    [...defaultBook, pumps, { ...pumps, name: 'factory-wells' }],
  ];
  for (const slip of slips)
    assert.throws(() => parseBook(slip), MalformedError, JSON.stringify(slip));
  assert.deepEqual(parseBook([...defaultBook, pumps]).at(-1), pumps);
});
