/**
 * Authorities by profiles that a person added: name constraints, another life, another organization; for the
 * devices of a batch alone, on either side of a root on another machine.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { authorityPaths } from '../../src/apps/authority/authorityFolder.ts';
import { defaultBook, readBook } from '../../src/apps/authority/book.ts';
import { horizonOf } from '../../src/apps/authority/horizon.ts';
import { importFromRoot } from '../../src/apps/authority/imports.ts';
import { initializeAuthority } from '../../src/apps/authority/initialize.ts';
import { atRoot, createRoot, signRequests } from '../../src/apps/authority/offlineRoot.ts';
import { addAuthority, announce, switchOver } from '../../src/apps/authority/rollover.ts';
import { fsck } from '../../src/apps/fsck/fsck.ts';
import { openSqliteSnapshot } from '../../src/drivers/store/sqlite/snapshot.ts';
import type { Profile } from '../../src/trust/issuance/profile.ts';
import { builtIn } from '../../src/trust/issuance/profiles.ts';
import { isRefusal } from '../../src/trust/ports/faults.ts';
import { parseCertificate } from '../../src/wire/x509/certificate.ts';
import { attributeText } from '../../src/wire/x509/names.ts';
import { encodePem, findPem, parsePem } from '../../src/wire/x509/pem.ts';
import { alone, begunAlone } from '../support/alone.ts';
import { assembled, birth } from '../support/issuing/assembled.ts';
import { openssl, opensslMissing, withFiles } from '../support/openssl.ts';
import { testKey, testRequest } from '../support/pki.ts';

const clock = { nowMs: Date.now };
const passphrase = 'for tests only';
const costLog2 = 4;
const organization = 'Maker';

const cityOperational: Profile = {
  ...builtIn('issuing'),
  name: 'authority-city',
  lifetime: { kind: 'days', days: 1000 },
  authority: { pathLength: 0, excludesHosts: true, organization: 'City Water' },
};
const plantServer: Profile = {
  ...builtIn('issuing-server'),
  name: 'authority-plant',
  authority: { pathLength: 0, excludesHosts: false, permits: ['plant.example', '127.0.0.0/8'] },
};
const serves = { products: ['meter'], batches: ['reel-7'] };
const city = {
  role: 'operational-city',
  adds: 'operational',
  profile: cityOperational.name,
  serves,
};

interface House {
  readonly folder: string;
  readonly options: { dataFolder: string; passphrase: string; clock: typeof clock };
  readonly read: (name: string) => Uint8Array;
}

function house(context: TestContext): House {
  const folder = mkdtempSync(join(tmpdir(), 'birthmark-profiles-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const dataFolder = join(folder, 'data');
  const home = authorityPaths(dataFolder).folder;
  const read = (name: string): Uint8Array =>
    parsePem(readFileSync(join(home, `${name}.pem`), 'utf8'), 'CERTIFICATE');
  return { folder, options: { dataFolder, passphrase, clock }, read };
}

/** As `birthmark profile add` does. */
async function addProfiles({ options }: House, ...profiles: readonly Profile[]): Promise<void> {
  await assembled(options, async ({ profiles: book }) => {
    for (const profile of profiles) {
      const added = await book.add(
        profile,
        await alone('profile.change', book.requestFor(profile)),
      );
      assert.ok(!isRefusal(added), JSON.stringify(added));
    }
  });
}

/** LDevID of a new device of that product and batch. */
function enrolled({ options }: House, product: string, batch: string): Promise<Uint8Array> {
  return assembled(options, async (parts) => {
    const [authenticatedBy, issuers, deviceId] = await birth(parts, product, batch);
    const outcome = await parts.certification.certifyDevice({
      deviceId,
      authenticatedBy,
      issuers,
      product: 'whatever the provisioner says',
      request: testRequest(testKey()),
      profile: 'ldevid',
    });
    assert.ok('certificate' in outcome, JSON.stringify(outcome));
    return outcome.certificate;
  });
}

function organizationOf(certificate: Uint8Array): string | undefined {
  return attributeText(parseCertificate(certificate).subject, 'organizationName');
}

function verify(leaf: Uint8Array, above: Uint8Array, root: Uint8Array): string {
  const pem = (der: Uint8Array): string => encodePem('CERTIFICATE', der);
  return withFiles({ leaf: pem(leaf), above: pem(above), root: pem(root) }, (path) => {
    const words = ['verify -x509_strict -CAfile', path('root'), '-untrusted', path('above')];
    return openssl(...words, path('leaf')).output;
  });
}

