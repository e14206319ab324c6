/** A root on another machine: requests out, certificates in, and what is refused on either side. */
import { begunAlone } from '../support/alone.ts';
import { replaceLost } from '../support/lostAuthority.ts';
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import {
  type AuthorityRecord,
  defaultBook,
  offlineKey,
  readBook,
} from '../../src/apps/authority/book.ts';
import { holdCeremony, parseCeremony } from '../../src/apps/authority/ceremony.ts';
import { importFromRoot } from '../../src/apps/authority/imports.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import {
  atRoot,
  createRoot,
  revokeAtRoot,
  signListAtRoot,
  type SignRequest,
  signRequests,
} from '../../src/apps/authority/offlineRoot.ts';
import { addAuthority, announce, switchOver } from '../../src/apps/authority/rollover.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { readAuditEntry } from '../../src/trust/audit/entry.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { nextStep } from '../../src/trust/ports/lossCase.ts';
import { findPem, type PemBlock } from '../../src/wire/x509/pem.ts';
import { faultsIn } from '../support/checked.ts';
import { openssl, opensslMissing } from '../support/openssl.ts';
import { testKey, testRequest, testRoot } from '../support/pki.ts';

const clock = { nowMs: Date.now };
const organization = 'Maker';
const statusUrl = 'http://status.example';
const roles = ['factory', 'operational', 'server'] as const;

interface Halves {
  readonly root: { folder: string; passphrase: string; clock: typeof clock; costLog2: number };
  readonly server: { dataFolder: string; passphrase: string; clock: typeof clock };
  readonly path: (name: string) => string;
  readonly begin: (
    certificate: Uint8Array,
    baseUrl?: string,
  ) => ReturnType<typeof initializeAuthority>;
  readonly ask: (role: SignRequest['role'], name?: string) => SignRequest;
}

function halves(context: TestContext): Halves {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-offline-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const server = { dataFolder: join(folder, 'data'), passphrase: 'of the server', clock };
  const home = authorityPaths(server.dataFolder).folder;
  const path = (name: string): string => join(home, name);
  const authorities = defaultBook.map((record): AuthorityRecord =>
    record.role === 'root' ? { ...record, key: offlineKey } : record,
  );
  return {
    root: { folder: join(folder, 'root'), passphrase: 'of the root', clock, costLog2: 4 },
    server,
    path,
    begin: (rootCertificate, baseUrl = statusUrl) =>
      initializeAuthority({
        ...server,
        organization,
        authorities,
        rootCertificate,
        ...(baseUrl === '' ? {} : { status: { baseUrl, shards: 2 } }),
        costLog2: 4,
      }),
    ask: (role, name = role) => {
      const [block] = findPem(readFileSync(path(`requests/${name}.csr`), 'utf8'));
      return { role, request: block?.der ?? new Uint8Array() };
    },
  };
}

function pem(der: Uint8Array): PemBlock {
  return { label: 'CERTIFICATE', der };
}

async function requestsInLog(dataFolder: string): Promise<ReadonlyArray<readonly string[]>> {
  const stores = await openAuthorityStores(authorityPaths(dataFolder), undefined);
  try {
    const entries = (await stores.audit.leaves(0, 100)).map(readAuditEntry);
    return entries.flatMap((entry) =>
      entry.kind === 'decision' && entry.act === 'authority-request'
        ? [[entry.subject, entry.detail]]
        : [],
    );
  } finally {
    await stores.close();
  }
}

async function installed(house: Halves): Promise<Uint8Array> {
  const { root, server, begin, ask } = house;
  const certificate = await createRoot(root, {
    organization,
    algorithm: 'ecdsa-with-SHA256',
    statusUrl,
  });
  await begin(certificate);
  const back = await atRoot(root, (open) =>
    signRequests(
      open,
      roles.map((role) => ask(role)),
    ),
  );
  const list = await atRoot(root, signListAtRoot);
  const blocks = [...back.map((one) => pem(one.certificate)), ...findPem(list)];
  const { pending } = await importFromRoot(server, blocks);
  assert.deepEqual(pending, []);
  return certificate;
}

