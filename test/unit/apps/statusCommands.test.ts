/** `birthmark revoke`, `hold`, `reinstate` and `crl` against a running server. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCertificateList } from '../../../src/wire/crl/certificateList.ts';
import { parsePem } from '../../../src/wire/x509/pem.ts';
import { documentIn, type Ran, run } from '../../support/commandLine.ts';
import { fetchPlain, statusHouse, until } from '../../support/statusHouse.ts';

test('counted, held, reinstated, revoked; and the lists say so', async (context) => {
  const house = await statusHouse(context);
  const [leaf] = await house.enrol('dashboard');
  assert.ok(leaf);
  const sha256 = createHash('sha256').update(leaf).digest('hex');
  const common = ['--data', house.dataFolder, '--json'];
  const act = (verb: string, ...words: readonly string[]): Promise<Ran> =>
    run(verb, 'certificate', sha256, '--reason', 'test', ...words, ...common);
  const dry = await act('hold', '--dry-run');
  assert.equal(dry.status, 0, dry.stderr);
  assert.deepEqual(documentIn(dry), {
    act: 'hold',
    scope: 'certificate',
    dryRun: true,
    devices: 0,
    changed: 1,
    certificates: 1,
    notHere: 0,
    ended: 0,
  });
  for (const verb of ['hold', 'reinstate']) {
    assert.equal(documentIn(await act(verb))['changed'], 1);
  }
  assert.equal(documentIn(await act('revoke', '--code', 'keyCompromise'))['changed'], 1);
  for (const dryRun of [[], ['--dry-run']]) {
    const again = await act('reinstate', ...dryRun);
    assert.equal(again.status, 1);
    assert.match(again.stderr, /stays what it is/);
  }
  await until(async () => {
    const { lists } = documentIn(await run('crl', 'list', ...common));
    return (lists as ReadonlyArray<{ readonly count: number }>).some(({ count }) => count === 1);
  });
  const { lists } = documentIn(await run('crl', 'list', ...common));
  const shard = (lists as ReadonlyArray<Record<string, unknown>>).find(({ count }) => count === 1);
  const out = join(house.dataFolder, 'shard.pem');
  const shown = await run(
    'crl',
    'show',
    'server',
    String(shard?.['shard']),
    '--out',
    out,
    ...common,
  );
  const { entries } = documentIn(shown);
  assert.equal((entries as ReadonlyArray<Record<string, unknown>>)[0]?.['reason'], 'keyCompromise');
  const list = parseCertificateList(parsePem(readFileSync(out, 'utf8'), 'X509 CRL'));
  const served = await fetchPlain(`${house.url}/crl/server/${String(shard?.['shard'])}.crl`);
  assert.deepEqual(list.tbsCertList, parseCertificateList(served.body).tbsCertList);
  const text = await run('crl', 'list', '--data', house.dataFolder);
  assert.match(text.stdout, /1 entries on 10 lists/);
});

test('what cannot be meant', async (context) => {
  const house = await statusHouse(context);
  const data = ['--data', house.dataFolder];
  const cases: ReadonlyArray<readonly [status: number, message: RegExp, words: readonly string[]]> =
    [
      [2, /--reason/, ['revoke', 'batch', 'x', ...data]],
      [2, /--code is one of/, ['revoke', 'batch', 'x', '--reason', 'y', '--code', 'bad', ...data]],
      [
        2,
        /unknown option '--code'/,
        ['hold', 'batch', 'x', '--reason', 'y', '--code', 'z', ...data],
      ],
      [2, /SHA-256/, ['revoke', 'certificate', 'abc', '--reason', 'y', ...data]],
      [1, /not known here/, ['revoke', 'device', 'zzzzzzzzzzzzzzzz', '--reason', 'y', ...data]],
      [1, /no batch nobody is known/, ['revoke', 'batch', 'nobody', '--reason', 'y', ...data]],
      [1, /no product nobody/, ['revoke', 'product', 'nobody', '--reason', 'y', ...data]],
      [
        1,
        /no station nobody/,
        ['hold', 'station', 'nobody', '--reason', 'y', '--dry-run', ...data],
      ],
      [1, /no family nobody/, ['reinstate', 'family', 'nobody', '--reason', 'y', ...data]],
      [1, /no list server 9/, ['crl', 'show', 'server', '9', ...data]],
      [2, /no number of a list/, ['crl', 'show', 'server', 'x', ...data]],
      [3, /cannot be reached/, ['crl', 'list', '--data', `${house.dataFolder}/nowhere`]],
      // The root's key opens only where nothing else runs.
      [3, /in use|holds|another process/i, ['crl', 'sign-root', ...data]],
    ];
  await Promise.all(
    cases.map(async ([status, message, words]) => {
      const ran = await run(...words);
      assert.equal(ran.status, status, `${words.join(' ')}: ${ran.stderr}`);
      assert.match(ran.stderr, message);
    }),
  );
});

test('an installation that says where status is found, and the lists of its roots', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-init-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const init = (...words: readonly string[]): Promise<Ran> =>
    run('ca', 'init', '--organization', 'Test', '--data', folder, ...words);
  for (const [words, message] of [
    [['--status-url', 'https://a.example'], /begin with http:/],
    [['--status-url', 'http://a.example', '--shards', '3'], /power of two/],
    [['--shards', '4'], /go with --status-url/],
  ] as const) {
    const ran = await init(...words);
    assert.equal(ran.status, 2);
    assert.match(ran.stderr, message);
  }
  const plan = ['--status-url', 'http://status.example', '--shards', '2'];
  const made = await init(...plan, '--more-root', 'more=ecdsa-with-SHA384');
  assert.equal(made.status, 0, made.stderr);
  for (const dryRun of [['--dry-run'], []]) {
    const other = await init('--status-url', 'http://other.example', '--shards', '2', ...dryRun);
    assert.equal(other.status, 3);
    assert.match(other.stderr, /that stays so/);
  }
  const signed = await run('crl', 'sign-root', '--data', folder, '--json');
  assert.equal(signed.status, 0, signed.stderr);
  // Signed when the roots were made; a year has not passed.
  assert.deepEqual(
    (documentIn(signed)['lists'] as Array<Record<string, unknown>>).map((one) => [
      one['authority'],
      one['number'],
      one['count'],
    ]),
    [
      ['root', 1, 0],
      ['root-more', 1, 0],
    ],
  );
});
