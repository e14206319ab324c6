/** Authorities take over from others: every step, with devices, doors and the authority's own process. */
import { begunAlone } from '../support/alone.ts';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test, type TestContext } from 'node:test';
import { startAuthority } from '../../src/apps/authority/authority.ts';
import { active, defaultBook } from '../../src/apps/authority/book.ts';
import { assessCompromise } from '../../src/apps/authority/compromise.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import {
  announce,
  remove,
  type RolloverOptions,
  switchOver,
} from '../../src/apps/authority/rollover.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import { extendAnchors } from '../../src/device/enrolment/anchors.ts';
import { AnchorsClient } from '../../src/drivers/links/local/anchorsClient.ts';
import { AuthorityClient } from '../../src/drivers/links/local/authorityClient.ts';
import { DeskClient } from '../../src/drivers/links/local/deskClient.ts';
import { nodeCrypto } from '../../src/drivers/keys/software/nodeCrypto.ts';
import { socketPathFor } from '../../src/apps/socketPath.ts';
import type { Hierarchy } from '../../src/trust/ports/authority.ts';
import { EnvironmentError, isRefusal } from '../../src/trust/ports/faults.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { committedSha256, hashOfRootKeyOid } from '../../src/wire/x509/hashOfRootKey.ts';
import { faultsIn } from '../support/checked.ts';
import { opensslMissing, openssl } from '../support/openssl.ts';
import { FakeProvisioningAuthority } from '../support/fakeAuthority.ts';
import { pki } from '../support/peers.ts';
import { testKey, testRequest } from '../support/pki.ts';
import { testProvisioner } from '../support/provisioner.ts';
import { deviceIdOf } from '../support/registrySamples.ts';

const clock = { nowMs: Date.now };

interface House extends RolloverOptions {
  readonly folder: string;
  readonly database: string;
  readonly certificate: (name: string) => X509Certificate;
  /** Starts the authority, asks, and stops it. */
  readonly serve: <Value>(use: (authority: AuthorityClient) => Promise<Value>) => Promise<Value>;
}

async function open(
  context: TestContext,
  more: { readonly commitNextRoot?: boolean } = {},
): Promise<House> {
  const dataFolder = mkdtempSync(join(tmpdir(), 'birthmark-rollover-'));
  context.after(() => rmSync(dataFolder, { recursive: true, force: true }));
  const passphrase = 'correct horse';
  const options = { dataFolder, passphrase, clock };
  const paths = await initializeAuthority({
    ...options,
    ...more,
    organization: 'Maker',
    costLog2: 4,
  });
  return {
    ...options,
    folder: paths.folder,
    database: paths.database,
    certificate: (name) => new X509Certificate(readFileSync(join(paths.folder, `${name}.pem`))),
    serve: async (use) => {
      const running = await startAuthority({ dataFolder, passphrase });
      const authority = new AuthorityClient(socketPathFor(dataFolder, 'authority'));
      try {
        return await use(authority);
      } finally {
        authority.close();
        await running.close();
      }
    },
  };
}

function offered({ roots, operational, links }: Hierarchy): readonly Uint8Array[] {
  return [...roots, ...operational, ...links];
}

test('the authority of servers: a device takes the new one in by the old one, then the old one goes', async (context) => {
  const house = await open(context);
  const old = house.certificate('server');
  const next = await announce(house, await begunAlone('authority.announce', { role: 'server' }));
  assert.deepEqual([next.name, next.state], ['server-2', 'announced']);
  // Cut short or given twice, it finds what it had made.
  assert.deepEqual(
    await announce(house, await begunAlone('authority.announce', { role: 'server' })),
    next,
  );
  const fresh = house.certificate('server-2');
  assert.equal(fresh.subject, old.subject);
  assert.ok(fresh.verify(house.certificate('root').publicKey));
  assert.ok(house.certificate('server-2.under-server').verify(old.publicKey));
  assert.ok(house.certificate('server.under-server-2').verify(fresh.publicKey));

  const announced = await house.serve(async (authority) => {
    const issued = await authority.issueServer(testRequest(testKey()), ['localhost']);
    assert.ok(!isRefusal(issued));
    assert.ok(
      new X509Certificate(issued.chain[0] ?? '').verify(old.publicKey),
      'the old one issues',
    );
    return authority.hierarchy();
  });
  // What a device does with cacerts: the new key comes in because the old one has signed it.
  const present = [new Uint8Array(old.raw)];
  const anchors = extendAnchors(nodeCrypto, present, offered(announced));
  const keys = anchors.map((der) => parseCertificate(der).publicKey.spki);
  assert.ok(
    keys.some((spki) =>
      Buffer.from(spki).equals(fresh.publicKey.export({ format: 'der', type: 'spki' })),
    ),
  );

  const { from, to } = await switchOver(
    house,
    await begunAlone('authority.switch', { role: 'server' }),
  );
  assert.deepEqual([from.name, to.name], ['server', 'server-2']);
  await house.serve(async (authority) => {
    const issued = await authority.issueServer(testRequest(testKey()), ['localhost']);
    assert.ok(!isRefusal(issued));
    const [leaf = new Uint8Array(), link = new Uint8Array(), above] = issued.chain;
    assert.ok(new X509Certificate(leaf).verify(fresh.publicKey), 'the new one issues');
    assert.deepEqual(above, new Uint8Array(fresh.raw));
    // Who slept meanwhile believes the old one alone, and finds its way over the link.
    assert.deepEqual(link, new Uint8Array(house.certificate('server-2.under-server').raw));
    assert.equal((await authority.hierarchy()).server.length, 2);
  });
  await remove(house, await begunAlone('authority.remove', { role: 'server' }));
  await house.serve(async (authority) => {
    const { server, links } = await authority.hierarchy();
    assert.deepEqual([server.length, links.length], [1, 0]);
  });
  await assert.rejects(
    remove(house, await begunAlone('authority.remove', { role: 'server' })),
    EnvironmentError,
  );
  await assert.rejects(
    switchOver(house, await begunAlone('authority.switch', { role: 'server' })),
    EnvironmentError,
  );
  assert.deepEqual(await faultsIn(house.dataFolder), []);
});