test(
  'requests out, certificates in: openssl finds the way, and the server runs without the root',
  { skip: opensslMissing },
  async (context) => {
    const house = halves(context);
    const { root, server, path, begin, ask } = house;
    const plan = { organization, algorithm: 'ecdsa-with-SHA256', statusUrl } as const;
    const certificate = await createRoot(root, plan);
    assert.deepEqual(await createRoot(root, plan), certificate, 'given again');
    const begun = await begin(certificate);
    assert.deepEqual(
      begun.pending.map((file) => basename(file)),
      roles.map((role) => `${role}.csr`),
    );
    for (const file of begun.pending) {
      assert.match(openssl('req -noout -text -verify -in', file).output, /CA:TRUE, pathlen:0/);
    }
    await assert.rejects(startAuthority(server), /waits for certificates of its root/);
    // Half of it comes back: the other half is still waited for, across a second beginning.
    const [first, ...others] = await atRoot(root, (open) =>
      signRequests(
        open,
        roles.map((role) => ask(role)),
      ),
    );
    assert.ok(first !== undefined);
    const half = await importFromRoot(server, [pem(first.certificate)]);
    assert.deepEqual([half.certified, half.pending.length], [['factory'], 2]);
    assert.equal((await begin(certificate)).pending.length, 2);
    // Each was signed by the key of an authority, once, and the log has it.
    const signed = roles.map((role) => [
      role,
      createHash('sha256').update(ask(role).request).digest('hex'),
    ]);
    assert.deepEqual(await requestsInLog(server.dataFolder), signed);
    const list = findPem(await atRoot(root, signListAtRoot));
    const whole = await importFromRoot(server, [
      pem(certificate),
      ...others.map((one) => pem(one.certificate)),
      ...list,
    ]);
    assert.deepEqual(
      [whole.certified, whole.pending, whole.list],
      [['operational', 'server'], [], 1],
    );
    for (const role of roles) {
      const file = path(`${role}.pem`);
      const verified = openssl(
        'verify -x509_strict -crl_check -CRLfile',
        join(root.folder, 'root.crl'),
        '-CAfile',
        path('root.pem'),
        file,
      );
      assert.equal(verified.status, 0, verified.output);
    }
    const running = await startAuthority(server);
    const authority = new AuthorityClient(socketPathFor(server.dataFolder, 'authority'));
    const issued = await authority.issueServer(testRequest(testKey()), ['localhost']);
    authority.close();
    await running.close();
    assert.ok(!isRefusal(issued));
    const above = new X509Certificate(readFileSync(path('server.pem')));
    assert.ok(new X509Certificate(issued.chain[0] ?? '').verify(above.publicKey));
  },
);

test('the next generation asks the root too, and the revoked one is on its list', async (context) => {
  const house = halves(context);
  const { root, server, path, ask } = house;
  const certificate = await installed(house);
  await assert.rejects(
    announce(
      server,
      await begunAlone('authority.announce', { role: 'root', key: 'pkcs11:token=ca;object=root' }),
    ),
    /its key is made where the present one is/,
  );
  const waiting = await announce(
    server,
    await begunAlone('authority.announce', { role: 'operational' }),
  );
  assert.equal(waiting.pending, path('requests/operational-2.csr'));
  await assert.rejects(
    switchOver(server, await begunAlone('authority.switch', { role: 'operational' })),
    /operational-2.pem is missing/,
  );
  // A server that is started meanwhile goes on with what it has.
  await (await startAuthority(server)).close();
  const back = await atRoot(root, (open) =>
    signRequests(open, [ask('operational', 'operational-2')]),
  );
  const taken = await importFromRoot(
    server,
    back.map((one) => pem(one.certificate)),
  );
  assert.deepEqual([taken.certified, taken.pending], [['operational-2'], []]);
  const read = (name: string): X509Certificate => new X509Certificate(readFileSync(path(name)));
  assert.ok(read('operational-2.pem').verify(new X509Certificate(certificate).publicKey));
  assert.ok(read('operational-2.under-operational.pem').verify(read('operational.pem').publicKey));
  await switchOver(server, await begunAlone('authority.switch', { role: 'operational' }));

  await atRoot(root, (open) =>
    revokeAtRoot(open, new Uint8Array(read('operational.pem').raw), 'cACompromise', 'lost'),
  );
  const list = findPem(readFileSync(join(root.folder, 'root.crl'), 'utf8'));
  assert.equal((await importFromRoot(server, list)).list, 2);
  const stores = await openAuthorityStores(authorityPaths(server.dataFolder), undefined);
  const published = await stores.status.list({ authority: 'root', shard: 0 });
  await stores.close();
  assert.deepEqual([published?.number, published?.count], [2, 1]);
  assert.deepEqual(await faultsIn(server.dataFolder), []);
});

