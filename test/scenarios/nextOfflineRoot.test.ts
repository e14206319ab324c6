/** The next generation of a root on another machine: announced here, made there, taken in, switched to. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { defaultBook, readBook } from '../../src/apps/authority/book.ts';
import { importFromRoot } from '../../src/apps/authority/imports.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import {
  makeNextRoot,
  type NextRoot,
  switchRoot,
} from '../../src/apps/authority/nextOfflineRoot.ts';
import {
  atRoot,
  createRoot,
  revokeAtRoot,
  signListAtRoot,
  type SignRequest,
  signRequests,
} from '../../src/apps/authority/offlineRoot.ts';
import { addRoot } from '../../src/apps/authority/moreRoots.ts';
import { announce, remove, switchOver } from '../../src/apps/authority/rollover.ts';
import { openAuthorityStores } from '../../src/apps/authority/stores.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { parseCertificateList, revokedEntries } from '../../src/wire/crl/certificateList.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { printName } from '../../src/wire/x509/names.ts';
import { findPem, type PemBlock } from '../../src/wire/x509/pem.ts';
import { begunAlone } from '../support/alone.ts';
import { assembled, birth } from '../support/issuing/assembled.ts';
import { openssl, opensslMissing } from '../support/openssl.ts';

const clock = { nowMs: Date.now };
const costLog2 = 4;
const organization = 'Maker';
const statusUrl = 'http://status.example';
const roles = ['factory', 'operational', 'server'] as const;

/** The server's half and the root's, with everything that goes between them. */
class Halves {
  readonly server: { dataFolder: string; passphrase: string; clock: typeof clock };
  readonly root: { folder: string; passphrase: string; clock: typeof clock; costLog2: number };

  private constructor(folder: string) {
    this.server = { dataFolder: join(folder, 'data'), passphrase: 'of the server', clock };
    this.root = { folder: join(folder, 'root'), passphrase: 'of the root', clock, costLog2 };
  }

  static async create(context: TestContext, commitsNext = false): Promise<Halves> {
    const folder = mkdtempSync(join(tmpdir(), 'birthmark-next-root-'));
    context.after(() => rmSync(folder, { recursive: true, force: true }));
    const halves = new Halves(folder);
    const { root, server } = halves;
    const plan = { organization, algorithm: 'ecdsa-with-SHA256', statusUrl, commitsNext } as const;
    const rootCertificate = await createRoot(root, plan);
    const authorities = defaultBook.map((record) =>
      record.role === 'root' ? { ...record, key: 'offline' } : record,
    );
    const status = { baseUrl: statusUrl, shards: 2 };
    const begin = { ...server, organization, authorities, rootCertificate, status, costLog2 };
    await initializeAuthority(begin);
    const back = await atRoot(root, (open) =>
      signRequests(
        open,
        roles.map((role) => halves.request(role)),
      ),
    );
    const lists = await atRoot(root, signListAtRoot);
    await halves.import(
      back.map(({ certificate }) => certificate),
      lists,
    );
    return halves;
  }

  request(role: SignRequest['role'], name: string = role): SignRequest {
    const [block] = findPem(readFileSync(this.path(`requests/${name}.csr`), 'utf8'));
    return { role, request: block?.der ?? new Uint8Array(0) };
  }

  path(name: string): string {
    return join(authorityPaths(this.server.dataFolder).folder, name);
  }

  async import(certificates: Iterable<Uint8Array>, lists = ''): Promise<readonly string[]> {
    const blocks = [...certificates].map((der): PemBlock => ({ label: 'CERTIFICATE', der }));
    return (await importFromRoot(this.server, [...blocks, ...findPem(lists)])).pending;
  }

  async announce(newName = false): Promise<string | undefined> {
    const more = newName ? { newName } : {};
    const begun = await begunAlone('authority.announce', { role: 'root', ...more });
    return (await announce(this.server, begun)).pending;
  }

  make(newName = false, names: readonly (typeof roles)[number][] = roles): Promise<NextRoot> {
    const requests = new Map(names.map((name) => [name, this.request(name)] as const));
    return atRoot(this.root, (open) => makeNextRoot(open, { newName }, requests));
  }

  async switch(): Promise<void> {
    await switchOver(this.server, await begunAlone('authority.switch', { role: 'root' }));
    await atRoot(this.root, switchRoot);
  }

  /** Whether openssl finds the way from an authority to that root alone, and its lists good. */
  verifies(anchor: string, name: string, ...between: readonly string[]): string {
    const untrusted = between.flatMap((one) => ['-untrusted', this.path(`${one}.pem`)]);
    const words = ['verify', '-CAfile', this.path(`${anchor}.pem`), ...untrusted];
    return openssl(...words, this.path(`${name}.pem`)).output;
  }
}