test(
  'devices of an owner get certificates of that owner’s authority, servers names of the plant alone',
  { skip: opensslMissing },
  async (context) => {
    const at = house(context);
    const { options, read } = at;
    await initializeAuthority({ ...options, organization, costLog2 });
    await addProfiles(at, cityOperational, plantServer);
    assert.equal(organizationOf(await enrolled(at, 'meter', 'reel-1')), 'Maker');
    for (const [profile, reason] of [
      ['none', /there is no profile none/],
      ['authority-plant', /would let a device pass as a server/],
      ['ldevid', /is none of an authority/],
      ['link-operational', /is none of an authority/],
      ['matter-pai', /is not certified by root/],
    ] as const) {
      const begun = await begunAlone('authority.announce', { ...city, profile });
      await assert.rejects(addAuthority(options, begun), reason);
    }
    await addAuthority(options, await begunAlone('authority.announce', city));
    const ldevid = await enrolled(at, 'meter', 'reel-2');
    assert.equal(organizationOf(ldevid), 'City Water');
    assert.match(verify(ldevid, read('operational-city'), read('root')), /leaf: OK/);
    assert.equal(organizationOf(await enrolled(at, 'pump', 'reel-7')), 'City Water', 'by batch');
    assert.equal(organizationOf(await enrolled(at, 'pump', 'reel-3')), 'Maker');

    const next = { role: 'server', profile: plantServer.name };
    await announce(options, await begunAlone('authority.announce', next));
    await switchOver(options, await begunAlone('authority.switch', { role: 'server' }));
    const { folder, database } = authorityPaths(options.dataFolder);
    const constraint = (name: string): string =>
      openssl('x509 -noout -ext nameConstraints -in', join(folder, `${name}.pem`)).output;
    for (const name of ['server-2', 'server-2.under-server', 'server.under-server-2']) {
      assert.match(constraint(name), /Permitted:\s+DNS:plant.example\s+IP:127.0.0.0\/255.0.0.0/);
    }
    await assembled(options, async ({ certification }) => {
      const asked = (hosts: readonly string[]) =>
        certification.certify({
          profile: 'server',
          name: 'door',
          request: testRequest(testKey()),
          hosts,
        });
      const inside = await asked(['door.plant.example', '127.0.0.1']);
      assert.ok(!isRefusal(inside));
      assert.match(verify(inside, read('server-2'), read('root')), /leaf: OK/);
      for (const hosts of [['door.example'], ['192.0.2.1'], ['::1']]) {
        const outside = await asked(hosts);
        assert.ok(isRefusal(outside) && /san-permitted/.test(outside.reason), hosts.join());
      }
    });
    await everythingAddsUp(at);

    // Of a thousand days the last year is for what was issued before.
    const horizon = await horizonOf({
      paths: authorityPaths(options.dataFolder),
      snapshot: openSqliteSnapshot(database),
      nowMs: Date.now(),
      untilMs: Date.now() + 20 * 365 * 86_400_000,
    });
    const row = horizon.rows.find(({ name }) => name === 'operational-city');
    const days = ((row?.issuesUntilMs ?? 0) - Date.now()) / 86_400_000;
    assert.ok(days > 633 && days < 636, String(days));
    assert.ok(horizon.events.some(({ name }) => name === 'operational-city'));
  },
);

test('a root on another machine signs by the profile that is laid before it, and import wants that one', async (context) => {
  const at = house(context);
  const { options, folder } = at;
  const root = { folder: join(folder, 'root'), passphrase: 'of the root', clock, costLog2 };
  const rootCertificate = await createRoot(root, { organization, algorithm: 'ecdsa-with-SHA256' });
  const authorities = defaultBook.map((record) =>
    record.role === 'root' ? { ...record, key: 'offline' } : record,
  );
  const begin = { ...options, organization, authorities, rootCertificate, costLog2 };
  await initializeAuthority(begin);
  const requests = join(authorityPaths(options.dataFolder).folder, 'requests');
  const request = (name: string): Uint8Array => {
    const [block] = findPem(readFileSync(join(requests, `${name}.csr`), 'utf8'));
    return block?.der ?? new Uint8Array(0);
  };
  const imported = async (
    role: 'factory' | 'operational' | 'server',
    name: string,
    profile?: Profile,
  ): Promise<readonly string[]> => {
    const asked = [{ role, request: request(name), profile }];
    const [signed] = await atRoot(root, (open) => signRequests(open, asked));
    assert.ok(signed);
    const block = { label: 'CERTIFICATE', der: signed.certificate } as const;
    return (await importFromRoot(options, [block])).pending;
  };
  for (const role of ['factory', 'operational', 'server'] as const) await imported(role, role);
  await addProfiles(at, cityOperational);
  const { pending } = await addAuthority(options, await begunAlone('authority.announce', city));
  assert.ok(pending !== undefined && readdirSync(requests).includes('operational-city.csr'));
  await assert.rejects(
    imported('operational', 'operational-city'),
    /is no name of a operational authority/,
  );
  assert.deepEqual(await imported('operational', 'operational-city', cityOperational), []);
  const book = await readBook(authorityPaths(options.dataFolder));
  assert.equal(book.find(({ name }) => name === 'operational-city')?.state, 'active');
  assert.equal(organizationOf(await enrolled(at, 'meter', 'reel-2')), 'City Water');
  await everythingAddsUp(at);
});

async function everythingAddsUp({ options, read }: House): Promise<void> {
  const paths = authorityPaths(options.dataFolder);
  const names = (await readBook(paths)).map(({ name }) => name);
  const issuers = new Map(names.map((name) => [name, read(name)] as const));
  const report = await fsck({ snapshot: openSqliteSnapshot(paths.database), issuers });
  assert.deepEqual(report.faults, []);
}