test('a lost authority waits for its root twice: for the next one, and for the list', async (context) => {
  const house = halves(context);
  const { root, server, path, ask } = house;
  await installed(house);
  const answer = async (): ReturnType<typeof replaceLost> =>
    replaceLost({ ...server, reason: 'stolen' }, 'operational');
  assert.match((await answer()).waitsFor ?? '', /operational-2\.csr/);
  await assert.rejects(startAuthority(server), /the key of operational is lost/);
  const back = await atRoot(root, (open) =>
    signRequests(open, [ask('operational', 'operational-2')]),
  );
  await importFromRoot(
    server,
    back.map((one) => pem(one.certificate)),
  );
  assert.ok(!existsSync(path('operational-2.under-operational.pem')), 'no link from a lost key');
  assert.match((await answer()).waitsFor ?? '', /birthmark ca root revoke operational\.pem/);
  // Its place is taken: the server may run while the list is fetched.
  await (await startAuthority(server)).close();
  const lost = new X509Certificate(readFileSync(path('operational.pem')));
  await atRoot(root, (open) =>
    revokeAtRoot(open, new Uint8Array(lost.raw), 'cACompromise', 'stolen'),
  );
  await importFromRoot(server, findPem(readFileSync(join(root.folder, 'root.crl'), 'utf8')));
  const { waitsFor, case: done } = await answer();
  assert.deepEqual([waitsFor, nextStep(done)], [undefined, undefined]);
});

test('a ceremony under it is held twice: what waits, and what came', async (context) => {
  const { root, server, ask } = halves(context);
  const plan = parseCeremony(
    JSON.stringify({
      organization,
      authorities: defaultBook.map((one) =>
        one.role === 'root' ? { ...one, key: 'offline' } : one,
      ),
    }),
  );
  const rootCertificate = await createRoot(root, { organization, algorithm: 'ecdsa-with-SHA256' });
  const first = await holdCeremony(plan, { ...server, rootCertificate, costLog2: 4 });
  const waits = first.filter((line) => line.startsWith('Waits for the root'));
  assert.equal(waits.length, 3);
  const back = await atRoot(root, (open) =>
    signRequests(
      open,
      roles.map((role) => ask(role)),
    ),
  );
  await importFromRoot(
    server,
    back.map((one) => pem(one.certificate)),
  );
  const second = (await holdCeremony(plan, server)).join('\n');
  for (const name of ['root', ...roles, 'manifest'])
    assert.ok(second.includes(`${name}.pem`), name);
  assert.ok(!second.includes('Waits for the root'));
});

test('one more factory authority waits for the root, and issues when its certificate came', async (context) => {
  const house = halves(context);
  const { root, server, ask } = house;
  await installed(house);
  const serves = { products: ['pump'], batches: [] };
  const asked = { role: 'factory-pumps', adds: 'factory', serves };
  const added = await addAuthority(server, await begunAlone('authority.announce', asked));
  assert.match(added.pending ?? '', /factory-pumps\.csr/);
  await (await startAuthority(server)).close();
  const back = await atRoot(root, (open) => signRequests(open, [ask('factory', 'factory-pumps')]));
  const taken = await importFromRoot(
    server,
    back.map((one) => pem(one.certificate)),
  );
  assert.deepEqual([taken.certified, taken.pending], [['factory-pumps'], []]);
  const book = await readBook(authorityPaths(server.dataFolder));
  assert.equal(book.find(({ name }) => name === 'factory-pumps')?.state, 'active');
  await (await startAuthority(server)).close();
});

test('at the root: what is not what it is said to be is refused, and nothing is signed', async (context) => {
  const house = halves(context);
  const { root, begin, ask } = house;
  await begin(await createRoot(root, { organization, algorithm: 'ecdsa-with-SHA256', statusUrl }));
  const asked = ask('factory');
  const forged = asked.request.slice();
  forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
  const refused: ReadonlyArray<readonly [SignRequest, RegExp]> = [
    [{ ...asked, role: 'server' }, /no name of a server authority/],
    [{ role: 'factory', request: forged }, /not signed by its own key/],
    [{ role: 'factory', request: new Uint8Array(3) }, /no certification request/],
    [{ role: 'server', request: testRequest(testKey()) }, /no name of a server authority/],
  ];
  for (const [request, reason] of refused) {
    await assert.rejects(
      atRoot(root, (open) => signRequests(open, [asked, request])),
      (error: unknown) => error instanceof EnvironmentError && reason.test(error.message),
    );
  }
  const { issued } = await atRoot(root, ({ stores }) => stores.issuance.countCertificates());
  assert.equal(issued, 1, 'the root itself');
  await assert.rejects(
    atRoot({ ...root, passphrase: 'of somebody' }, signListAtRoot),
    /does not open/,
  );
  await assert.rejects(
    createRoot(root, { organization: 'Other', algorithm: 'ecdsa-with-SHA256' }),
    /holds the root of Maker/,
  );
});