test(
  'the same name: both believe each other’s, and the new one certifies what comes after',
  { skip: opensslMissing },
  async (context) => {
    const house = await Halves.create(context);
    const { server, root } = house;
    assert.equal(await house.announce(), 'root-2');
    // Announced and not made: everything goes on, and nothing is switched.
    await (await startAuthority(server)).close();
    await assert.rejects(house.switch(), /root-2\.pem is missing/);

    const made = await house.make(false, ['factory', 'operational']);
    assert.deepEqual(
      [...made.certificates.keys()],
      [
        'root-2',
        'root-2.under-root',
        'root.under-root-2',
        'factory.under-root-2',
        'operational.under-root-2',
      ],
    );
    assert.deepEqual(await house.import(made.certificates.values(), made.lists), [
      'server.under-root-2',
    ]);
    await assert.rejects(house.switch(), /has not taken in server\.under-root-2/);
    const again = await house.make();
    assert.deepEqual(again.certificates.get('root-2'), made.certificates.get('root-2'));
    assert.deepEqual(await house.import(again.certificates.values(), again.lists), []);
    assert.deepEqual(await house.import(again.certificates.values(), again.lists), [], 'again');

    assert.match(house.verifies('root-2', 'factory.under-root-2'), /OK/);
    assert.match(house.verifies('root', 'factory.under-root-2', 'root-2.under-root'), /OK/);
    assert.match(house.verifies('root-2', 'factory', 'root.under-root-2'), /OK/);
    await house.switch();
    const book = await readBook(authorityPaths(server.dataFolder));
    assert.deepEqual(
      book.filter(({ role }) => role === 'root').map(({ name, state }) => `${name} ${state}`),
      ['root retired', 'root-2 active'],
    );
    await assembled(server, async (parts) => {
      assert.equal((await birth(parts, 'thing', 'b-1')).length, 3);
    });

    // What comes after is certified by the new one; the lists of both go on.
    const operational = { role: 'operational' };
    await announce(server, await begunAlone('authority.announce', operational));
    const asked = [house.request('operational', 'operational-2')];
    const [signed] = await atRoot(root, (open) => signRequests(open, asked));
    assert.ok(signed);
    assert.deepEqual(await house.import([signed.certificate]), []);
    assert.match(house.verifies('root-2', 'operational-2'), /OK/);
    assert.match(house.verifies('root', 'operational-2', 'root-2.under-root'), /OK/);
    await switchOver(server, await begunAlone('authority.switch', operational));
    await remove(server, await begunAlone('authority.remove', operational));
    const [gone] = findPem(readFileSync(house.path('operational.pem'), 'utf8'));
    assert.ok(gone);
    await atRoot(root, (open) => revokeAtRoot(open, gone.der, 'superseded', 'a drill'));
    assert.deepEqual(await house.import([], await atRoot(root, signListAtRoot)), []);
    await listed(house, ['root', 'root-2']);
    const lists = findPem(await atRoot(root, signListAtRoot)).map(({ der }) =>
      parseCertificateList(der),
    );
    assert.deepEqual(
      lists.map((list) => [...revokedEntries(list)].length),
      [1, 1],
      'both have certified it',
    );

    await remove(server, await begunAlone('authority.remove', { role: 'root' }));
    const running = await startAuthority(server);
    const client = new AuthorityClient(socketPathFor(server.dataFolder, 'authority'));
    const { roots, links } = await client.hierarchy();
    client.close();
    await running.close();
    assert.deepEqual([roots.length, links.length], [1, 2], 'root-2 above factory and server');
  },
);

test('another name, whose key the present one has named: no other key is taken in', async (context) => {
  const house = await Halves.create(context, true);
  await house.announce(true);
  const made = await house.make(true);
  const [own = new Uint8Array(0)] = made.certificates.values();
  assert.equal(printName(parseCertificate(own).subject), 'CN=Maker Root 2,O=Maker');
  assert.deepEqual(await house.import(made.certificates.values(), made.lists), []);
  await house.switch();
  const names = readdirSync(house.path('.')).filter((file) => file.includes('under-root-2'));
  assert.equal(names.length, 4);

  const stranger = await Halves.create(context);
  await stranger.announce(true);
  const foreign = await stranger.make(true);
  const other = await Halves.create(context, true);
  await other.announce(true);
  await assert.rejects(
    other.import(foreign.certificates.values(), foreign.lists),
    /the present root has not certified the key of CN=Maker Root 2/,
  );
  await other.make(true);
  await assert.rejects(other.import([own]), /the present root has not certified/);
});

