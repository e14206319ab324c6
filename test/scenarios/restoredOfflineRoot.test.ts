/**
 * A backup of before an authority below a root on another machine was lost: the root's newest list alone says
 * that it is revoked, and the list is demanded.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths, readCertificateFile } from '../../src/apps/authority/authorityFolder.ts';
import { type AuthorityRecord, defaultBook, offlineKey } from '../../src/apps/authority/book.ts';
import { importFromRoot } from '../../src/apps/authority/imports.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import {
  atRoot,
  createRoot,
  revokeAtRoot,
  type SignRequest,
  signListAtRoot,
  signRequests,
} from '../../src/apps/authority/offlineRoot.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { backUp, restore } from '../../src/apps/store/backup.ts';
import { recover, type RecoverOptions, releaseRecovery } from '../../src/apps/store/recover.ts';
import { findPem, type PemBlock } from '../../src/wire/x509/pem.ts';
import { begunAlone } from '../support/alone.ts';
import { Installation } from '../support/installation.ts';
import { testSigner } from '../support/issuing/world.ts';
import { replaceLost } from '../support/lostAuthority.ts';

const clock = { nowMs: Date.now };
const organization = 'Maker';
const statusUrl = 'http://status.example';
const passphrase = 'for tests only';

interface Halves {
  readonly root: { folder: string; passphrase: string; clock: typeof clock; costLog2: number };
  readonly path: (name: string) => string;
}

function halves(context: TestContext): Halves {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-offline-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const root = { folder: join(folder, 'root'), passphrase, clock, costLog2: 4 };
  return { root, path: (name) => join(folder, name) };
}

function serverIn(dataFolder: string): {
  dataFolder: string;
  passphrase: string;
  clock: typeof clock;
} {
  return { dataFolder, passphrase, clock };
}

/** Takes requests to the root, and certificates back. */
async function certify(
  { root }: Halves,
  dataFolder: string,
  asked: ReadonlyMap<string, SignRequest['role']>,
): Promise<void> {
  const { folder } = authorityPaths(dataFolder);
  const requests = [...asked].map(([name, role]) => {
    const [block] = findPem(readFileSync(join(folder, `requests/${name}.csr`), 'utf8'));
    return { role, request: block?.der ?? new Uint8Array() };
  });
  const back = await atRoot(root, (open) => signRequests(open, requests));
  const blocks = back.map(({ certificate: der }): PemBlock => ({ label: 'CERTIFICATE', der }));
  await importFromRoot(serverIn(dataFolder), blocks);
}

async function installed(house: Halves, dataFolder: string): Promise<void> {
  const { root } = house;
  const plan = { organization, algorithm: 'ecdsa-with-SHA256', statusUrl } as const;
  const rootCertificate = await createRoot(root, plan);
  const authorities = defaultBook.map((record): AuthorityRecord =>
    record.role === 'root' ? { ...record, key: offlineKey } : record,
  );
  const status = { baseUrl: statusUrl, shards: 1 };
  const server = serverIn(dataFolder);
  await initializeAuthority({
    ...server,
    organization,
    authorities,
    rootCertificate,
    status,
    costLog2: 4,
  });
  const roles = ['factory', 'operational', 'server'] as const;
  await certify(house, dataFolder, new Map(roles.map((role) => [role, role])));
  await importFromRoot(server, findPem(await atRoot(root, signListAtRoot)));
}

/** The list is imported where it is new. */
async function replace(house: Halves, dataFolder: string): Promise<void> {
  const answer = (): ReturnType<typeof replaceLost> =>
    replaceLost({ ...serverIn(dataFolder), reason: 'stolen' }, 'operational');
  assert.match((await answer()).waitsFor ?? '', /operational-2\.csr/);
  await certify(house, dataFolder, new Map([['operational-2', 'operational']]));
  if ((await answer()).waitsFor === undefined) return;
  const lost = await readCertificateFile(authorityPaths(dataFolder), 'operational');
  await atRoot(house.root, (open) => revokeAtRoot(open, lost, 'cACompromise', 'stolen'));
  const list = findPem(readFileSync(join(house.root.folder, 'root.crl'), 'utf8'));
  await importFromRoot(serverIn(dataFolder), list);
  assert.equal((await answer()).waitsFor, undefined);
}

test('the newest list of a root on another machine is demanded, and takes its place', async (context) => {
  const house = halves(context);
  const { root, path } = house;
  await installed(house, path('data'));
  await (await startAuthority(serverIn(path('data')))).close();
  await backUp(path('data'), path('backup'), undefined);
  await replace(house, path('data'));
  await (await startAuthority(serverIn(path('data')))).close();
  cpSync(authorityPaths(path('data')).log, path('log'), { recursive: true });

  await restore(path('backup'), path('new'));
  const options: RecoverOptions = {
    dataFolder: path('new'),
    log: path('log'),
    witnesses: [],
    checkpoints: [join(path('log'), 'checkpoint')],
    ledger: undefined,
    skippedAddresses: 10,
    lists: [],
    nowMs: Date.now(),
  };
  await assert.rejects(recover(options), /list 2 of root.*is missing: --crl/);
  const newest = findPem(readFileSync(join(root.folder, 'root.crl'), 'utf8'));
  await recover({ ...options, lists: newest.map(({ der }) => der) });
  const persons = { requestedBy: 'A', approvedBy: 'B', atMs: Date.now() };
  await releaseRecovery(options, persons, await begunAlone('store.release', { report: {} }));
  const stores = await openAuthorityStores(authorityPaths(path('new')), undefined);
  const list = await stores.status.list({ authority: 'root', shard: 0 });
  await stores.close();
  assert.deepEqual([list?.number, list?.count], [2, 1]);
  const restored = Installation.open(path('new'), testSigner(), clock);
  assert.deepEqual((await restored.fsck()).faults, []);

  await assert.rejects(startAuthority(serverIn(path('new'))), /the key of operational is lost/);
  await replace(house, path('new'));
  await (await startAuthority(serverIn(path('new')))).close();
  assert.deepEqual((await restored.fsck()).faults, []);
});