test('a folder of before lists were of a key: its next key takes over what it has issued', async (context) => {
  const house = await open(context);
  await announce(house, await begunAlone('authority.announce', { role: 'server' }));
  await switchOver(house, await begunAlone('authority.switch', { role: 'server' }));
  await house.serve(async (authority) => {
    assert.ok(!isRefusal(await authority.issueServer(testRequest(testKey()), ['localhost'])));
  });
  const names = (): readonly string[] => {
    const database = new DatabaseSync(house.database, { readOnly: true });
    const rows = database.prepare('SELECT issuer FROM issuances ORDER BY id').all();
    database.close();
    return rows.map(({ issuer }) => String(issuer));
  };
  const told = names();
  assert.ok(told.includes('server-2'));
  const database = new DatabaseSync(house.database);
  database.exec(`
    UPDATE issuances SET issuer = 'server' WHERE issuer = 'server-2';
    UPDATE lists SET number = 100 WHERE authority = 'server';
    DELETE FROM signed_lists WHERE list IN (SELECT id FROM lists WHERE authority = 'server-2');
    DELETE FROM lists WHERE authority = 'server-2';
    DELETE FROM authorities WHERE name = 'server-2'`);
  database.close();
  await house.serve((authority) => authority.hierarchy());
  assert.deepEqual(names(), told);
  assert.deepEqual(await faultsIn(house.dataFolder), []);
});

test(
  'the root, under its name: openssl finds a way from either root to what the other one issued',
  { skip: opensslMissing },
  async (context) => {
    const house = await open(context);
    await announce(house, await begunAlone('authority.announce', { role: 'root' }));
    const file = (name: string): string => join(house.folder, `${name}.pem`);
    const verified = (anchor: string, between: string, leaf: string): boolean =>
      openssl(
        'verify',
        '-partial_chain',
        '-trusted',
        file(anchor),
        '-untrusted',
        file(between),
        file(leaf),
      ).status === 0;
    assert.ok(verified('root', 'root-2.under-root', 'operational.under-root-2'));
    assert.ok(verified('root-2', 'root.under-root-2', 'operational'));
    assert.ok(verified('root-2', 'root.under-root-2', 'operational.under-root-2'));
    await switchOver(house, await begunAlone('authority.switch', { role: 'root' }));
    const { roots } = await house.serve((authority) => authority.hierarchy());
    assert.deepEqual(roots[0], new Uint8Array(house.certificate('root-2').raw));
    assert.equal(roots.length, 2);
    // The next issuing authority is the new root's.
    await announce(
      house,
      await begunAlone('authority.announce', {
        role: 'operational',
        algorithm: 'ecdsa-with-SHA384',
      }),
    );
    assert.ok(house.certificate('operational-2').verify(house.certificate('root-2').publicKey));
  },
);