test('at the server: only the pinned root, only keys that asked, only the agreed profile', async (context) => {
  const house = halves(context);
  const { root, server, path, begin, ask } = house;
  const plan = { organization, algorithm: 'ecdsa-with-SHA256', statusUrl } as const;
  const certificate = await createRoot(root, plan);
  await begin(certificate);
  const stranger = await createRoot({ ...root, folder: `${root.folder}-2` }, plan);
  await assert.rejects(begin(stranger), /holds another certificate already/);
  await assert.rejects(begin(testRoot('Maker Root').certificate.der), /no root of Maker/);

  const [factory, , again] = await atRoot({ ...root, folder: `${root.folder}-2` }, (open) =>
    signRequests(
      open,
      roles.map((role) => ask(role)),
    ),
  );
  assert.ok(factory !== undefined && again !== undefined);
  await assert.rejects(
    importFromRoot(server, [pem(factory.certificate)]),
    /not signed by the root/,
  );
  await assert.rejects(
    importFromRoot(server, [pem(testRoot('Maker Factory').certificate.der)]),
    /no key that this installation asked for/,
  );
  await assert.rejects(importFromRoot(server, []), /no certificate and no list/);
  const strange = findPem(await atRoot({ ...root, folder: `${root.folder}-2` }, signListAtRoot));
  await assert.rejects(importFromRoot(server, strange), /not signed by the root/);

  // Told another status URL than the installation, the root would send whoever asks to nowhere.
  const other = halves(context);
  await other.begin(await createRoot(other.root, { ...plan, statusUrl: 'http://other.example' }));
  const [lost] = await atRoot(other.root, (open) => signRequests(open, [other.ask('server')]));
  assert.ok(lost !== undefined);
  await assert.rejects(importFromRoot(other.server, [pem(lost.certificate)]), /distribution point/);
  const files = roles.map((role) => path(`${role}.pem`));
  for (const file of files) assert.throws(() => readFileSync(file), /ENOENT/);
});

test(
  'openssl as the root: what it copies from our requests is taken, another profile is refused',
  { skip: opensslMissing },
  async (context) => {
    const { server, path, begin } = halves(context);
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-openssl-root-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const at = (name: string): string => join(folder, name);
    const run = (...words: readonly string[]): void => {
      const { status, output } = openssl(...words);
      assert.equal(status, 0, output);
    };
    run('ecparam -name prime256v1 -genkey -noout -out', at('root.key'));
    writeFileSync(at('root.cnf'), rootConfiguration);
    const config = ['-key', at('root.key'), '-config', at('root.cnf'), '-out', at('root.pem')];
    run('req -new -x509 -days 36500', ...config);
    const [root] = findPem(readFileSync(at('root.pem'), 'utf8'));
    assert.ok(root !== undefined);
    await begin(root.der, '');
    writeFileSync(at('ext.cnf'), 'authorityKeyIdentifier=keyid\n');
    const sign = (role: string, ...how: readonly string[]): PemBlock => {
      const request = ['-in', path(`requests/${role}.csr`), '-extfile', at('ext.cnf')];
      const by = ['-CAcreateserial -CA', at('root.pem'), '-CAkey', at('root.key')];
      run('x509 -req', ...request, ...by, ...how, '-out', at(`${role}.pem`));
      const [made] = findPem(readFileSync(at(`${role}.pem`), 'utf8'));
      assert.ok(made !== undefined);
      return made;
    };
    const copied = ['-copy_extensions copyall'];
    const refused: ReadonlyArray<readonly [PemBlock, RegExp]> = [
      [sign('operational', '-days 3653'), /subject key identifier is missing/],
      [sign('operational', '-days 4000', ...copied), /lives longer, or shorter/],
      [sign('factory', '-days 3653', ...copied), /lives longer, or shorter/],
    ];
    for (const [block, reason] of refused) {
      await assert.rejects(importFromRoot(server, [block]), reason);
    }
    const days = '-days 3653';
    const good = [sign('operational', days, ...copied), sign('server', days, ...copied)];
    const taken = await importFromRoot(server, good);
    assert.deepEqual(taken.certified, ['operational', 'server']);
    // A root with an end cannot certify what has none; the request for the factory waits on.
    assert.deepEqual(taken.pending, [path('requests/factory.csr')]);
  },
);

const rootConfiguration = `
[req]
distinguished_name = dn
prompt = no
x509_extensions = root
[dn]
O = Maker
CN = Maker Root
[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`;