test('a next root that nobody announced, or of the other name, is not taken in', async (context) => {
  const house = await Halves.create(context);
  const made = await house.make();
  await assert.rejects(
    house.import(made.certificates.values(), made.lists),
    /is for no key that this installation asked for/,
  );
  await house.announce(true);
  await assert.rejects(
    house.import(made.certificates.values()),
    /is not the name that root-2 was announced with/,
  );
});

test('one more root on another machine, of another algorithm: pinned, and what it certified taken in', async (context) => {
  const house = await Halves.create(context);
  const { server } = house;
  const folder = join(house.root.folder, '..', 'root-pq');
  const root = { folder, passphrase: 'of the other root', clock, costLog2 };
  const plan = { organization, algorithm: 'ML-DSA-65', statusUrl, name: 'pq' } as const;
  const certificate = await createRoot(root, plan);
  assert.equal(printName(parseCertificate(certificate).subject), 'CN=Maker Root pq,O=Maker');
  const rootSha256 = nodeCrypto.hash('SHA-256', certificate);
  const request = { role: 'root-pq', adds: 'root', algorithm: 'ML-DSA-65', key: 'offline' };
  const asked = { ...request, rootSha256 };
  const add = async (wanted: typeof asked, given: Uint8Array) =>
    addRoot(server, await begunAlone('authority.announce', wanted), given);
  const [first] = findPem(readFileSync(house.path('root.pem'), 'utf8'));
  assert.ok(first);
  await assert.rejects(add(asked, first.der), /another certificate of the root was approved/);
  const own = { ...asked, rootSha256: nodeCrypto.hash('SHA-256', first.der) };
  await assert.rejects(
    add({ ...own, algorithm: 'ecdsa-with-SHA256' }, first.der),
    /CN=Maker Root,O=Maker is the name of root/,
  );
  await assert.rejects(add({ ...asked, role: 'root-2' }, certificate), /it is called root-NAME/);
  const unders = roles.map((role) => `${role}.under-root-pq`);
  const added = await add(asked, certificate);
  assert.deepEqual(added.pending, unders);

  const back = await atRoot(root, (open) =>
    signRequests(
      open,
      roles.map((role) => house.request(role)),
    ),
  );
  const [factory, ...others] = back.map((one) => one.certificate);
  assert.ok(factory);
  assert.deepEqual(await house.import([factory]), unders.slice(1));
  assert.deepEqual(await house.import(others, await atRoot(root, signListAtRoot)), []);
  const anchor = new X509Certificate(certificate);
  for (const name of unders) {
    const under = new X509Certificate(readFileSync(house.path(`${name}.pem`)));
    assert.ok(under.verify(anchor.publicKey), name);
  }
  await listed(house, ['root', 'root-pq']);
  const running = await startAuthority(server);
  const client = new AuthorityClient(socketPathFor(server.dataFolder, 'authority'));
  const { roots, links } = await client.hierarchy();
  client.close();
  await running.close();
  assert.deepEqual([roots.length, links.length], [2, 3]);
  // The first root goes on certifying.
  const operational = { role: 'operational' };
  await announce(server, await begunAlone('authority.announce', operational));
  const next = [house.request('operational', 'operational-2')];
  const [signed] = await atRoot(house.root, (open) => signRequests(open, next));
  assert.ok(signed);
  assert.deepEqual(await house.import([signed.certificate]), ['operational-2.under-root-pq']);
});

test('one more root in the folder certifies what is there, and every generation after', async (context) => {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-more-roots-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const options = { dataFolder, passphrase: 'of the server', clock };
  await initializeAuthority({ ...options, organization, costLog2 });
  const asked = { role: 'root-pq', adds: 'root', algorithm: 'ecdsa-with-SHA384' };
  const begun = await begunAlone('authority.announce', asked);
  const added = await addRoot(options, begun);
  assert.deepEqual(added.pending, []);
  assert.deepEqual((await addRoot(options, begun)).record, added.record, 'given again');
  const operational = { role: 'operational' };
  await announce(options, await begunAlone('authority.announce', operational));
  const { folder } = authorityPaths(dataFolder);
  const read = (name: string) => new X509Certificate(readFileSync(join(folder, `${name}.pem`)));
  for (const name of [...roles, 'operational-2']) {
    assert.ok(read(`${name}.under-root-pq`).verify(read('root-pq').publicKey), name);
    assert.ok(read(name).verify(read('root').publicKey), name);
  }
});

async function listed({ server }: Halves, names: readonly string[]): Promise<void> {
  const stores = await openAuthorityStores(authorityPaths(server.dataFolder), undefined);
  try {
    for (const authority of names) {
      const list = await stores.status.list({ authority, shard: 0 });
      assert.ok(list !== undefined && list.number >= 1, authority);
    }
  } finally {
    await stores.close();
  }
}