test(
  'a root of another name, which the present one has named years before: a device knows it without a link',
  { skip: opensslMissing },
  async (context) => {
    const house = await open(context, { commitNextRoot: true });
    const commitment = hashOfRootKeyOid.replaceAll('.', '\\.');
    const said = openssl('x509 -noout -text -in', join(house.folder, 'root.pem'));
    assert.match(said.output, new RegExp(commitment));
    const next = await announce(
      house,
      await begunAlone('authority.announce', { role: 'root', newName: true }),
    );
    assert.deepEqual(
      await announce(
        house,
        await begunAlone('authority.announce', { role: 'root', newName: true }),
      ),
      next,
    );
    const [old, fresh] = [house.certificate('root'), house.certificate('root-2')];
    assert.match(fresh.subject, /CN=Maker Root 2/);
    assert.ok(fresh.verify(fresh.publicKey) && !old.checkIssued(fresh));
    const present = [new Uint8Array(old.raw)];
    const known = extendAnchors(nodeCrypto, present, [new Uint8Array(fresh.raw)]);
    assert.deepEqual(known, [...present, new Uint8Array(fresh.raw)]);
    // It has named the one after it in its turn, whose key rests in the folder.
    const named = parseCertificate(new Uint8Array(fresh.raw)).extensions.find(
      ({ oid }) => oid === hashOfRootKeyOid,
    );
    assert.ok(named !== undefined && committedSha256(named.value) !== undefined);
    for (const [anchor, between] of [
      ['root', 'root-2.under-root'],
      ['root-2', 'root.under-root-2'],
    ] as const) {
      const file = (name: string): string => join(house.folder, `${name}.pem`);
      const [leaf] = between.startsWith('root-2') ? ['operational.under-root-2'] : ['operational'];
      const words = ['-trusted', file(anchor), '-untrusted', file(between), file(leaf ?? '')];
      assert.equal(openssl('verify -x509_strict', ...words).status, 0, between);
    }
    await switchOver(house, await begunAlone('authority.switch', { role: 'root' }));
    await announce(house, await begunAlone('authority.announce', { role: 'root', newName: true }));
    assert.match(house.certificate('root-3').subject, /CN=Maker Root 3/);
  },
);

test('a root that has committed to a key is followed by no other', async (context) => {
  const house = await open(context, { commitNextRoot: true });
  const key = join(house.folder, 'keys', 'root-2.key');
  rmSync(key);
  await assert.rejects(
    announce(house, await begunAlone('authority.announce', { role: 'root' })),
    /committed to another key than that of root-2/,
  );
});

test('no step beside a running authority, and none without the one before', async (context) => {
  const house = await open(context);
  await assert.rejects(
    switchOver(house, await begunAlone('authority.switch', { role: 'factory' })),
    /no factory authority is announced/,
  );
  await assert.rejects(
    remove(house, await begunAlone('authority.remove', { role: 'factory' })),
    /no factory authority is retired/,
  );
  await house.serve(async () => {
    await assert.rejects(
      announce(house, await begunAlone('authority.announce', { role: 'factory' })),
      /in use by process/,
    );
  });
});

test('devices are counted once each when they are told', async (context) => {
  const one = deviceIdOf(1);
  const device = pki.ldevid(one);
  const authority = new FakeProvisioningAuthority(pki);
  const entries = [{ identity: device, kind: 'ldevid', holder: one }] as const;
  const it = await testProvisioner(context, { devices: [1], entries, authority });
  const client = new AnchorsClient(it.config.socketPath);
  context.after(() => client.close());
  const key = nodeCrypto.hash('SHA-256', pki.root.certificate.publicKey.spki);
  assert.equal(await client.countTold(key), 0);
  const ask = { path: '/.well-known/est/cacerts' };
  for (let count = 0; count < 2; count += 1) {
    assert.equal((await it.request('device', device, ask)).status, 200);
  }
  let told = await client.countTold(key);
  while (told === 0) told = await client.countTold(key);
  assert.equal(told, 1);
});

test('what falls with a key: counted, listed, and nothing changed', async (context) => {
  const house = await open(context);
  const desk = async (): Promise<string> => {
    const client = new DeskClient(socketPathFor(house.dataFolder, 'authority'));
    const order = { product: 'meter', profile: 'ldevid', lifetimeMs: 60_000 };
    const created = await client.createSecret(order);
    client.close();
    assert.ok(!isRefusal(created));
    return created.secret;
  };
  await house.serve(async (authority) => {
    const secret = await desk();
    const request = testRequest(testKey());
    const issued = await authority.issueBySecret({ secret, request, profile: 'ldevid' });
    assert.ok('certificate' in issued);
    assert.ok(!isRefusal(await authority.issueServer(testRequest(testKey()), ['localhost'])));
  });
  const assess = (role: 'operational' | 'server' | 'root') =>
    assessCompromise(
      openSqliteSnapshot(house.database),
      defaultBook,
      active(defaultBook, role),
      Date.now(),
    );
  const operational = await assess('operational');
  assert.deepEqual(operational.live, [{ profile: 'ldevid', count: 1 }]);
  // It enrolled by a secret and was born with nothing: it needs another secret.
  assert.deepEqual([operational.canFollow, operational.cannotFollow], [0, 1]);
  assert.equal(operational.listed.length, 1);
  assert.ok(
    (await assess('server')).live.some(({ profile, count }) => profile === 'server' && count === 1),
  );
  assert.ok((await assess('root')).live.length > operational.live.length);
  assert.ok(operational.steps.some((step) => step.includes('enrolment secret create')));
});
